"""Bytes on the wire: the frames of WHATWG HTML section 9.2 that this library sends.

Nothing here does I/O. Data is one line of JSON, so no frame ever needs splitting.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

ResetReason = Literal["expired", "trimmed", "epoch", "ahead", "slow"]
"""Why a reader cannot go on: the events that it missed are too old, or too many; its position is of
another epoch, or ahead of the log; or it reads too slowly."""
# A client adds two reasons: the stream did not resume and the server gave none, or the client
# skipped an event that is too large for it.
ClientResetReason = ResetReason | Literal["unresumed", "too-large"]
CloseReason = Literal["shutdown", "revoked", "expired", "ended"]

PROTOCOL = 1
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    # nginx buffers proxied responses unless told not to
    (b"x-accel-buffering", b"no"),
)

# A bare line, not a block: once httpx-sse has seen an id, it dispatches an empty event for `: ping`
# and a blank line (measured with 0.4.3).
PING = b":\n"

_to_json = json.JSONEncoder(separators=(",", ":")).encode

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
    """Encode the part of an event that is the same for every session; `frame` adds the id.

    Args:
        data: One line of JSON.
        name: Sent as `event:` when given.
    """
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return head + b"data: " + data + b"\n\n"


def is_event_body(body: bytes) -> bool:
    """Whether bytes from another process are exactly one event."""
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


@dataclass(frozen=True, slots=True)
class StreamOpen:
    """The first frame of every stream.

    Attributes:
        protocol: The version of the wire.
        resumed: Whether the stream continues after the client's last event id.
        ping_interval: Seconds, or `None` for no pings; lets the client tell a stalled socket.
        retry: Milliseconds after which a client should reconnect.
    """

    protocol: int
    resumed: bool
    ping_interval: float | None
    retry: int

    def encode(self, event_id: str | None) -> bytes:
        """Return the frame, with the session's cursor where it is not told with a reset."""
        interval = self.ping_interval
        data = {
            "protocol": self.protocol,
            "resumed": self.resumed,
            "ping_interval": interval if interval is None or interval % 1 else int(interval),
        }
        cursor = "" if event_id is None else f"id: {event_id}\n"
        return _control("stream-open", data, f"{cursor}retry: {self.retry}\n")


@dataclass(frozen=True, slots=True)
class StreamReset:
    """A frame that says that events were missed and cannot be replayed.

    Attributes:
        reason: Why the missed events cannot be replayed.
    """

    reason: ResetReason

    def encode(self, event_id: str) -> bytes:
        """Return the frame, with the session's new cursor."""
        return _control("stream-reset", {"reason": self.reason}, f"id: {event_id}\n")


@dataclass(frozen=True, slots=True)
class StreamClose:
    """The last frame of a stream that the server ends.

    Attributes:
        reason: Why the server ends the stream.
        reconnect: Whether the client should reconnect.
        retry: Milliseconds after which the client should reconnect.
    """

    reason: CloseReason
    reconnect: bool
    retry: int

    def encode(self) -> bytes:
        """Return the frame."""
        data = {"reason": self.reason, "reconnect": self.reconnect}
        return _control("stream-close", data, f"retry: {self.retry}\n")


def read_control(
    name: str, data: str, *, retry: int
) -> StreamOpen | StreamReset | StreamClose | None:
    """Read a control frame, even one of a later version.

    Args:
        name: The frame's `event:` field.
        data: Its data. A `ping_interval` that makes no sense is read as 0, a missing reason as an
            empty one, and a reason that this version does not know is kept.
        retry: The latest `retry:` field.

    Returns:
        `None` for a frame that this version does not know.
    """
    content = json_object(data)
    reason: Any = str(content.get("reason", ""))
    match name:
        case "stream-open":
            protocol = content.get("protocol", PROTOCOL)
            interval = _interval(content.get("ping_interval", 0))
            return StreamOpen(protocol, content.get("resumed") is True, interval, retry)
        case "stream-reset":
            return StreamReset(reason)
        case "stream-close":
            return StreamClose(reason, content.get("reconnect") is not False, retry)
        case _:
            return None


def json_object(data: str) -> dict[str, Any]:
    """Parse data that should be a JSON object; anything else is an empty one."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _interval(value: object) -> float | None:
    if value is None:
        return None
    return value if isinstance(value, int | float) and value > 0 else 0


def _control(name: str, data: Mapping[str, object], fields: str) -> bytes:
    return f"event: {name}\n{fields}data: {_to_json(data)}\n\n".encode("ascii")
