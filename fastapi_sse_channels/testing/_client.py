"""The client with which tests talk to an application."""

# ruff: noqa: ASYNC109  # a time limit that cannot be forgotten is what these functions are for

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from typing_extensions import TypeForm

from .._errors import ConfigurationError
from ._errors import StreamTimeoutError
from ._exchange import Exchange, open_exchange
from ._lifespan import Lifespan
from ._stream import SSETestStream
from ._waiting import time_limit

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import ASGIApp

T = TypeVar("T")


class HTTPResponse(Protocol):
    """The common part of a response of httpx2 and of httpx."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; names are found in any case."""
        ...

    @property
    def content(self) -> bytes:
        """The body."""
        ...

    @property
    def text(self) -> str:
        """The body as text."""
        ...

    def json(self, **options: Any) -> Any:
        """Return the body read as JSON."""
        ...

    def raise_for_status(self) -> Any:
        """Raise the library's own error for a 4xx or 5xx."""
        ...


class SSETestClient:
    """Talks to an ASGI application in the test's own event loop, and runs its lifespan.

    `async with SSETestClient(app) as client`. Requests go through httpx2, or through httpx where
    only that is installed. Streams send the cookies that earlier responses set.

    Attributes:
        http: The `AsyncClient` that makes the requests. Its own timeout applies to each read.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        base_url: str = "http://testserver",
        headers: Mapping[str, str] | None = None,
        timeout: float = 5.0,
    ) -> None:
        """Prepare a client; the application starts when it is entered.

        Args:
            app: The application, such as a `FastAPI` object.
            base_url: The address at which the application believes to be served.
            headers: Sent with every request.
            timeout: Seconds after which a request or a wait without a limit of its own fails.

        Raises:
            ConfigurationError: Neither httpx2 nor httpx is installed.
        """
        self._timeout = timeout
        self._app = app
        self._lifespan = Lifespan(app, timeout)
        library, transport = _http_library()
        self.http: Any = library.AsyncClient(
            transport=transport.StreamingTransport(app, state=self._lifespan.state),
            base_url=base_url,
            headers=headers,
            timeout=timeout,
            follow_redirects=True,
        )

    def __repr__(self) -> str:
        """Show which application it talks to."""
        return f"<SSETestClient of {self._app!r}>"

    async def __aenter__(self) -> Self:
        """Start the application.

        Raises:
            StreamTimeoutError: It does not start in time.
        """
        await self._lifespan.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the application, which ends the streams that are still open."""
        try:
            await self.http.aclose()
        finally:
            await self._lifespan.stop()

    def stream(
        self,
        url: str,
        event_type: TypeForm[T],
        *,
        last_event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | int | float | bool | None] | None = None,
        timeout: float | None = None,
    ) -> SSETestStream[T]:
        """Open a stream: `async with client.stream("/…/events", Event) as stream`.

        Args:
            url: The stream.
            event_type: The union of its `ChannelManager`.
            last_event_id: The id of an event after which to resume, as a reconnecting client does.
            headers: More headers.
            params: The parameters of the query.
            timeout: Seconds after which a wait of this stream fails; by default the client's.
        """
        given = dict(headers or {})
        if last_event_id is not None:
            given["Last-Event-ID"] = last_event_id

        async def start() -> Exchange:
            request = self.http.build_request("GET", url, headers=given, params=params)
            return open_exchange(self._app, request, b"", self._lifespan.state)

        limit = self._timeout if timeout is None else timeout
        return SSETestStream(event_type, start=start, timeout=limit)

    async def request(
        self, method: str, url: str, *, timeout: float | None = None, **options: Any
    ) -> HTTPResponse:
        """Send a request, and wait for the whole response.

        Args:
            method: The HTTP method, such as `"POST"`.
            url: The path or URL.
            timeout: Seconds; by default the client's.
            options: Arguments for the `request` method of httpx: `json`, `params`, `headers`, ….

        Raises:
            StreamTimeoutError: The response is not complete in time.
        """
        limit = self._timeout if timeout is None else timeout

        def too_late() -> StreamTimeoutError:
            msg = (
                f"{method} {url} was not answered within {limit} s; if it is a stream, which "
                "does not end, use client.stream(…)"
            )
            return StreamTimeoutError(msg)

        async with time_limit(limit, too_late):
            response: HTTPResponse = await self.http.request(method, url, timeout=limit, **options)
        return response

    async def get(self, url: str, **options: Any) -> HTTPResponse:
        """Send a GET request; see `request`."""
        return await self.request("GET", url, **options)

    async def post(self, url: str, **options: Any) -> HTTPResponse:
        """Send a POST request; see `request`."""
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Any) -> HTTPResponse:
        """Send a PUT request; see `request`."""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Any) -> HTTPResponse:
        """Send a PATCH request; see `request`."""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Any) -> HTTPResponse:
        """Send a DELETE request; see `request`."""
        return await self.request("DELETE", url, **options)


@functools.cache
def _http_library() -> tuple[Any, Any]:
    """Return httpx2 or httpx, in the order of Starlette's TestClient, and our module for it."""
    for name in ("httpx2", "httpx"):
        try:
            return importlib.import_module(name), importlib.import_module(f".{name}", __package__)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
    msg = "the test client needs httpx2 or httpx: pip install 'fastapi-sse-channels[testing]'"
    raise ConfigurationError(msg)
