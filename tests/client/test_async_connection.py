"""The asynchronous connection alone: time limits of its caller, and `async` headers."""

from __future__ import annotations

import asyncio
from typing import Literal

import anyio
import httpx
import pytest
from pydantic import BaseModel

from fastapi_sse_channels.client import Closed, Connecting, Open, Status, connect


class Number(BaseModel):
    type: Literal["number"] = "number"
    number: int


async def silent(talk):
    await talk.open()
    await talk.silence()


async def test_cancelled_iteration_loses_nothing_and_stays_connected(scripted):
    may_go_on = asyncio.Event()

    async def waits(talk):
        await talk.open()
        await may_go_on.wait()
        await talk.event(1)
        await talk.silence()

    server = await scripted(waits)
    async with connect(server.url, Number) as events:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await anext(events)
        may_go_on.set()

        async with asyncio.timeout(5):
            assert (await anext(events)).number == 1
    assert len(server.requests) == 1


async def test_entering_within_a_time_limit_leaves_nothing_open(unused_ports):
    [port] = unused_ports(1)
    connection = connect(f"http://127.0.0.1:{port}/events", Number)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await connection.__aenter__()
    assert connection.status == Closed("caller")


async def test_async_headers_are_awaited(scripted):
    async def headers():
        await asyncio.sleep(0)
        return {"Authorization": "token"}

    server = await scripted(silent)
    async with connect(server.url, Number, headers=headers):
        pass
    assert server.requests[0]["authorization"] == "token"


async def test_error_of_on_status_is_raised_and_iterating_goes_on(scripted):
    async def once(talk):
        await talk.open()
        await talk.event(1)

    async def goes_on(talk):
        await talk.open("a.1", resumed=True)
        await talk.event(2)
        await talk.silence()

    def complain(status):
        if "Waiting" in repr(status):
            raise LookupError

    server = await scripted(once, goes_on)
    async with asyncio.timeout(5), connect(server.url, Number, on_status=complain) as events:
        assert (await anext(events)).number == 1
        with pytest.raises(LookupError):
            await anext(events)
        assert (await anext(events)).number == 2


async def test_cancel_scope_returns_the_connection_to_a_shared_client(scripted):
    server = await scripted(silent)
    statuses: list[Status] = []
    one = httpx.Limits(max_connections=1)

    async with httpx.AsyncClient(limits=one, timeout=httpx.Timeout(5, pool=1)) as client:
        for _ in range(3):
            with anyio.CancelScope() as scope:
                async with connect(
                    server.url, Number, client=client, on_status=statuses.append
                ) as events:
                    asyncio.get_running_loop().call_soon(scope.cancel)
                    await anext(events)
            assert scope.cancelled_caught

    assert statuses == [Connecting(), Open(resumed=False), Closed("caller")] * 3
