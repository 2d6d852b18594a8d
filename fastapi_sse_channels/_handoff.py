"""Let go of a request once its stream is open.

An open stream needs a cursor and a way to send; its request keeps a dozen frames, the stacks of
its dependencies and their contexts for as long as it lives. So the request may finish instead,
and the stream live on in the middleware that began it. Measured: half the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._transport import past_forwarders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from ._stream import Stream

_DESK = "fastapi_sse_channels.handoff"
# FastAPI's exit stacks, Starlette's exception handlers, and the desk
_NOT_FOR_OTHERS = ("fastapi", "starlette.")
_COPIED = "headers"


class SSEMiddleware:
    """Halves the memory of open streams: `app.add_middleware(SSEMiddleware)`.

    Optional. Also wraps a whole application, `app = SSEMiddleware(app)`, which saves a little
    more. The middlewares inside of it, those added before it, see the request of a stream end as
    soon as the stream is open. Where one of them wraps `send` in its own way, streams stay in
    their request, and nothing is gained or lost.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a request, then the stream it opened."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stream = await self._stream_of(scope, receive, send)
        if stream is not None:
            await stream.run(receive)

    async def _stream_of(self, scope: Scope, receive: Receive, send: Send) -> Stream[Any] | None:
        desk = _Desk(send)
        # what the frameworks keep in the scope of a request would weigh on its stream, and so would
        # the copy that Starlette makes of the headers
        inner = {**scope, _DESK: desk}
        try:
            await self.app(inner, receive, send)
        except BaseException:
            if desk.stream is not None:
                await desk.stream.end()
            raise
        finally:
            # for middlewares around this one, which may name the route or the user
            scope.update(
                (name, inner[name])
                for name in inner
                if name != _COPIED and not name.startswith(_NOT_FOR_OTHERS)
            )
        return desk.stream


class _Desk:
    """Where a request leaves its stream."""

    __slots__ = ("_send", "stream")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.stream: Stream[Any] | None = None

    def accepts(self, send: Send) -> bool:
        """Whether what the response sends arrives here unchanged."""
        return past_forwarders(send) == past_forwarders(self._send)


def hand_off(stream: Stream[Any], scope: Scope, send: Send) -> bool:
    """Leave a stream to the middleware.

    Args:
        stream: An open one.
        scope: That of its request.
        send: The one its response was called with.

    Returns:
        Whether there is a middleware that takes it.
    """
    desk = scope.get(_DESK)
    if not isinstance(desk, _Desk) or not desk.accepts(send):
        return False
    desk.stream = stream
    return True
