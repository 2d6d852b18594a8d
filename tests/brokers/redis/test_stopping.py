"""Starting and stopping a Redis broker at any moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels.brokers.redis import RedisBroker


def running() -> list[str]:
    """The tasks that the broker has on this loop."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    return [
        coroutine.__qualname__
        for coroutine in coroutines
        if "fastapi_sse_channels/brokers/redis" in coroutine.cr_code.co_filename
    ]


@pytest.mark.parametrize("turns", range(25))
async def test_stop_ends_while_a_command_is_under_way(redis_url, turns):
    broker = RedisBroker(redis_url, namespace=f"stopping-{turns}")
    await broker.start()
    assert running()
    for _ in range(turns):
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await broker.stop()

    assert running() == []


@pytest.mark.parametrize("follow", ["pattern", "channel"])
async def test_cancelled_stop_goes_on(server, follow, eventually):
    # a stop has not begun before its first turn
    for turns in range(1, 40):
        broker = RedisBroker(server.url, follow=follow)
        await broker.start()
        await broker.subscribe("note:1:events", Retention(256, 1024, 300), lambda: None)
        await cancelled_after(turns, broker.stop())

        await eventually(lambda: running() == [])
    assert server.subscribers() == []


async def test_cancelled_start_leaves_nothing(server, eventually):
    """The broker may be ready in the turn in which its caller is cancelled."""
    # how many turns a start takes is the server's affair
    started = turns = 0
    while started < 20:
        broker = RedisBroker(server.url)
        if not await cancelled_after(turns, broker.start()):
            started += 1
            await broker.stop()
        await eventually(lambda: running() == [])
        turns += 1

    assert server.subscribers() == []


async def cancelled_after(turns, coroutine):
    task = asyncio.create_task(coroutine)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()
