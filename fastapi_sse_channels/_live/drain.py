"""Ends the streams of a process that shuts down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

from .._errors import DrainingError

if TYPE_CHECKING:
    from .stream import Stream
    from .subscriber import Subscriber

# Seconds; a healthy client takes its last bytes at once, and others would hold up the shutdown.
_GRACE = 0.5


class Drain:
    """Ends every stream of a hub, and refuses new ones until the hub starts again.

    Attributes:
        is_under_way: Whether it has begun.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        streams: Collection[Stream],
        subscribers: Collection[Subscriber],
    ) -> None:
        """Prepare to end what these collections hold when the drain begins."""
        self.is_under_way = False
        self._loop = loop
        self._streams = streams
        self._subscribers = subscribers
        self._task: asyncio.Task[None] | None = None
        self._all_gone = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Refuse a stream that would be ended at once.

        Raises:
            DrainingError: The streams of this process are being ended.
        """
        if self.is_under_way:
            msg = "the streams of this process are being ended; connect to another one"
            raise DrainingError(msg)

    def forget(self) -> None:
        """Admit streams again."""
        self.is_under_way = False
        self._task = None

    async def run(self) -> None:
        """End every stream of this process and wait until they are gone."""
        await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Task[None]:
        """End every stream of this process."""
        self.is_under_way = True
        if self._task is None:
            self._task = self._loop.create_task(self._end_all())
        return self._task

    def begin_from_signal(self) -> None:
        """End every stream; callable from a signal handler, and when the loop is closed."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.begin)

    def watch_server_of(self, stream: Stream) -> None:
        """Notice the shutdown of a server whose processes get no signal."""
        self._all_gone.clear()
        # the first stream shows the server of all
        if len(self._streams) == 1 and self._watching is None:
            shutdown = stream.sender.server_shutdown()
            if shutdown is not None:
                self._watching = self._loop.create_task(self._after(shutdown))

    def stream_left(self) -> None:
        """Look whether all streams are gone."""
        if self._streams:
            return
        self._all_gone.set()
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    async def _after(self, shutdown: Callable[[], Awaitable[None]]) -> None:
        await shutdown()
        self.begin()

    async def _end_all(self) -> None:
        for subscriber in tuple(self._subscribers):
            subscriber.end()
        for stream in tuple(self._streams):
            stream.close("shutdown", reconnect=True)
        if not self._streams:
            return
        try:
            async with asyncio.timeout(_GRACE):
                await self._all_gone.wait()
        except TimeoutError:
            for stream in tuple(self._streams):
                stream.abort()
            await self._all_gone.wait()
