"""Lets go of a request once its stream is open.

An open stream needs a cursor and a way to send, but its request keeps a dozen stack frames, the
exit stacks of its dependencies and their contexts alive. So the request may finish, while the
stream lives on in the middleware around it. Measured: half the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._servers.transport import past_forwarders

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .._live.running import RunningStream

_DESK = "fastapi_sse_channels.handoff"
# the frameworks' exit stacks and exception handlers, and the desk
_NOT_FOR_OTHERS = ("fastapi", "starlette.")
# Starlette puts its own copy of the scope there, which the stream would keep too
_COPIED = "headers"


class SSEMiddleware:
    """Halves the memory of open streams: `app.add_middleware(SSEMiddleware)`.

    It is optional. It can also wrap the whole application, `app = SSEMiddleware(app)`, which saves
    a little more. Middlewares inside it, those added before it, see the request of a stream end as
    soon as the stream is open. Where one of them wraps `send` in a way of its own, streams stay in
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

    async def _stream_of(self, scope: Scope, receive: Receive, send: Send) -> RunningStream | None:
        desk = _Desk(send)
        # without this copy, the stream would keep all that the frameworks put into the scope
        inner = {**scope, _DESK: desk}
        try:
            await self.app(inner, receive, send)
        except BaseException:
            if desk.stream is not None:
                await desk.stream.end()
            raise
        finally:
            # middlewares around this one may look for the route or the user
            scope.update(
                (name, inner[name])
                for name in inner
                if name != _COPIED and not name.startswith(_NOT_FOR_OTHERS)
            )
        return desk.stream


class _Desk:
    """The place in a request's scope where the request leaves its stream."""

    __slots__ = ("_send", "stream")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.stream: RunningStream | None = None

    def accepts(self, send: Send) -> bool:
        """Whether messages given to this `send` reach ours unchanged."""
        return past_forwarders(send) == past_forwarders(self._send)


def hand_off(stream: RunningStream, scope: Scope, send: Send) -> bool:
    """Leave a stream to the middleware.

    Args:
        stream: An open stream.
        scope: The scope of its request.
        send: The `send` of its response.

    Returns:
        Whether a middleware took it.
    """
    desk = scope.get(_DESK)
    if not isinstance(desk, _Desk) or not desk.accepts(send):
        return False
    desk.stream = stream
    return True
