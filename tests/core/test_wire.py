"""Frames, byte for byte."""

from __future__ import annotations

import pytest

from fastapi_sse_channels._core import wire


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
    def test_bytes_that_are_not_one_event_are_told(self, body):
        assert not wire.is_event_body(body)

    def test_stream_open_holds_the_cursor_and_what_a_client_needs(self):
        frame = wire.stream_open("e.1.n", resumed=True, ping_interval=15.0, retry=2000)

        assert frame == (
            b"event: stream-open\nid: e.1.n\nretry: 2000\n"
            b'data: {"protocol":1,"resumed":true,"ping_interval":15}\n\n'
        )

    @pytest.mark.parametrize(
        ("interval", "written"), [(None, b"null"), (0.5, b"0.5"), (15.0, b"15"), (20, b"20")]
    )
    def test_stream_open_writes_whole_seconds_as_integers(self, interval, written):
        frame = wire.stream_open("e.1.n", resumed=False, ping_interval=interval, retry=1)

        assert frame.endswith(b'"resumed":false,"ping_interval":' + written + b"}\n\n")

    @pytest.mark.parametrize("reason", ["expired", "trimmed", "epoch", "ahead", "slow"])
    def test_stream_reset_holds_the_new_cursor_and_the_reason(self, reason):
        expected = f'event: stream-reset\nid: e.1.n\ndata: {{"reason":"{reason}"}}\n\n'
        assert wire.stream_reset("e.1.n", reason) == expected.encode()

    @pytest.mark.parametrize("reason", ["shutdown", "revoked", "expired", "ended"])
    def test_stream_close_says_why_and_whether_to_reconnect(self, reason):
        frame = wire.stream_close(reason, reconnect=False, retry=500)

        data = f'{{"reason":"{reason}","reconnect":false}}'
        assert frame == f"event: stream-close\nretry: 500\ndata: {data}\n\n".encode()

    def test_ping_is_a_bare_line(self):
        assert wire.PING == b":\n"


class TestNames:
    @pytest.mark.parametrize("name", ["comment-added", "x", "a:b", " a", "stream", "ünï", "opened"])
    def test_ordinary_name_is_fine(self, name):
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
    def test_other_name_is_told_why(self, name, problem):
        assert (wire.name_problem(name) or "").startswith(problem)
