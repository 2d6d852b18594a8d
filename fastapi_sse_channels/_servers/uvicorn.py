"""Write events to uvicorn's transport, past its `send`. Optional.

uvicorn's `send` costs more than everything the library does for a delivery: it is a coroutine,
examines each message, and encodes the same HTTP chunk anew for every client. Once a response has
started, it ends in one `transport.write` (read in uvicorn 0.54). This module makes that call, with
a chunk that it encodes once, and leaves everything else to `send`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.types import Send

_CYCLE = ("uvicorn.protocols.http.httptools_impl", "RequestResponseCycle")
_USED = ("chunked_encoding", "disconnected", "flow", "response_complete", "scope", "transport")


class Chunks:
    """Encodes HTTP chunks; a piece that many sessions are sent is encoded once."""

    __slots__ = ("_chunk", "_piece")

    def __init__(self) -> None:
        """Start with nothing encoded."""
        self._piece = self._chunk = b""

    def encode(self, piece: bytes) -> bytes:
        """Return a piece of a body as a chunk (RFC 9112, section 7.1)."""
        if piece is not self._piece:
            self._piece = piece
            self._chunk = b"%x\r\n%b\r\n" % (len(piece), piece)
        return self._chunk


class DirectWriter:
    """Writes the pieces of one response's body."""

    __slots__ = ("_chunks", "_cycle")

    def __init__(self, cycle: Any, chunks: Chunks) -> None:
        """Use `direct_writer`."""
        self._cycle = cycle
        self._chunks = chunks

    def write(self, piece: bytes) -> bool:
        """Write a piece, unless the client has left or reads too slowly.

        Returns:
            Whether it was written; otherwise the caller must use `send`, which handles these cases.
        """
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or cycle.response_complete:
            return False
        try:
            cycle.transport.write(self._chunks.encode(piece))
        except Exception:
            # `send` runs into the same error, and its caller handles that
            return False
        return True


def direct_writer(send: Send, chunks: Chunks) -> DirectWriter | None:
    """Return a writer for a response that is under way.

    Args:
        send: The server's, of a response that has started.
        chunks: Shared by all writers, so that a piece they all write is encoded once.

    Returns:
        `None` unless `send` is that of uvicorn's httptools protocol, with a chunked body.
    """
    cycle: Any = getattr(send, "__self__", None)
    kind = type(cycle)
    if (kind.__module__, kind.__qualname__) != _CYCLE:
        return None
    if not all(hasattr(cycle, name) for name in _USED):
        return None
    if cycle.chunked_encoding is not True or cycle.scope["method"] == "HEAD":
        return None
    return DirectWriter(cycle, chunks)
