"""The response that carries one stream."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

from fastapi import HTTPException
from sse_starlette import EventSourceResponse

from .._channel import Session, parts_of
from .._core.wire import HEADERS
from .._errors import BrokerError, DrainingError, SessionLimitError, SnapshotTooSlowError
from .._live.running import RunningStream
from .._live.sender import Sender
from .._live.stream import Stream
from .hooks import call_hook
from .middleware import hand_off
from .snapshot import NO_SNAPSHOT, SnapshotRefusedError
from .unavailable import RETRY_AFTER, UNAVAILABLE

if TYPE_CHECKING:
    from starlette.background import BackgroundTask
    from starlette.types import Message, Receive, Scope, Send

    from .._channel import Channel
    from .._live.hub import Hub
    from .hooks import StreamHooks
    from .snapshot import Initial

T = TypeVar("T")

logger = logging.getLogger("fastapi_sse_channels")

_OF_A_STREAM = {name for name, _ in HEADERS}
_DETAILS: dict[type[Exception], str] = {
    DrainingError: "this server is ending its streams; connect again",
    SessionLimitError: "too many streams are open; connect again later",
    SnapshotTooSlowError: "the current state changes faster than it loads; connect again later",
    BrokerError: UNAVAILABLE,
}


class ChannelResponse(EventSourceResponse, Generic[T]):
    """Streams a channel.

    sse-starlette's response with a `__call__` of its own: one task that waits for the client to
    leave, instead of four and a cancel scope for each event; none where `SSEMiddleware` takes over.
    """

    def __init__(  # the parent's set-up serves its own __call__ only
        self,
        channel: Channel[T],
        hooks: StreamHooks[T],
        last_event_id: str | None,
        headers: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """Prepare a stream; nothing is opened before the response is called.

        Args:
            channel: The channel.
            hooks: What the router was given for its sessions.
            last_event_id: Where the client wants to go on.
            headers: More headers of the response; those of a stream win.
        """
        self.status_code = 200
        self.background: BackgroundTask | None = None  # FastAPI puts the request's tasks here
        self.raw_headers = [*HEADERS, *(pair for pair in headers if pair[0] not in _OF_A_STREAM)]
        self._channel = channel
        self._hooks = hooks
        self._last_event_id = last_event_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves or the stream ends."""
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

    async def _open(self, scope: Scope, receive: Receive, send: Send) -> RunningStream | None:
        """Send the first bytes.

        Returns:
            `None` if the stream is over already.
        """
        engine, key = parts_of(self._channel)
        snapshot = self._hooks.snapshot
        initial = NO_SNAPSHOT if snapshot is None else snapshot.bind(scope, receive, send)
        try:
            hub = engine.hub
            stream = await hub.admit(
                key,
                self._last_event_id,
                lambda feed: Stream(
                    feed,
                    Sender(
                        send,
                        receive,
                        timeout=engine.stream_settings.send_timeout,
                        is_encrypted=scope.get("scheme") == "https",
                    ),
                    last_event_id=self._last_event_id,
                    load_initial=initial.load,
                    settings=engine.stream_settings,
                    wake=hub.wake,
                ),
            )
            return await self._begin(hub, stream, initial)
        except SnapshotRefusedError:
            return None
        except (DrainingError, SessionLimitError, SnapshotTooSlowError, BrokerError) as error:
            if not isinstance(error, DrainingError):
                logger.warning("stream of %r refused: %s", key, error)
            detail = next(text for kind, text in _DETAILS.items() if isinstance(error, kind))
            raise HTTPException(503, detail, headers=RETRY_AFTER) from error

    async def _begin(self, hub: Hub, stream: Stream, initial: Initial) -> RunningStream | None:
        running = RunningStream(stream, hub, self._on_end(stream))
        try:
            if self._hooks.on_connect is not None:
                await call_hook(self._hooks.on_connect, Session(self._channel, stream))
            opening = await stream.open()
            hub.drain.check()
            if await stream.send_first(self._start(), opening):
                initial.detach()
                return running
        except BaseException:
            await running.end()
            raise
        await running.end()
        return None

    def _on_end(self, stream: Stream) -> Callable[[], Awaitable[None]] | None:
        hook = self._hooks.on_disconnect
        if hook is None:
            return None
        return functools.partial(call_hook, hook, Session(self._channel, stream))

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
