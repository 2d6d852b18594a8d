"""What remains of a request once its stream is open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import Receive

    from .hub import Hub
    from .stream import Stream

logger = logging.getLogger("fastapi_sse_channels")

# A hook that hangs must not keep the process from ending.
_DISCONNECT_TIMEOUT = 10.0


class RunningStream:
    """Runs an admitted stream until its end, and then calls the application's hook."""

    __slots__ = ("_hub", "_on_end", "_stream")

    def __init__(
        self, stream: Stream, hub: Hub, on_end: Callable[[], Awaitable[None]] | None
    ) -> None:
        """Keep what is needed to end the stream.

        Args:
            stream: An admitted stream.
            hub: The hub that admitted it.
            on_end: Awaited once the stream is no longer counted.
        """
        self._stream = stream
        self._hub = hub
        self._on_end = on_end

    async def run(self, receive: Receive) -> None:
        """Stream until the client leaves or the stream ends."""
        stream = self._stream
        task = asyncio.current_task()
        assert task is not None
        try:
            stream.go_live(task)
            while not stream.is_ended and (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            # a stream wakes its task in this way, without a second task or a timer; but the server
            # may have cancelled the task as well
            if not stream.has_woken_task or task.uncancel():
                raise
        finally:
            await self.end()

    async def end(self) -> None:
        """Send nothing more, stop counting the stream, and call the application's hook."""
        self._stream.leave()
        self._hub.dismiss(self._stream)
        if self._on_end is None:
            return
        telling = asyncio.ensure_future(self._on_end())
        telling.add_done_callback(self._told)
        # some servers cancel the request of a client that left; the hook then goes on without it
        await asyncio.wait([telling], timeout=_DISCONNECT_TIMEOUT)
        if not telling.done():
            telling.cancel()
            logger.warning(
                "%r: on_disconnect took longer than %s s", self._stream, _DISCONNECT_TIMEOUT
            )

    def _told(self, telling: asyncio.Future[None]) -> None:
        if not telling.cancelled() and (error := telling.exception()) is not None:
            logger.error("%r: on_disconnect failed", self._stream, exc_info=error)
