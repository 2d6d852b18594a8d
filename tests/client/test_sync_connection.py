"""The blocking connection alone: a thread ends reads that take too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Literal

import httpx
from pydantic import BaseModel

from fastapi_sse_channels.client import Status, Waiting, connect_sync


class Number(BaseModel):
    type: Literal["number"] = "number"
    number: int


async def test_thread_ends_with_the_connection(scripted):
    async def script(talk):
        await talk.open(ping=5)
        await talk.event(1)
        await talk.silence()

    def use(url):
        threads = set(threading.enumerate())
        with connect_sync(url, Number) as events:
            assert next(events).number == 1
            assert len(set(threading.enumerate()) - threads) == 1
        return set(threading.enumerate()) - threads

    server = await scripted(script)
    assert await asyncio.to_thread(use, server.url) == set()


async def test_slow_reader_is_not_a_stall(scripted):
    async def script(talk):
        await talk.open(ping=0.3)
        for number in range(1, 4):
            await talk.event(number)
        for _ in range(10):
            await asyncio.sleep(0.15)
            await talk.send(b":\n")
        await talk.event(4)
        await talk.silence()

    def use(url):
        statuses: list[Status] = []
        with connect_sync(url, Number, on_status=statuses.append) as events:
            numbers = [next(events).number]
            # pause between two reads for longer than the limit
            threading.Event().wait(1.1)
            numbers += [next(events).number for _ in range(3)]
        return numbers, [type(status).__name__ for status in statuses]

    server = await scripted(script)
    numbers, statuses = await asyncio.to_thread(use, server.url)

    assert numbers == [1, 2, 3, 4]
    assert statuses == ["Connecting", "Open", "Closed"]


class LateStream(httpx.SyncByteStream):
    """A body with a chunk that arrives just as its connection is cut."""

    def __init__(self) -> None:
        self._is_cut = threading.Event()

    def answer(self, _request: httpx.Request) -> httpx.Response:
        headers = {"Content-Type": "text/event-stream"}
        return httpx.Response(
            200, headers=headers, stream=self, extensions={"network_stream": self}
        )

    def get_extra_info(self, _name: str) -> None:
        """Return no socket; the watchdog asks for it when it cuts the connection."""
        self._is_cut.set()

    def __iter__(self) -> Iterator[bytes]:
        yield b'event: stream-open\ndata: {"resumed":false,"ping_interval":0.01}\n\n'
        self._is_cut.wait(20)
        yield b'data: {"type":"number","number":1}\n\n'


def test_chunk_that_arrives_during_a_cut_is_read_and_the_reason_kept():
    waits: list[str] = []

    def note(status: Status) -> None:
        if isinstance(status, Waiting):
            waits.append(status.reason)
            connection.close()

    with httpx.Client(transport=httpx.MockTransport(LateStream().answer)) as client:
        connection = connect_sync("http://test/", Number, client=client, on_status=note)
        with connection as events:
            assert [event.number for event in events] == [1]

    assert waits == ["stall"]
