"""A probe that a process sends to itself through the server."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable

from ._tasks import end

logger = logging.getLogger("fastapi_sse_channels")


class Probe:
    """Notices a server that no longer answers, by talking to itself through it.

    A hung server keeps its connections open and says nothing, which no time-out on an idle
    pub/sub connection can tell from silence.
    """

    def __init__(
        self,
        publish: Callable[[str], Awaitable[object]],
        on_miss: Callable[[int], Awaitable[None]],
        *,
        interval: float,
    ) -> None:
        """Prepare a probe; `interval` is in seconds, and a miss takes as long."""
        self._publish = publish
        self._on_miss = on_miss
        self._interval = interval
        self._token = ""
        self._heard = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.misses = 0

    def start(self) -> None:
        """Begin to probe."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop probing."""
        await end(self._task)

    def heard(self, payload: bytes) -> None:
        """Take what the subscriber heard on the probe's channel."""
        if payload == self._token.encode():
            self._heard.set()

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            if await self._echoes():
                self.misses = 0
                await asyncio.sleep(self._interval)
            else:
                self.misses += 1
                await self._on_miss(self.misses)
                await asyncio.sleep(max(0.0, began + self._interval - time.monotonic()))

    async def _echoes(self) -> bool:
        self._heard.clear()
        self._token = secrets.token_hex(8)
        try:
            async with asyncio.timeout(self._interval):
                await self._publish(self._token)
                await self._heard.wait()
        except Exception:
            # any error is a miss: a probe that ended would never notice anything again
            logger.debug("the probe failed", exc_info=True)
            return False
        return True
