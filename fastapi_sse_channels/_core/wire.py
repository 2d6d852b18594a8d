"""Bytes on the wire: the frames of WHATWG HTML section 9.2 that this library sends.

Nothing here does I/O. Data is one line of JSON, so no frame ever needs splitting.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

CloseReason = Literal["shutdown", "revoked", "expired", "ended"]
ResetReason = Literal["expired", "trimmed", "epoch", "ahead", "slow"]

PROTOCOL = 1
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    # nginx buffers proxied responses unless told not to
    (b"x-accel-buffering", b"no"),
)

# A bare line, not a block: httpx-sse dispatches an empty event for `: ping` + blank line once it
# has seen an id (measured with 0.4.3).
PING = b":\n"

_RESERVED_NAMES = frozenset({"error", "open", "message"})
_RESERVED_PREFIX = "stream-"
_FORBIDDEN = frozenset("\r\n\0")


def name_problem(name: str) -> str | None:
    """Say why a name cannot be an event's name on the wire.

    `error` and `open` collide with EventSource's own events; `message` is what an unnamed event
    is called.
    """
    if not name:
        return "is empty"
    if _FORBIDDEN.intersection(name):
        return "holds CR, LF or NUL, which end a field on the wire"
    if name in _RESERVED_NAMES or name.startswith(_RESERVED_PREFIX):
        return "is reserved ('error', 'open', 'message' and the prefix 'stream-' are)"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "is not encodable as UTF-8"
    return None


def event_body(data: bytes, name: str | None = None) -> bytes:
    """Encode what every session gets of an event; the id line is put before it.

    Args:
        data: One line of JSON.
        name: Sent as `event:` when given.
    """
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + data + b"\n\n"


def is_event_body(body: bytes) -> bool:
    """Whether bytes that came from elsewhere are one event, and nothing but one."""
    if b"\r" in body or b"\0" in body:
        return False
    match body.split(b"\n"):
        case [data, b"", b""]:
            return data.startswith(b"data: ")
        case [name, data, b"", b""]:
            return name.startswith(b"event: ") and data.startswith(b"data: ")
        case _:
            return False


def frame(event_id: str, body: bytes) -> bytes:
    """Put the id line before an event's body."""
    return b"id: " + event_id.encode("ascii") + b"\n" + body


def data_of(frame_or_body: bytes) -> bytes:
    """Return the JSON of an event that `event_body` encoded."""
    is_first = frame_or_body.startswith(b"data: ")
    start = 0 if is_first else frame_or_body.index(b"\ndata: ") + 1
    return frame_or_body[start + 6 : -2]


def stream_open(event_id: str, *, resumed: bool, ping_interval: float | None, retry: int) -> bytes:
    """The first frame of every stream.

    Args:
        event_id: The session's cursor.
        resumed: Whether the stream continues after the client's last event id.
        ping_interval: Seconds; lets the client tell a stalled socket.
        retry: Milliseconds before the client reconnects.
    """
    data = {"protocol": PROTOCOL, "resumed": resumed, "ping_interval": _number(ping_interval)}
    return _control("stream-open", data, f"id: {event_id}\nretry: {retry}\n")


def stream_reset(event_id: str, reason: str) -> bytes:
    """Say that events were missed and cannot be replayed."""
    return _control("stream-reset", {"reason": reason}, f"id: {event_id}\n")


def stream_close(reason: CloseReason, *, reconnect: bool, retry: int) -> bytes:
    """Say that the server ends the stream, and whether to reconnect."""
    data = {"reason": reason, "reconnect": reconnect}
    return _control("stream-close", data, f"retry: {retry}\n")


def _control(name: str, data: Mapping[str, object], fields: str) -> bytes:
    text = json.dumps(data, separators=(",", ":"))
    return f"event: {name}\n{fields}data: {text}\n\n".encode("ascii")


def _number(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value
