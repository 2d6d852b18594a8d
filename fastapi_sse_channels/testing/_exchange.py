"""One request to an ASGI application, answered in the caller's own event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from ._errors import StreamEndedError, StreamTimeoutError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Scope

# seconds for the application to notice that its client has left
_GRACE = 5.0


class Exchange:
    """A request under way. A cancelled read loses nothing.

    Attributes:
        status_code: The HTTP status, 0 before `head` returns.
        headers: The headers as the application sent them.
    """

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes = b"") -> None:
        """Start the application in a task of its own."""
        self.status_code = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self._name = f"{scope['method']} {scope['path']}"
        self._body: bytes | None = body
        self._chunks: deque[bytes] = deque()
        self._is_complete = False
        self._has_failed = False
        self._changed = asyncio.Event()
        self._gone = asyncio.Event()
        self._task = asyncio.ensure_future(self._run(app, scope))
        self._task.add_done_callback(lambda _: self._changed.set())

    async def head(self) -> None:
        """Wait for the status and the headers.

        Raises:
            StreamEndedError: The application returned without a response.
        """
        while not self.status_code:
            await self._change()

    async def read(self) -> bytes:
        """Return the next chunk of the body, or nothing at its end.

        Raises:
            StreamEndedError: The application returned in mid-response.
        """
        while not self._chunks:
            if self._is_complete:
                return b""
            await self._change()
        return self._chunks.popleft()

    async def aclose(self) -> None:
        """Leave as a client whose connection is gone, and wait until the application notices.

        An application that has not begun to answer is cancelled: handlers do not check whether
        their client is still there.

        Raises:
            StreamTimeoutError: The application went on streaming, and was cancelled.
        """
        self._gone.set()
        try:
            await asyncio.wait([self._task], timeout=_GRACE if self.status_code else 0)
        finally:
            is_stuck = not self._task.done()
            self._task.cancel()
        if is_stuck:
            await asyncio.wait([self._task], timeout=_GRACE)
            if self.status_code:
                msg = f"{self._name}: the application goes on {_GRACE} s after its client has left"
                raise StreamTimeoutError(msg)
        self._check_failure()

    async def _change(self) -> None:
        if self._task.done():
            self._check_failure()
            msg = f"{self._name}: the application returned before its response was complete"
            raise StreamEndedError(msg)
        self._changed.clear()
        await self._changed.wait()

    def _check_failure(self) -> None:
        # raise it once: an error that a read has raised is not raised again by `aclose`
        if not self._has_failed and self._task.done() and not self._task.cancelled():
            error = self._task.exception()
            if error is not None:
                self._has_failed = True
                raise error

    async def _run(self, app: ASGIApp, scope: Scope) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.headers = list(message.get("headers", []))
            self.status_code = message["status"]
        elif message["type"] == "http.response.body" and not self._gone.is_set():
            # once the client is gone, servers discard what is sent
            if body := message.get("body", b""):
                self._chunks.append(bytes(body))
            self._is_complete = not message.get("more_body", False)
        self._changed.set()


def open_exchange(app: ASGIApp, request: Any, body: bytes, state: dict[str, Any]) -> Exchange:
    """Send a request of httpx or httpx2 to an application.

    Args:
        app: The application.
        request: A request of either library; they are alike.
        body: The content of the request.
        state: The lifespan's state; the application gets a copy.
    """
    url = request.url
    path, _, query = url.raw_path.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": url.scheme,
        "path": url.path,
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 50000),
        "server": (url.host, url.port or (443 if url.scheme == "https" else 80)),
        "state": state.copy(),
    }
    return Exchange(app, scope, body)
