"""A burst comes faster than a server can write."""

from __future__ import annotations

import asyncio
import hashlib
import re

import httpx2

EVENTS = 10_000
SESSIONS = 100


class Sink(asyncio.Protocol):
    """Reads a chunked response as fast as it comes, and keeps its body."""

    def __init__(self, path, marker):
        self.body = b""
        self._path = path
        self._raw = bytearray()
        self._marker = marker
        self._opened = asyncio.get_running_loop().create_future()
        self._complete = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"GET {self._path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())

    def data_received(self, data):
        self._raw += data
        if not self._opened.done() and b"\n\n" in self._raw:
            self._opened.set_result(None)
        if self._marker in self._raw[-len(data) - len(self._marker) :]:
            self._complete.set_result(None)

    def connection_lost(self, exc):
        for waiting in (self._opened, self._complete):
            if not waiting.done():
                waiting.set_exception(exc or ConnectionError("the stream ended"))

    async def opened(self):
        await self._opened

    async def complete(self):
        """Return the body from the first event on."""
        await self._complete
        self.transport.abort()
        raw = bytes(self._raw)
        at = raw.index(b"\r\n\r\n") + 4
        chunks = []
        while at < len(raw):
            end = raw.index(b"\r\n", at)
            size = int(raw[at:end], 16)
            chunks.append(raw[end + 2 : end + 2 + size])
            at = end + 4 + size
        return b"".join(chunks).partition(b"\n\n")[2]


async def test_burst_reaches_every_healthy_session_whole_and_in_order(serve, ways):
    server = serve(env=ways)
    marker = f'"comment_count":{EVENTS - 1},"text":"{"x" * 100}"}}\n\n\r\n'.encode()
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(60):
        sinks = []
        for _ in range(SESSIONS):
            _, sink = await loop.create_connection(
                lambda: Sink("/discussions/1/events", marker), "127.0.0.1", server.port
            )
            sinks.append(sink)
        for sink in sinks:
            await sink.opened()
        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
            await client.post("/discussions/1/burst", params={"count": EVENTS})
        bodies = [await sink.complete() for sink in sinks]

    assert len({hashlib.sha256(body).digest() for body in bodies}) == 1
    frames = re.findall(
        rb'id: (\w{12})\.(\d+)\.(\w+)\ndata: \{"type":"comment-added","comment_count":(\d+),'
        rb'"text":"x{100}"\}\n\n',
        bodies[0],
    )
    assert [int(offset) for _, offset, _, _ in frames] == list(range(1, EVENTS + 1))
    assert [int(count) for *_, count in frames] == list(range(EVENTS))
    assert len({epoch for epoch, *_ in frames}) == 1
    whole = sum(len(b"id: ..\ndata: \n\n") + sum(map(len, frame)) for frame in frames)
    rest = len(b'{"type":"comment-added","comment_count":,"text":""}') + 100
    assert len(bodies[0]) == whole + EVENTS * rest
    assert "Traceback" not in server.log
