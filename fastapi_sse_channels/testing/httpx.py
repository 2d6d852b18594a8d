"""A transport for httpx that streams: `httpx.AsyncClient(transport=StreamingTransport(app))`.

The one that comes with httpx waits for the end of a response before it returns the beginning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx

from ._call import Call

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from ._exchange import Exchange


class StreamingTransport(httpx.AsyncBaseTransport):
    """Answers requests with an ASGI application, in the caller's own event loop.

    Errors that the application lets out are raised. The request's read timeout counts, as it does
    with a server. The lifespan is not run; `SSETestClient` does that.
    """

    def __init__(self, app: ASGIApp, *, state: dict[str, Any] | None = None) -> None:
        """Create a transport.

        Args:
            app: Such as a `FastAPI` object.
            state: What a lifespan shares with requests.
        """
        self._app = app
        self._state = {} if state is None else state

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the application and return as soon as it begins to answer.

        Raises:
            httpx.ReadTimeout: It does not begin in time.
        """
        call = Call(request, httpx.ReadTimeout)
        exchange = await call.answer(self._app, self._state)
        return httpx.Response(
            exchange.status_code, headers=exchange.headers, stream=_Body(call, exchange)
        )


class _Body(httpx.AsyncByteStream):
    def __init__(self, call: Call, exchange: Exchange) -> None:
        self._call = call
        self._exchange = exchange

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._call.body(self._exchange)

    async def aclose(self) -> None:
        await self._exchange.aclose()
