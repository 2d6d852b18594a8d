"""The response that carries one session."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

from fastapi import HTTPException
from sse_starlette import EventSourceResponse

from ._errors import BrokerError, DrainingError, SessionLimitError, SnapshotTooSlowError
from ._handoff import hand_off
from ._session import Session
from ._snapshot import NO_SNAPSHOT, SnapshotRefusedError
from ._stream import SessionHook, Stream, call_hook
from ._wire import HEADERS

if TYPE_CHECKING:
    from starlette.background import BackgroundTask
    from starlette.types import Message, Receive, Scope, Send

    from ._channel import Channel
    from ._feed import Feed
    from ._hub import Hub
    from ._snapshot import SnapshotRoute

T = TypeVar("T")

logger = logging.getLogger("fastapi_sse_channels")

_RETRY_AFTER = {"Retry-After": "2"}
_STORE_FAILED = "events are not available at present; the server's log says why"


class StreamHooks(Generic[T]):
    """The callables that a router was given for its sessions."""

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
    leave, instead of four and a cancel scope for each event; none where `SSEMiddleware` takes over.
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
        elif (stream := await self._open(scope, receive, send)) is not None:
            if self.background is None and hand_off(stream, scope, send):
                return
            await stream.run(receive)
        background: BackgroundTask | None = self.background
        if background is not None:
            await background()

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> Stream[T] | None:
        """Send the first bytes.

        Returns:
            `None` if the stream is over already.
        """
        hub = self._channel.manager.hub
        try:
            hub.check_limit()
            feed = await hub.follow(self._channel.key, self._last_event_id)
            try:
                # again: others may have been admitted while this one waited for the broker
                hub.check_limit()
            except SessionLimitError:
                hub.release(feed)
                raise
            return await self._open_on(hub, feed, scope, receive, send)
        except SnapshotRefusedError:
            return None
        except (DrainingError, SessionLimitError, SnapshotTooSlowError, BrokerError) as error:
            if not isinstance(error, DrainingError):
                logger.warning("stream of %r refused: %s", self._channel.key, error)
            # where the store is, and who has which rights there, is not for every client to know
            detail = _STORE_FAILED if isinstance(error, BrokerError) else str(error)
            raise HTTPException(503, detail, headers=_RETRY_AFTER) from error

    async def _open_on(
        self, hub: Hub, feed: Feed, scope: Scope, receive: Receive, send: Send
    ) -> Stream[T] | None:
        snapshot = self._hooks.snapshot
        initial = NO_SNAPSHOT if snapshot is None else snapshot.bind(scope, receive, send)
        session = Session(
            self._channel,
            feed,
            send,
            receive,
            last_event_id=self._last_event_id,
            load_initial=initial.load,
            settings=self._channel.manager.stream_settings,
            wake=hub.wake,
        )
        stream = Stream(session, hub, feed, self._hooks.on_disconnect)
        try:
            if self._hooks.on_connect is not None:
                await call_hook(self._hooks.on_connect, session)
            opening = await session.open()
            hub.check_draining()
            if await session.send_first(self._start(), opening):
                initial.detach()
                return stream
        except BaseException:
            await stream.end()
            raise
        await stream.end()
        return None

    def _start(self) -> Message:
        # a copy: middlewares add to the headers they are handed
        headers = list(self.raw_headers)
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}


async def _close_dependencies(scope: Scope) -> None:
    """Close every dependency with `yield` before the first byte.

    FastAPI keeps them open until the response is over (since 0.118), so an open stream would pin
    a database connection. Closing the stack twice is harmless.
    """
    stack = scope.get("fastapi_inner_astack")
    if isinstance(stack, AsyncExitStack):
        await stack.aclose()
