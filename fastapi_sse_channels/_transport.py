"""Reach the socket behind an ASGI `send`, where the server lets us see it.

ASGI has no way to give up on a peer that reads nothing: a final body waits behind the full
buffer, and a closed transport still waits to flush it. Measured with uvicorn: such a connection
stays for ever and blocks its shutdown. Aborting the transport is the only cure.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

_MAX_WRAPPERS = 64


class AbortableTransport(Protocol):
    """What `asyncio.WriteTransport` offers to drop a connection at once."""

    def abort(self) -> None:
        """Close without flushing."""


def transport_behind(send: Any) -> AbortableTransport | None:
    """Follow middleware wrappers around `send` to the server's transport.

    Returns:
        `None` where the server keeps its transport to itself (granian, hypercorn); the caller
        then has to end the response as ASGI allows.
    """
    for _ in range(_MAX_WRAPPERS):
        owner = getattr(send, "__self__", None)
        transport = getattr(owner, "transport", None)
        if callable(getattr(transport, "abort", None)):
            return transport
        send = _wrapped(send, owner)
        if send is None:
            return None
    return None


def _wrapped(send: Any, owner: Any) -> Any:
    if isinstance(send, functools.partial):
        return send.keywords.get("send")
    function = getattr(send, "__func__", send)
    code = getattr(function, "__code__", None)
    if code is not None and function.__closure__:
        for name, cell in zip(code.co_freevars, function.__closure__, strict=True):
            if name in {"send", "_send"}:
                return cell.cell_contents
    return getattr(owner, "send", None)
