"""Time limits and endings that do not depend on a cancellation being heard."""

from __future__ import annotations

import asyncio
import time

import pytest

from fastapi_sse_channels.brokers.redis._tasks import TimeLimit


class Deaf:
    """A command that loses cancellations, as `asyncio.wait_for` can on Python 3.11."""

    def __init__(self, lost: int) -> None:
        self.lost = lost
        self.has_begun = False
        self.is_over = False

    async def __call__(self) -> None:
        self.has_begun = True
        for _ in range(self.lost + 1):
            try:
                await asyncio.sleep(3)
            except asyncio.CancelledError:
                self.lost -= 1
                if self.lost < 0:
                    self.is_over = True
                    raise


async def test_result_of_a_command_is_returned():
    assert await TimeLimit(5)(asyncio.sleep(0, "result")) == "result"


async def test_error_of_a_command_is_raised():
    async def failing() -> None:
        raise ValueError("of the command")

    with pytest.raises(ValueError, match="of the command"):
        await TimeLimit(5)(failing())


async def test_caller_of_a_deaf_command_is_told_in_time():
    command = Deaf(lost=1)
    limit = TimeLimit(0.05)
    began = time.monotonic()

    with pytest.raises(TimeoutError):
        await limit(command())

    assert time.monotonic() - began < 2
    assert not command.is_over
    await limit.stop()
    assert command.is_over


async def test_command_is_cancelled_with_its_caller(eventually):
    command = Deaf(lost=0)
    limit = TimeLimit(60)
    caller = asyncio.ensure_future(limit(command()))
    await eventually(lambda: command.has_begun)

    caller.cancel()
    await asyncio.wait([caller])

    assert caller.cancelled()
    await limit.stop()
    assert command.is_over
