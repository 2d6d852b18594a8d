"""A transport for httpx2 that streams: `httpx2.AsyncClient(transport=StreamingTransport(app))`.

The one that comes with httpx2 waits for the end of a response before it returns the beginning.
"""

from __future__ import annotations

import httpx2

from ._call import ApplicationTransport, Body


class StreamingTransport(ApplicationTransport, httpx2.AsyncBaseTransport):
    """Answers requests with an ASGI application, in the caller's own event loop.

    Errors that the application raises are raised here. The request's read timeout counts, as it
    does with a server. The lifespan is not run; `SSETestClient` does that.
    """

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request to the application and return as soon as it begins to answer.

        Raises:
            httpx2.ReadTimeout: It does not begin in time.
        """
        call = await self._call(request, httpx2.ReadTimeout)
        head = call.exchange
        return httpx2.Response(head.status_code, headers=head.headers, stream=_Body(call))


class _Body(Body, httpx2.AsyncByteStream):
    """The body of a response."""
