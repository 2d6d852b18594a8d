"""What both drivers ask of httpx."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import ConfigurationError
from ._httpx import httpx

# A request or body that failed for reasons that may pass. `headers()` may raise them as well.
TRANSIENT = (httpx.TransportError, httpx.DecodingError, httpx.TooManyRedirects, OSError)
_PERMANENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def request_headers(own: Mapping[str, str], given: Mapping[str, str] | None) -> httpx.Headers:
    """Merge the user's headers with those the stream needs."""
    # a proxy that compresses may hold events back
    headers = httpx.Headers({"Accept-Encoding": "identity", **(given or {})})
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
