"""What remains of a request once its stream is open."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from starlette.concurrency import run_in_threadpool

from .stream import Session

if TYPE_CHECKING:
    from starlette.types import Receive

    from .feed import Feed
    from .hub import Hub

T = TypeVar("T")
SessionHook = Callable[[Session[T]], Awaitable[object] | object]

logger = logging.getLogger("fastapi_sse_channels")

# A hook that hangs must not keep the process from ending.
_DISCONNECT_TIMEOUT = 10.0


class Stream(Generic[T]):
    """A session that is counted, and what has to be done when it ends."""

    __slots__ = ("_feed", "_hub", "_on_disconnect", "session")

    def __init__(
        self, session: Session[T], hub: Hub, feed: Feed, on_disconnect: SessionHook[T] | None
    ) -> None:
        """Count the session until `end`."""
        self.session = session
        self._hub = hub
        self._feed = feed
        self._on_disconnect = on_disconnect
        hub.add(session, feed)

    async def run(self, receive: Receive) -> None:
        """Stream until the client leaves or the session ends."""
        session = self.session
        task = asyncio.current_task()
        assert task is not None
        try:
            session.go_live(task)
            while not session.is_ended and (await receive())["type"] != "http.disconnect":
                pass
        except asyncio.CancelledError:
            # this is how a session wakes its task, without a second task or a timer; but the server
            # may have cancelled it as well
            if not session.has_woken_task or task.uncancel():
                raise
        finally:
            await self.end()

    async def end(self) -> None:
        """Send nothing more, stop counting the session, and call `on_disconnect`."""
        self.session.leave()
        self._hub.discard(self.session, self._feed)
        self._hub.release(self._feed)
        if self._on_disconnect is None:
            return
        hook = asyncio.ensure_future(call_hook(self._on_disconnect, self.session))
        hook.add_done_callback(self._told)
        # some servers cancel the request of a client that left; the hook goes on by itself then
        await asyncio.wait([hook], timeout=_DISCONNECT_TIMEOUT)
        if not hook.done():
            hook.cancel()
            logger.warning(
                "%r: on_disconnect took longer than %s s", self.session, _DISCONNECT_TIMEOUT
            )

    def _told(self, hook: asyncio.Future[None]) -> None:
        if not hook.cancelled() and (error := hook.exception()) is not None:
            logger.error("%r: on_disconnect failed", self.session, exc_info=error)


async def call_hook(hook: SessionHook[T], session: Session[T]) -> None:
    """Call a hook; one that is not a coroutine function runs in a thread."""
    if inspect.iscoroutinefunction(hook):
        await hook(session)
    else:
        result = await run_in_threadpool(hook, session)
        if inspect.isawaitable(result):
            await result
