"""Requests and redirects, for both drivers."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from .._errors import ConfigurationError
from ._httpx import httpx

# These errors may pass, and lead to another attempt. `headers()` may raise them as well.
TRANSIENT = (httpx.TransportError, httpx.DecodingError, httpx.TooManyRedirects, OSError)
_PERMANENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)

# httpx raises these for a `Location` that is not a URL, and for a URL without a usable server.
_NO_URL = (httpx.InvalidURL, UnicodeError)
_NO_TARGET = (*_NO_URL, *_PERMANENT)
_LAST_PORT = 65_535

_MAX_REDIRECTS = 5
# Only these headers go to an origin that the caller did not name: none of the caller's own.
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
    """The requests of one attempt: follows redirects, and decides which headers they get.

    httpx itself would take all headers but two to any origin, and read the body of each redirect.

    Attributes:
        request: The next request.
        auth: The `auth` argument for sending it.
    """

    def __init__(
        self, client: httpx.Client | httpx.AsyncClient, request: httpx.Request, own: httpx.Headers
    ) -> None:
        """Begin with the caller's request.

        Args:
            client: Says whether to follow redirects.
            request: The first request.
            own: The headers of that request without those of the client.
        """
        self.request = request
        self.auth: Any = httpx.USE_CLIENT_DEFAULT
        self._own = own
        self._is_followed = client.follow_redirects
        self._most = min(client.max_redirects, _MAX_REDIRECTS)
        self._count = 0

    @contextmanager
    def sending(self) -> Generator[None]:
        """Turn the error of an impossible redirect target into that of a failed attempt.

        Raises:
            RemoteProtocolError: The server named a URL to which no request can be sent.
        """
        try:
            yield
        except _NO_TARGET as error:
            if self._count or isinstance(error, _NO_URL):
                raise self._astray() from error
            raise  # the caller gave the URL or the headers

    def leads_on(self, response: httpx.Response) -> bool:
        """Whether the response is a redirect to follow; `follow` then prepares the next request."""
        # an empty `Location` leads back here, for ever
        leads_on = bool(response.headers.get("location"))
        return self._is_followed and leads_on and response.next_request is not None

    def follow(self, response: httpx.Response) -> None:
        """Prepare the request to which a response redirects.

        Raises:
            TooManyRedirects: The limit of redirects is reached.
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


def request_headers(
    own: Mapping[str, str], given: Mapping[str, str] | None, client: httpx.Headers
) -> httpx.Headers:
    """Merge the user's headers with those the stream needs.

    Args:
        own: What the stream needs.
        given: The user's, for this stream.
        client: The user's, for every request; they are added later.
    """
    headers = httpx.Headers(given)
    # no answer of a cache without asking the server; the user may know better
    if "cache-control" not in client:
        headers.setdefault("Cache-Control", "no-cache")
    # httpx refuses text that is not ASCII, and an id is UTF-8 on the wire: encode it here. It also
    # refuses spaces around a value, which do not belong to the value.
    headers.update({name.encode(): value.strip(" \t").encode() for name, value in own.items()})
    return headers


def stream_timeout(timeout: httpx.Timeout, read: float | None) -> httpx.Timeout:
    """Replace a client's read timeout: its default of 5 s is shorter than a ping interval."""
    return httpx.Timeout(connect=timeout.connect, write=timeout.write, pool=timeout.pool, read=read)


def check_permanent(error: Exception) -> None:
    """Raise for a request that no attempt can send.

    Raises:
        ConfigurationError: The URL or the headers cannot work.
    """
    if isinstance(error, _PERMANENT):
        # without the header's value, which may be a token; the error itself would show it as well
        said = re.sub(r"^(Illegal header \w+) b.*", r"\1", str(error), flags=re.DOTALL)
        msg = f"the request cannot be sent: {said}; check the URL and the headers"
        raise ConfigurationError(msg) from None


def shown(url: httpx.URL) -> str:
    """Return a URL without query, user and fragment, which may hold secrets."""
    return str(url.copy_with(query=None, userinfo=b"", fragment=None))


def _is_trusted(known: httpx.URL, url: httpx.URL) -> bool:
    """Whether two URLs have one origin, or the second is the https form of the first."""
    return known.host == url.host and (
        (known.scheme, known.port) == (url.scheme, url.port)
        or (known.scheme, known.port, url.scheme, url.port) == ("http", None, "https", None)
    )
