"""The writer writes the same bytes as uvicorn's `send`, and only where `send` would write."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import RequestResponseCycle as H11Cycle
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from fastapi_sse_channels._servers.uvicorn import Chunks, direct_writer

URL = "/notes/1/events"


class Transport(asyncio.Transport):
    """The transport that uvicorn writes to."""

    def __init__(self):
        super().__init__()
        self.written = []
        self.failure = None

    @property
    def last(self):
        return self.written[-1] if self.written else b""

    def write(self, data):
        if self.failure is not None:
            raise self.failure
        self.written.append(bytes(data))

    def is_closing(self):
        return False

    def pause_reading(self):
        """Nothing is read here."""

    def resume_reading(self):
        """Nothing is read here."""


@pytest.fixture
def make_cycle():
    """uvicorn's side of a request that was just read."""

    def make(method="GET"):
        transport = Transport()
        log = logging.getLogger("test")
        cycle = RequestResponseCycle(
            scope={"type": "http", "method": method, "http_version": "1.1"},  # type: ignore[typeddict-item]
            transport=transport,
            flow=FlowControl(transport),
            logger=log,
            access_logger=log,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=lambda: None,
        )
        return cycle, transport

    return make


@pytest.fixture
def start(make_cycle):
    """A cycle whose response has begun."""

    async def start(*, method="GET", headers=()):
        cycle, transport = make_cycle(method)
        await cycle.send({"type": "http.response.start", "status": 200, "headers": headers})
        transport.written.clear()
        return cycle, transport

    return start


def writer_of(cycle, chunks=None):
    writer = direct_writer(cycle.send, chunks or Chunks())
    assert writer is not None
    return writer


class TestWriting:
    @pytest.mark.parametrize("piece", [b"x", b"data: {}\n\n" * 5000])
    async def test_writer_writes_what_send_would_have_written(self, start, piece):
        cycle, transport = await start()
        writer = writer_of(cycle)

        assert writer.write(piece)
        await cycle.send({"type": "http.response.body", "body": piece, "more_body": True})

        direct, sent = transport.written
        assert direct == sent

    async def test_writers_share_one_chunk_object(self, start):
        chunks = Chunks()
        starts = [await start() for _ in range(2)]
        piece = b"data: {}\n\n"
        for cycle, _ in starts:
            writer_of(cycle, chunks).write(piece)

        (_, first), (_, second) = starts
        assert chunks.encode(piece) is chunks.encode(piece)
        assert first.written == second.written == [b"a\r\ndata: {}\n\n\r\n"]


class TestRefusing:
    async def test_writer_leaves_a_slow_client_to_send(self, start):
        cycle, transport = await start()
        writer = writer_of(cycle)

        cycle.flow.pause_writing()
        assert not writer.write(b"x")
        cycle.flow.resume_writing()

        assert writer.write(b"x")
        assert len(transport.written) == 1

    async def test_writer_leaves_a_departed_client_to_send(self, start):
        cycle, transport = await start()
        writer = writer_of(cycle)

        cycle.disconnected = True

        assert not writer.write(b"x")
        assert transport.written == []

    async def test_writer_leaves_a_complete_response_to_send(self, start):
        cycle, transport = await start()
        writer = writer_of(cycle)
        await cycle.send({"type": "http.response.body", "body": b"", "more_body": False})
        transport.written.clear()

        assert not writer.write(b"x")
        assert transport.written == []

    async def test_writer_leaves_a_failing_transport_to_send(self, start):
        cycle, transport = await start()
        writer = writer_of(cycle)
        transport.failure = RuntimeError("closed")

        assert not writer.write(b"x")


class TestSessions:
    @pytest.fixture
    def notes(self, make_notes):
        return make_notes(write_directly=True)

    @pytest.fixture
    async def transports(self, notes, make_cycle, connect, eventually):
        """The writers of two open streams."""
        cycles = [make_cycle() for _ in range(2)]
        for cycle, _ in cycles:

            async def app(scope, receive, _send, cycle=cycle):
                await notes.app(scope, receive, cycle.send)

            await connect(app, URL, wait=False)
        transports = [transport for _, transport in cycles]
        await eventually(lambda: all(b"stream-open" in sent.last for sent in transports))
        return transports

    async def test_event_is_written_past_send(self, notes, transports, eventually):
        await notes.publish("a")
        await eventually(lambda: all(b'"text":"a"' in sent.last for sent in transports))

        # `send` would make a chunk for each session
        first, second = transports
        assert first.last is second.last

    async def test_direct_write_counts_as_activity(self, notes, transports, eventually):
        before = [stream.written_at for stream in notes.engine.hub.streams]
        await notes.publish("a")
        await eventually(lambda: all(b'"text":"a"' in sent.last for sent in transports))

        after = [stream.written_at for stream in notes.engine.hub.streams]
        assert all(later > earlier for earlier, later in zip(before, after, strict=True))


class TestGuards:
    async def test_unchunked_body_has_no_writer(self, start):
        cycle, _ = await start(headers=[(b"content-length", b"5")])

        assert direct_writer(cycle.send, Chunks()) is None

    async def test_head_has_no_writer(self, start):
        cycle, _ = await start(method="HEAD", headers=[(b"transfer-encoding", b"chunked")])

        assert direct_writer(cycle.send, Chunks()) is None

    async def test_cycle_of_another_shape_has_no_writer(self, start):
        cycle, _ = await start()
        del cycle.flow

        assert direct_writer(cycle.send, Chunks()) is None

    def test_other_servers_and_wrappers_have_no_writer(self):
        async def send(message):
            raise AssertionError("only looked at")

        other: Any = H11Cycle.__new__(H11Cycle)

        assert direct_writer(send, Chunks()) is None
        assert direct_writer(other.send, Chunks()) is None


def test_every_piece_is_a_chunk_of_its_own():
    chunks = Chunks()

    assert [chunks.encode(piece) for piece in (b"one", b"three", b"three")] == [
        b"3\r\none\r\n",
        b"5\r\nthree\r\n",
        b"5\r\nthree\r\n",
    ]
