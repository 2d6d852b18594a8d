"""Frames, byte for byte."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from fastapi_sse_channels._core import wire

LATER: Any = "later"
NONE: Any = ""


class TestFrames:
    def test_event_is_its_id_and_one_line_of_data(self):
        body = wire.event_body(b'{"type":"a"}')

        assert wire.frame("e.1.n", body) == b'id: e.1.n\ndata: {"type":"a"}\n\n'

    def test_named_event_has_the_name_between_id_and_data(self):
        body = wire.event_body(b"{}", "comment-added")

        assert wire.frame("e.1.n", body) == b"id: e.1.n\nevent: comment-added\ndata: {}\n\n"

    @pytest.mark.parametrize("name", [None, "a", "data: x"])
    @pytest.mark.parametrize("data", [b"{}", b'{"text":"data: x"}', '"\u2028"'.encode()])
    def test_data_of_reads_back_what_was_encoded(self, data, name):
        body = wire.event_body(data, name)

        assert wire.data_of(body) == data
        assert wire.data_of(wire.frame("e.1.n", body)) == data
        assert wire.is_event_body(body)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"data: {}",
            b"data: {}\n",
            b"data: {}\n\ndata: {}\n\n",
            b"id: 1\ndata: {}\n\n",
            b"data: {}\r\n\n",
            b"data: \0\n\n",
            b": x\ndata: {}\n\n",
        ],
    )
    def test_is_event_body_refuses_other_bytes(self, body):
        assert not wire.is_event_body(body)

    def test_ping_is_a_bare_line(self):
        assert wire.PING == b":\n"


class TestControl:
    """Control frames as bytes, and read back from a parser's frames."""

    def test_stream_open_holds_the_cursor_and_what_a_client_needs(self):
        frame = wire.StreamOpen(wire.PROTOCOL, resumed=True, ping_interval=15.0, retry=2000)

        assert frame.encode("e.1.n") == (
            b"event: stream-open\nid: e.1.n\nretry: 2000\n"
            b'data: {"protocol":1,"resumed":true,"ping_interval":15}\n\n'
        )

    @pytest.mark.parametrize(
        ("interval", "written"), [(None, b"null"), (0.5, b"0.5"), (15.0, b"15"), (20, b"20")]
    )
    def test_stream_open_writes_whole_seconds_as_integers(self, interval, written):
        frame = wire.StreamOpen(wire.PROTOCOL, resumed=False, ping_interval=interval, retry=1)

        assert frame.encode("").endswith(b'"resumed":false,"ping_interval":' + written + b"}\n\n")

    @pytest.mark.parametrize("reason", get_args(wire.ResetReason))
    def test_stream_reset_holds_the_new_cursor_and_the_reason(self, reason):
        expected = f'event: stream-reset\nid: e.1.n\ndata: {{"reason":"{reason}"}}\n\n'

        assert wire.StreamReset(reason).encode("e.1.n") == expected.encode()

    @pytest.mark.parametrize("reason", get_args(wire.CloseReason))
    def test_stream_close_says_why_and_whether_to_reconnect(self, reason):
        frame = wire.StreamClose(reason, reconnect=False, retry=500)

        data = f'{{"reason":"{reason}","reconnect":false}}'
        assert frame.encode() == f"event: stream-close\nretry: 500\ndata: {data}\n\n".encode()

    @pytest.mark.parametrize(
        ("name", "data", "frame"),
        [
            ("stream-open", "{}", wire.StreamOpen(1, resumed=False, ping_interval=0, retry=7)),
            (
                "stream-open",
                '{"protocol":2,"resumed":1,"ping_interval":"x"}',
                wire.StreamOpen(2, resumed=False, ping_interval=0, retry=7),
            ),
            (
                "stream-open",
                '{"ping_interval":null}',
                wire.StreamOpen(1, resumed=False, ping_interval=None, retry=7),
            ),
            ("stream-reset", '{"reason":"later"}', wire.StreamReset(LATER)),
            ("stream-reset", "[1]", wire.StreamReset(NONE)),
            ("stream-close", "?", wire.StreamClose(NONE, reconnect=True, retry=7)),
            (
                "stream-close",
                '{"reason":"later","reconnect":0}',
                wire.StreamClose(LATER, reconnect=True, retry=7),
            ),
            ("stream-news", '{"x":1}', None),
        ],
    )
    def test_read_control_takes_what_it_knows_of_a_later_version(self, name, data, frame):
        assert wire.read_control(name, data, retry=7) == frame


class TestNames:
    @pytest.mark.parametrize("name", ["comment-added", "x", "a:b", " a", "stream", "ünï", "opened"])
    def test_name_problem_accepts_ordinary_names(self, name):
        assert wire.name_problem(name) is None

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("", "is empty"),
            ("a\nb", "holds CR, LF or NUL"),
            ("a\r", "holds CR, LF or NUL"),
            ("\0", "holds CR, LF or NUL"),
            ("error", "is reserved"),
            ("open", "is reserved"),
            ("message", "is reserved"),
            ("stream-", "is reserved"),
            ("stream-open", "is reserved"),
            ("\ud800", "is not encodable"),
        ],
    )
    def test_name_problem_says_why_a_name_is_refused(self, name, problem):
        assert (wire.name_problem(name) or "").startswith(problem)
