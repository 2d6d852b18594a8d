"""Reach the server behind an ASGI `send`, where that is possible.

ASGI has no way to give up on a peer that reads nothing: a final body waits behind the full
buffer, and a closed transport still waits to flush it. Under uvicorn such a connection stays for
ever and blocks the shutdown (measured). Only aborting the transport ends it.
"""

from __future__ import annotations

import functools
import select
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    from starlette.types import Send

_MAX_WRAPPERS = 64
# Only Linux reports that the peer has closed while data it sent is still unread.
_TLS_BUFFER = 16 * 1024
_HANG_UP: int = getattr(select, "POLLRDHUP", 0)
# The names that middlewares give the functions they wrap. The `send` of Starlette's
# BaseHTTPMiddleware ends in a queue; its `wrapped_receive` leads past it.
_NAMES = ("send", "_send", "receive", "_receive", "wrapped_receive")

# The frameworks wrap `send` with these to see that a response has started; every later message
# becomes a plain `await send(message)` (read in Starlette 1.10 and FastAPI 0.165).
_FORWARDERS = frozenset(
    {
        (
            "starlette._exception_handler",
            "wrap_app_handling_exceptions.<locals>.wrapped_app.<locals>.sender",
        ),
        ("starlette.middleware.errors", "ServerErrorMiddleware.__call__.<locals>._send"),
        ("starlette.middleware.cors", "CORSMiddleware.send"),
        ("fastapi._body_limit", "AppBodyLimitMiddleware.__call__.<locals>.send_response"),
    }
)


class AbortableTransport(Protocol):
    """The part of `asyncio.WriteTransport` that drops a connection at once."""

    def abort(self) -> None:
        """Close without flushing."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the number of bytes above which a `send` waits."""
        ...

    def is_closing(self) -> bool:
        """Whether the connection is closed, or is being closed."""
        ...

    def get_extra_info(self, name: str) -> Any:
        """Return the `socket`, among others."""


def transport_behind(send: Any, receive: Any) -> AbortableTransport | None:
    """Follow middleware wrappers to the server's transport.

    Returns:
        `None` where the server keeps its transport to itself (granian), or other requests share it
        (HTTP/2); the caller then has to end the response as ASGI allows.
    """
    for owner in owners(send, receive):
        # uvicorn's cycle has the transport, gunicorn's body receiver has a protocol with it, and
        # hypercorn has a stream writer
        for place in (owner, *(getattr(owner, name, None) for name in ("protocol", "writer"))):
            transport = getattr(place, "transport", None)
            if callable(getattr(transport, "abort", None)):
                return cast("AbortableTransport", transport)
        if hasattr(owner, "streams"):
            # all HTTP/2 streams of a hypercorn connection share its transport
            return None
    return None


def bound_buffer(transport: AbortableTransport) -> None:
    """Keep a connection with TLS from buffering more for a client that reads nothing.

    Its layers buffer one after the other, and the outermost would take 512 KiB (measured with
    uvloop: 720 KiB for each such client, and 160 KiB with this limit).
    """
    if transport.get_extra_info("ssl_object") is not None:
        transport.set_write_buffer_limits(high=_TLS_BUFFER)


def left_by_peer(
    transports: Iterable[AbortableTransport],
) -> Sequence[AbortableTransport]:
    """Return the connections that the peer has closed, even those that nobody reads from."""
    left = []
    waiting = {}
    for transport in transports:
        if transport.is_closing():
            left.append(transport)
        elif (opened := transport.get_extra_info("socket")) is not None:
            waiting[opened.fileno()] = transport
    if _HANG_UP and waiting:
        poll = select.poll()
        for descriptor in waiting:
            poll.register(descriptor, _HANG_UP)
        left += [waiting[descriptor] for descriptor, _ in poll.poll(0)]
    return left


def past_forwarders(send: Send) -> Send:
    """Return the function that a `send` hands the body of a response on to, unchanged.

    Each wrapper less saves a coroutine for every event of every stream. Only wrappers that are
    known to forward the body are passed over; a user's middleware stays in place.
    """
    following: Send | None = send
    while following is not None:
        send = following
        plain = send.func if isinstance(send, functools.partial) else send
        name = getattr(plain, "__module__", None), getattr(plain, "__qualname__", None)
        following = next(_wrapped(send, None), None) if name in _FORWARDERS else None
    return send


def owners(send: Any, receive: Any) -> Iterator[object]:
    """Iterate over the objects that middlewares and the server made these functions of."""
    functions = [send, receive]
    for function in functions:
        owner = getattr(function, "__self__", None)
        yield owner
        if len(functions) < _MAX_WRAPPERS:
            functions += [found for found in _wrapped(function, owner) if found not in functions]


def _wrapped(function: Any, owner: Any) -> Iterator[Any]:
    places = {name: getattr(owner, name, None) for name in _NAMES}
    if isinstance(function, functools.partial):
        places.update(function.keywords)
    plain = getattr(function, "__func__", function)
    if (code := getattr(plain, "__code__", None)) is not None:
        cells = zip(code.co_freevars, getattr(plain, "__closure__", None) or (), strict=True)
        places.update((name, _content(cell)) for name, cell in cells if name in _NAMES)
    return (places[name] for name in _NAMES if callable(places[name]))


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None
