"""The heartbeat reports a stall of the event loop, and nothing else."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.heartbeat import INTERVAL, Heartbeat


@pytest.fixture
async def heartbeat():
    heart = Heartbeat()
    task = asyncio.create_task(heart.run())
    await asyncio.sleep(INTERVAL * 3)
    heart.reset()
    yield heart
    task.cancel()


def compute(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("occupy", [compute, time.sleep], ids=["computing", "blocking"])
async def test_blocked_loop_stalls(heartbeat, occupy):
    occupy(0.15)
    await asyncio.sleep(INTERVAL * 3)

    assert heartbeat.stall > 0.15 - 2 * INTERVAL


async def test_waiting_is_no_stall(heartbeat):
    await asyncio.sleep(0.3)

    assert heartbeat.stall < 0.1
