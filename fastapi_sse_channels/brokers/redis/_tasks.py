"""Ending background tasks that talk to Redis."""

from __future__ import annotations

import asyncio

_PATIENCE = 0.1


async def end(task: asyncio.Task[None] | None) -> None:
    """Cancel a task and wait until it is over.

    One `cancel` is not enough: `asyncio.wait_for`, which redis-py sends its commands with, loses
    a cancellation that meets the end of what it waits for (Python 3.11). A task that loops
    would then go on for ever, and whoever stops it would wait for ever.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE)
