"""The response that carries one session."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fastapi import HTTPException
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from ._errors import BrokerError, DrainingError, SessionLimitError, SnapshotTooSlowError
from ._session import Session
from ._snapshot import SnapshotRefusedError
from ._wire import HEADERS

if TYPE_CHECKING:
    from starlette.background import BackgroundTask
    from starlette.types import Message, Receive, Scope, Send

    from ._channel import Channel
    from ._feed import Feed
    from ._hub import Hub
    from ._snapshot import SnapshotRoute

T = TypeVar("T")
SessionHook = Callable[[Session[T]], Awaitable[object] | object]

logger = logging.getLogger("fastapi_sse_channels")

# A hook that hangs must not keep the process from ending.
_DISCONNECT_TIMEOUT = 10.0
_RETRY_AFTER = {"Retry-After": "2"}


class StreamHooks(Generic[T]):
    """What a router does around its sessions."""

    __slots__ = ("on_connect", "on_disconnect", "snapshot")

    def __init__(
        self,
        snapshot: SnapshotRoute | None,
        on_connect: SessionHook[T] | None,
        on_disconnect: SessionHook[T] | None,
    ) -> None:
        """Keep the hooks together."""
        self.snapshot = snapshot
        self.on_connect = on_connect
        self.on_disconnect = on_disconnect


class ChannelResponse(EventSourceResponse, Generic[T]):
    """Streams a channel.

    sse-starlette's response with a `__call__` of its own: one task that waits for the client to
    leave, instead of four and a cancel scope for each event.
    """

    def __init__(  # the parent's set-up serves its own __call__ only
        self, channel: Channel[T], hooks: StreamHooks[T], last_event_id: str | None
    ) -> None:
        """Prepare a stream; nothing is opened before the response is called."""
        self.status_code = 200
        self.background: BackgroundTask | None = None  # FastAPI puts the request's tasks here
        self.raw_headers = list(HEADERS)
        self._channel = channel
        self._hooks = hooks
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves or the session ends."""
        await _close_dependencies(scope)
        if scope["method"] == "HEAD":
            await send(self._start())
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._stream(scope, receive, send)
        background: BackgroundTask | None = self.background
        if background is not None:
            await background()

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        hub = self._channel.manager.hub
        try:
            hub.check_limit()
            async with hub.following(self._channel.key) as feed:
                # again: others may have been let in while this one waited for the broker
                hub.check_limit()
                session = self._session(scope, receive, send, hub, feed)
                hub.add(session, feed)
                try:
                    await self._run(session, hub, receive)
                finally:
                    hub.discard(session, feed)
                    await self._disconnected(session)
        except SnapshotRefusedError:
            return
        except (DrainingError, SessionLimitError, SnapshotTooSlowError, BrokerError) as error:
            if not isinstance(error, DrainingError):
                logger.warning("stream of %r refused: %s", self._channel.key, error)
            raise HTTPException(503, str(error), headers=_RETRY_AFTER) from error

    def _session(
        self, scope: Scope, receive: Receive, send: Send, hub: Hub, feed: Feed
    ) -> Session[T]:
        snapshot = self._hooks.snapshot

        async def send_error(message: Message) -> None:
            # once the stream is open, an HTTP error has nowhere to go
            if not session.is_live:
                await send(message)

        async def load() -> Sequence[bytes]:
            return [] if snapshot is None else await snapshot.load(scope, receive, send_error)

        session = Session(
            self._channel,
            feed,
            send,
            receive,
            last_event_id=self._last_event_id,
            load_initial=load,
            settings=self._channel.manager.stream_settings,
            wake=hub.wake,
        )
        return session

    async def _run(self, session: Session[T], hub: Hub, receive: Receive) -> None:
        if self._hooks.on_connect is not None:
            await _call(self._hooks.on_connect, session)
        opening = await session.open()
        if hub.is_draining:
            msg = "the streams of this process are being ended; connect to another one"
            raise DrainingError(msg)
        try:
            if await session.send_first(self._start(), opening):
                await _until_gone(session, receive)
        finally:
            session.leave()

    async def _disconnected(self, session: Session[T]) -> None:
        if self._hooks.on_disconnect is None:
            return
        hook = asyncio.ensure_future(_call(self._hooks.on_disconnect, session))
        try:
            # shielded: the server may cancel a request whose client has left
            async with asyncio.timeout(_DISCONNECT_TIMEOUT):
                await asyncio.shield(hook)
        except TimeoutError:
            hook.cancel()
            logger.warning("%r: on_disconnect took longer than %s s", session, _DISCONNECT_TIMEOUT)
        except Exception:
            logger.exception("%r: on_disconnect failed", session)

    def _start(self) -> Message:
        # a copy: middlewares add to the headers they are handed
        headers = list(self.raw_headers)
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}


async def _until_gone(session: Session[Any], receive: Receive) -> None:
    """Wait until the client leaves or the session ends."""
    try:
        # a timeout that falls due when the session ends: the one way to wake this task that
        # does not take a second one
        async with asyncio.timeout(None) as until:
            loop = asyncio.get_running_loop()
            session.go_live(lambda: until.reschedule(loop.time()))
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        if not session.is_ended:
            raise


async def _close_dependencies(scope: Scope) -> None:
    """Close every dependency with `yield` before the first byte.

    FastAPI keeps them open until the response is over (since 0.118), so an open stream would pin
    a database connection. Closing the stack twice is harmless.
    """
    stack = scope.get("fastapi_inner_astack")
    if isinstance(stack, AsyncExitStack):
        await stack.aclose()


async def _call(hook: SessionHook[T], session: Session[T]) -> None:
    if inspect.iscoroutinefunction(hook):
        await hook(session)
    else:
        result = await run_in_threadpool(hook, session)
        if inspect.isawaitable(result):
            await result
