"""What both drivers ask of httpx."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from .._errors import ConfigurationError
from ._httpx import httpx

# A request or body that failed for reasons that may pass. `headers()` may raise them as well.
TRANSIENT = (httpx.TransportError, httpx.DecodingError, httpx.TooManyRedirects, OSError)
_PERMANENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)

# What httpx raises for a `Location` that is no URL, and for one that is none of a server.
_NO_URL = (httpx.InvalidURL, UnicodeError)
_NO_TARGET = (*_NO_URL, *_PERMANENT)
_LAST_PORT = 65_535

_MAX_REDIRECTS = 5
# What a request to an origin that the caller did not name may say: nothing of the caller's.
_PUBLIC = frozenset(
    {
        "accept",
        "accept-encoding",
        "cache-control",
        "connection",
        "host",
        "last-event-id",
        "user-agent",
    }
)


class Route:
    """The requests of one attempt: where redirects lead, and what is sent there.

    httpx itself would take all headers but two to any origin, and read the body of each redirect.

    Attributes:
        request: The next one.
        auth: What the client is to add to it.
    """

    def __init__(
        self, client: httpx.Client | httpx.AsyncClient, request: httpx.Request, own: httpx.Headers
    ) -> None:
        """Begin with the request of the caller.

        Args:
            client: Says whether to follow redirects.
            request: The first one.
            own: Its headers without those of the client.
        """
        self.request = request
        self.auth: Any = httpx.USE_CLIENT_DEFAULT
        self._own = own
        self._is_followed = client.follow_redirects
        self._most = min(client.max_redirects, _MAX_REDIRECTS)
        self._count = 0

    @contextmanager
    def sending(self) -> Generator[None]:
        """Take a URL of the server's that no request can be sent to for a failed attempt.

        Raises:
            RemoteProtocolError: It is one.
        """
        try:
            yield
        except _NO_TARGET as error:
            if self._count or isinstance(error, _NO_URL):
                raise self._astray() from error
            raise  # the caller's own URL or headers

    def leads_on(self, response: httpx.Response) -> bool:
        """Whether this answer leads to another request, for which `follow` makes it ready."""
        return self._is_followed and response.next_request is not None

    def follow(self, response: httpx.Response) -> None:
        """Turn to where a response leads.

        Raises:
            TooManyRedirects: It is one too many.
            RemoteProtocolError: No request can be sent there.
        """
        following = response.next_request
        assert following is not None
        if self._count >= self._most:
            msg = f"more than {self._most} redirects"
            raise httpx.TooManyRedirects(msg, request=self.request)
        if (following.url.port or 0) > _LAST_PORT:
            raise self._astray()
        self._count += 1
        if self.auth is not None and _is_trusted(self.request.url, following.url):
            # httpx leaves out a cookie that the caller gave as a header
            following.headers.update(self._own)
        else:
            self.auth = None
            headers = following.headers.multi_items()
            following.headers = httpx.Headers(
                [(name, value) for name, value in headers if name in _PUBLIC]
            )
        self.request = following

    def _astray(self) -> httpx.RemoteProtocolError:
        msg = "no request can be sent to where this one leads"
        return httpx.RemoteProtocolError(msg, request=self.request)


def request_headers(own: Mapping[str, str], given: Mapping[str, str] | None) -> httpx.Headers:
    """Merge the user's headers with those the stream needs."""
    headers = httpx.Headers(given)
    # as bytes: an id is UTF-8 on the wire, and httpx would refuse what is not ASCII; spaces around
    # a value are no part of it, and refused as well
    headers.update({name.encode(): value.strip(" \t").encode() for name, value in own.items()})
    return headers


def stream_timeout(timeout: httpx.Timeout, read: float | None) -> httpx.Timeout:
    """Keep a client's timeouts, but for reading: 5 s by default, less than between two pings."""
    return httpx.Timeout(connect=timeout.connect, write=timeout.write, pool=timeout.pool, read=read)


def check_permanent(error: Exception) -> None:
    """Tell a request that can never be sent from one that failed.

    Raises:
        ConfigurationError: It can never be sent.
    """
    if isinstance(error, _PERMANENT):
        msg = f"the request cannot be sent: {error}; check the URL and the headers"
        raise ConfigurationError(msg) from error


def shown(url: httpx.URL) -> str:
    """Return a URL without its query and user, which may hold secrets."""
    return str(url.copy_with(query=None, userinfo=b"", fragment=None))


def _is_trusted(known: httpx.URL, url: httpx.URL) -> bool:
    """Whether this is the same origin, or the same host's own step from http to https."""
    return known.host == url.host and (
        (known.scheme, known.port) == (url.scheme, url.port)
        or (known.scheme, known.port, url.scheme, url.port) == ("http", None, "https", None)
    )
