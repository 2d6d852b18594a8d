"""The common base of the asynchronous and the blocking connection: everything but waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from .._errors import ConfigurationError
from ._httpx import httpx
from ._request import Route, request_headers, shown, stream_timeout

if TYPE_CHECKING:
    from ._state import StreamState
    from ._status import Status

T = TypeVar("T")
C = TypeVar("C", httpx.Client, httpx.AsyncClient)


class BaseConnection(Generic[T]):
    """Events of one stream, over as many requests as it takes."""

    _usage: ClassVar[str]

    def __init__(self, state: StreamState[T], url: str | httpx.URL) -> None:
        """Use `connect` or `connect_sync`."""
        self._state = state
        self._url = httpx.URL(url)
        self._response: httpx.Response | None = None

    def __repr__(self) -> str:
        """Show the URL and the status."""
        return f"<{type(self).__name__} {shown(self._url)} {self._state.status}>"

    @property
    def status(self) -> Status:
        """Where the connection stands."""
        return self._state.status

    @property
    def last_event_id(self) -> str | None:
        """The id from which a later connection can resume.

        It is the id of the last event returned; store it once the program has handled that event.
        """
        return self._state.last_event_id or None

    def _entered(self, client: C | None) -> C:
        if client is None:
            msg = f"nothing is open yet; use `{self._usage} as events:`"
            raise ConfigurationError(msg)
        return client

    def _route(
        self,
        client: httpx.Client | httpx.AsyncClient,
        own: Mapping[str, str],
        given: Mapping[str, str] | None,
        *,
        read_timeout: float | None,
    ) -> Route:
        headers = request_headers(own, given, client.headers)
        timeout = stream_timeout(client.timeout, read_timeout)
        request = client.build_request("GET", self._url, headers=headers, timeout=timeout)
        return Route(client, request, headers)

    def _begins(self, response: httpx.Response) -> bool:
        """Take the head of the response; see `StreamState.respond`."""
        self._response = response
        return self._state.respond(shown(response.url), response.status_code, response.headers)
