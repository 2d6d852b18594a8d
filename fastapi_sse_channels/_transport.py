"""Reach the socket behind an ASGI `send`, where the server lets us see it.

ASGI has no way to give up on a peer that reads nothing: a final body waits behind the full
buffer, and a closed transport still waits to flush it. Measured with uvicorn: such a connection
stays for ever and blocks its shutdown. Aborting the transport is the only cure.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

_MAX_WRAPPERS = 64
_SEND_NAMES = ("send", "_send")
_RECEIVE_NAMES = ("receive", "_receive", "wrapped_receive")


class AbortableTransport(Protocol):
    """What `asyncio.WriteTransport` offers to drop a connection at once."""

    def abort(self) -> None:
        """Close without flushing."""


def transport_behind(send: Any, receive: Any = None) -> AbortableTransport | None:
    """Follow middleware wrappers around `send` and `receive` to the server's transport.

    Starlette's `BaseHTTPMiddleware` hands on a `send` that leads to a queue of its own; the
    way past it is its `receive`.

    Returns:
        `None` where the server keeps its transport to itself (granian, hypercorn); the caller
        then has to end the response as ASGI allows.
    """
    return _followed(send, _SEND_NAMES) or _followed(receive, _RECEIVE_NAMES)


def _followed(function: Any, names: tuple[str, ...]) -> AbortableTransport | None:
    for _ in range(_MAX_WRAPPERS):
        owner = getattr(function, "__self__", None)
        transport: AbortableTransport | None = getattr(owner, "transport", None)
        if callable(getattr(transport, "abort", None)):
            return transport
        function = _wrapped(function, owner, names)
        if function is None:
            return None
    return None


def _wrapped(function: Any, owner: Any, names: tuple[str, ...]) -> Any:
    places = {name: getattr(owner, name, None) for name in names}
    if isinstance(function, functools.partial):
        places.update(function.keywords)
    plain = getattr(function, "__func__", function)
    if (code := getattr(plain, "__code__", None)) is not None:
        cells = zip(code.co_freevars, plain.__closure__ or (), strict=True)
        places.update((name, cell.cell_contents) for name, cell in cells if name in names)
    return next((places[name] for name in names if places[name] not in (None, function)), None)
