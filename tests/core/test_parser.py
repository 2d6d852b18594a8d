"""The parser, against the standard's own vectors and against our encoder."""

from __future__ import annotations

import base64
import json
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastapi_sse_channels._core import wire
from fastapi_sse_channels._core.parser import (
    CommentFrame,
    EventFrame,
    IdFrame,
    OversizeFrame,
    Parser,
    RetryFrame,
)

VECTORS = json.loads(
    (Path(__file__).parents[2] / "client/test/wpt-vectors.json").read_text(encoding="utf-8")
)
quickly = settings(max_examples=200, deadline=None)


def parse(chunks):
    parser = Parser()
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


def bytes_of(vector):
    return base64.b64decode(vector["base64"]) if "base64" in vector else vector["input"].encode()


def split(body, size):
    chunks, at = [], 0
    while at < len(body):
        end = at + size()
        chunks.append(body[at:end])
        at = end
    return chunks


def check(vector, chunks):
    frames = parse(chunks)
    events = [
        {"event": frame.name, "data": frame.data, "id": frame.event_id}
        for frame in frames
        if isinstance(frame, EventFrame)
    ]
    retries = [frame.milliseconds for frame in frames if isinstance(frame, RetryFrame)]
    ids = [frame.event_id for frame in frames if isinstance(frame, EventFrame | IdFrame)]
    assert events == vector["events"]
    assert (retries[-1] if retries else None) == vector.get("retry")
    if "last_event_id" in vector:
        assert ["", *ids][-1] == vector["last_event_id"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
class TestVectors:
    def test_vector_is_read_in_one_piece(self, vector):
        check(vector, [bytes_of(vector)])

    def test_vector_is_read_byte_by_byte(self, vector):
        check(vector, split(bytes_of(vector), lambda: 1))

    def test_vector_is_read_however_it_is_split(self, vector):
        draw = random.Random(vector["name"])
        for _ in range(50):
            check(vector, split(bytes_of(vector), lambda: draw.randrange(12)))


def test_vectors_cover_every_format_file_of_the_web_platform_tests():
    """Upstream's `eventsource/format-*` except those about content types, and two of our own."""
    files = {vector["name"].split(",")[0] for vector in VECTORS if vector["origin"] == "wpt"}

    assert files == {
        "event-data",
        "eventsource-onmessage",
        "format-bom",
        "format-bom-2",
        "format-comments",
        "format-data-before-final-empty-line",
        "format-field-data",
        "format-field-event",
        "format-field-event-empty",
        "format-field-id",
        "format-field-id-3",
        "format-field-id-null",
        "format-field-parsing",
        "format-field-retry",
        "format-field-retry-bogus",
        "format-field-retry-empty",
        "format-field-unknown",
        "format-leading-space",
        "format-newlines",
        "format-null-character",
        "format-utf-8",
    }


class TestFrames:
    def test_lone_cr_ends_an_event_at_once(self):
        assert parse([b"data:x\r\r"]) == [EventFrame("message", "x", "")]

    def test_split_crlf_ends_one_line(self):
        assert parse([b"data:x\r", b"\n", b"\r", b"", b"\ndata:y\r\n\r", b"\n"]) == [
            EventFrame("message", "x", ""),
            EventFrame("message", "y", ""),
        ]

    def test_ids_comments_and_retries_are_frames_of_their_own(self):
        body = b": ping\n:\n\nid: a\n\nid: a\n\nretry: 20\n\n"

        assert parse([body]) == [CommentFrame(), CommentFrame(), IdFrame("a"), RetryFrame(20)]

    def test_id_of_an_earlier_body_stays_in_force(self):
        assert Parser("a").feed(b"data:x\n\n") == [EventFrame("message", "x", "a")]

    def test_unfinished_event_is_dropped(self):
        assert parse([b"data:x\n\nid:b\ndata:cut"]) == [EventFrame("message", "x", "")]

    @pytest.mark.parametrize("value", ["٣", "²", "+1", "1" * 5000, "0x1"])
    def test_retry_takes_ascii_digits_of_a_sane_number(self, value):
        assert parse([f"retry: {value}\n\n".encode()]) == []

    def test_byte_order_mark_split_over_chunks_is_dropped_once(self):
        body = b"\xef\xbb\xbf\xef\xbb\xbfdata:x\n\ndata:y\n\n"

        assert parse(split(body, lambda: 1)) == [EventFrame("message", "y", "")]


def limited(*chunks, limit=2000):
    parser = Parser(max_event_bytes=limit)
    return [frame for chunk in chunks for frame in parser.feed(chunk)]


class TestLimits:
    after = b"id: b\ndata: y\n\n"
    next_event = EventFrame("message", "y", "b")

    def test_event_at_the_limit_is_read_with_its_other_fields(self):
        data = "x" * 2000

        assert limited(f"id: {'a' * 512}\nevent: e\ndata: {data}\n\n".encode()) == [
            EventFrame("e", data, "a" * 512)
        ]

    @pytest.mark.parametrize(
        "large",
        [
            b"data: " + b"x" * 4000,
            b"\n".join([b"data: xxxxxxx"] * 500),
            b"\n".join([b"data"] * 4000),
            b"data: x\nevent: " + b"e" * 4000,
            b"x" * 4000,
        ],
        ids=["line", "lines", "empty lines", "name", "unknown field"],
    )
    def test_larger_event_is_skipped_and_the_next_is_read(self, large):
        body = b"id: a\n" + large + b"\ndata: the rest\n\n" + self.after

        assert limited(body) == [OversizeFrame("a"), self.next_event]

    def test_oversize_is_reported_before_the_event_ends(self):
        assert limited(b"id: a\ndata: ", *[b"x" * 1000] * 9) == [OversizeFrame("a")]

    def test_id_after_a_skipped_event_is_taken(self):
        body = b"data: " + b"x" * 4000 + b"\nid: a\n\n" + self.after

        assert limited(body) == [OversizeFrame(""), IdFrame("a"), self.next_event]

    def test_long_comment_does_not_count_towards_an_event(self):
        body = b"id: b\ndata: y\n:" + b"x" * 4000 + b"\n\n"

        assert limited(body) == [self.next_event]

    def test_endless_line_is_not_kept(self):
        parser = Parser(max_event_bytes=1_000_000)
        chunk = b"x" * 65_536
        tracemalloc.start()
        try:
            parser.feed(b"data: ")
            for _ in range(1000):
                parser.feed(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak < 4_000_000

    def test_event_takes_the_memory_of_its_bytes(self):
        parser = Parser(max_event_bytes=300_000)
        chunk = b"data:xy\n" * 1000
        tracemalloc.start()
        try:
            for _ in range(90):
                assert parser.feed(chunk) == []
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

        assert peak < 900_000

    @pytest.mark.parametrize(
        "event_id", ["a" * 513, "a\0b", "a\x0bb", "\x01", "a\x7f", "\x1b[31m"], ids=ascii
    )
    def test_id_that_no_request_can_send_is_ignored(self, event_id):
        body = f"id: a\n\nid: {event_id}\ndata: x\n\n".encode()

        assert parse([body]) == [IdFrame("a"), EventFrame("message", "x", "a")]


# every byte with a meaning, and some without
fragments = st.lists(
    st.sampled_from([b"data", b"id", b"event", b"retry", b":", b" ", b"\r", b"\n", b"\0", b"7"])
    | st.binary(max_size=3)
    | st.just(b"\xef\xbb\xbf"),
    max_size=40,
)


class TestProperties:
    @quickly
    @given(fragments)
    def test_chunk_boundaries_change_nothing(self, parts):
        assert parse(parts) == parse([b"".join(parts)]) == parse(split(b"".join(parts), lambda: 1))

    @quickly
    @given(st.lists(st.sampled_from([b"data:x", b"id:a", b":", b"\n", b"x" * 500]), max_size=40))
    def test_chunk_boundaries_change_nothing_in_oversize_bodies(self, parts):
        assert limited(*parts) == limited(b"".join(parts))

    @quickly
    @given(
        st.lists(
            st.tuples(
                st.from_regex(r"\A[A-Za-z0-9._~-]{1,20}\Z"),
                st.none() | st.text(min_size=1).filter(lambda name: not wire.name_problem(name)),
                st.dictionaries(st.text(), st.text() | st.integers(), max_size=3),
            ),
            max_size=5,
        ),
        st.integers(1, 50),
    )
    def test_parser_reads_back_what_the_encoder_writes(self, events, size):
        body = b"".join(
            wire.frame(event_id, wire.event_body(encoded(content), name)) + wire.PING
            for event_id, name, content in events
        )

        frames = [f for f in parse(split(body, lambda: size)) if isinstance(f, EventFrame)]

        assert [(f.event_id, f.name, json.loads(f.data)) for f in frames] == [
            (event_id, name or "message", content) for event_id, name, content in events
        ]

    @quickly
    @given(st.booleans(), st.none() | st.integers(1, 60), st.integers(0, 10**9))
    def test_parser_reads_back_control_frames(self, resumed, ping_interval, retry):
        opened = wire.StreamOpen(wire.PROTOCOL, resumed, ping_interval, retry)
        reset = wire.StreamReset("slow")
        closed = wire.StreamClose("ended", resumed, retry)

        frames = parse([opened.encode("a.1") + reset.encode("a.2") + closed.encode()])

        events = [frame for frame in frames if isinstance(frame, EventFrame)]
        assert [frame.event_id for frame in events] == ["a.1", "a.2", "a.2"]
        assert [wire.read_control(frame.name, frame.data, retry=retry) for frame in events] == [
            opened,
            reset,
            closed,
        ]
        assert RetryFrame(retry) in frames


def encoded(content):
    return json.dumps(content, ensure_ascii=False).encode()
