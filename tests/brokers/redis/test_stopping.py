"""Stopping a Redis broker at any moment."""

from __future__ import annotations

import asyncio

import pytest

from fastapi_sse_channels.brokers.redis import RedisBroker


@pytest.mark.parametrize("turns", range(25))
async def test_stop_ends_while_a_command_is_under_way(redis_url, turns):
    broker = RedisBroker(redis_url, namespace=f"stopping-{turns}")
    await broker.start()
    for _ in range(turns):
        await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await broker.stop()

    assert [task for task in asyncio.all_tasks() if "redis" in repr(task.get_coro())] == []
