"""Tasks that talk to Redis: a time limit that holds, and an end that comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

T = TypeVar("T")

_PATIENCE = 0.1


async def end(task: asyncio.Task[T] | None) -> None:
    """Cancel a task and wait until it is over.

    One `cancel` is not enough: `asyncio.wait_for`, which redis-py sends its commands with, loses
    a cancellation that meets the end of what it waits for (Python 3.11). A task that loops
    would then go on for ever, and whoever stops it would wait for ever.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE)


class TimeLimit:
    """Awaits each command for a limited time.

    `asyncio.timeout` depends on the one cancellation that it sends; where redis-py loses that
    (see `end`), the command goes on for as long again. Here the caller gets its error in time, and
    a command that cannot be cancelled ends by itself.
    """

    def __init__(self, seconds: float) -> None:
        """Allow each command `seconds`."""
        self.seconds = seconds
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __call__(self, command: Awaitable[T]) -> T:
        """Await a command.

        Raises:
            TimeoutError: It took too long, and whether it was executed is not known.
        """
        task: asyncio.Task[T] = asyncio.ensure_future(_await(command))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        try:
            await asyncio.wait([task], timeout=self.seconds)
            if task.done():
                return task.result()
            raise TimeoutError
        finally:
            task.cancel()

    async def stop(self) -> None:
        """End the commands that still go on."""
        for task in tuple(self._tasks):
            await end(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # may have no one waiting


async def _await(command: Awaitable[T]) -> T:
    return await command
