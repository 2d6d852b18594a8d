"""The common part of the transports for httpx2 and for httpx."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from ._exchange import Exchange, open_exchange
from ._waiting import time_limit

if TYPE_CHECKING:
    from starlette.types import ASGIApp

T = TypeVar("T")


class ApplicationTransport:
    """Answers requests with an ASGI application; see `StreamingTransport` of either library."""

    def __init__(self, app: ASGIApp, *, state: dict[str, Any] | None = None) -> None:
        """Create a transport.

        Args:
            app: The application, such as a `FastAPI` object.
            state: The state that the lifespan shares with requests.
        """
        self._app = app
        self._state = {} if state is None else state

    async def _call(self, request: Any, read_timeout: Any) -> Call:
        """Send a request, and wait for the head of the response.

        Args:
            request: A request of either library; they are alike.
            read_timeout: The error class of that library.
        """
        exchange = open_exchange(self._app, request, await request.aread(), self._state)
        call = Call(exchange, request, read_timeout)
        try:
            await call.within_limit(exchange.head())
        except BaseException:
            await exchange.aclose()
            raise
        return call


class Call:
    """A request under way, with the body of its response."""

    def __init__(self, exchange: Exchange, request: Any, read_timeout: Any) -> None:
        """Take the time limit from the request."""
        self.exchange = exchange
        self._request = request
        self._read_timeout = read_timeout
        self._limit = request.extensions.get("timeout", {}).get("read")

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield chunks as the application sends them, until it ends the response."""
        while chunk := await self.within_limit(self.exchange.read()):
            yield chunk

    async def within_limit(self, waiting: Awaitable[T]) -> T:
        """Wait for no longer than the request's read timeout."""

        def too_late() -> Exception:
            msg = f"the application sent nothing for {self._limit} s"
            error: Exception = self._read_timeout(msg, request=self._request)
            return error

        async with time_limit(self._limit, too_late):
            return await waiting


class Body:
    """The body of a response; subclasses also inherit from the stream class of their library."""

    def __init__(self, call: Call) -> None:
        """Read the body of a call."""
        self._call = call

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the chunks."""
        return self._call.chunks()

    async def aclose(self) -> None:
        """Leave, as a client whose connection is gone."""
        await self._call.exchange.aclose()
