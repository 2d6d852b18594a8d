"""A parser of `text/event-stream`, WHATWG HTML section 9.2.6: reads what `wire` writes.

Bytes in, frames out, no I/O. A frame that is unfinished when the body ends is dropped. The standard
does not limit what a reader must hold; this parser limits the size of an event, and ignores an id
that no request could send back, as the standard does with one that holds a NUL.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# More digits are thousands of years, and int() itself refuses a very long number.
_MAX_RETRY_DIGITS = 15

DEFAULT_MAX_EVENT_BYTES = 8 * 1024 * 1024

# Bytes for the field's name, and for the fields beside `data`.
_ROOM = 1024

# Headers carry no control characters, and servers limit their length; ours take 128 bytes.
_ID = re.compile(r"[^\0-\x08\x0a-\x1f\x7f]{0,512}")


@dataclass(frozen=True, slots=True)
class EventFrame:
    """An event, or a control frame.

    Attributes:
        name: The `event:` field, `"message"` without one.
        data: The `data:` lines, joined by line feeds.
        event_id: The id in force at the end of the event, its own or an earlier one.
    """

    name: str
    data: str
    event_id: str


@dataclass(frozen=True, slots=True)
class OversizeFrame:
    """An event that is too large. The parser reports it at once and skips the rest.

    Attributes:
        event_id: The id in force so far; an id that still follows is an `IdFrame`.
    """

    event_id: str


@dataclass(frozen=True, slots=True)
class IdFrame:
    """A block without data that changed the last event id."""

    event_id: str


@dataclass(frozen=True, slots=True)
class RetryFrame:
    """A `retry:` field."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class CommentFrame:
    """A comment line, such as a ping."""


Frame = EventFrame | OversizeFrame | IdFrame | RetryFrame | CommentFrame


class Parser:
    """Parses one response body, in chunks cut anywhere."""

    __slots__ = (
        "_after_cr",
        "_data",
        "_frames",
        "_id",
        "_is_first_line",
        "_is_line_cut",
        "_is_oversize",
        "_limit",
        "_line",
        "_name",
        "_told",
    )

    def __init__(
        self, last_event_id: str = "", *, max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES
    ) -> None:
        """Begin a body.

        Args:
            last_event_id: The id in force before the first byte.
            max_event_bytes: The longest data of an event; more becomes an `OversizeFrame`.
        """
        self._id = self._told = last_event_id
        self._limit = max_event_bytes + _ROOM
        self._name = ""
        # one buffer: a list of small chunks would cost more than what they hold
        self._data = bytearray()
        self._line = bytearray()
        self._frames: list[Frame] = []
        self._is_first_line = True
        self._is_line_cut = False
        self._is_oversize = False
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Read the next bytes and return the frames that they complete."""
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            # this LF completes a CRLF whose CR has already ended the line
            chunk = chunk[1:]
        *ends, rest = _LINE_END.split(chunk)
        # a chunk that was only that LF is empty now
        self._after_cr = chunk.endswith(b"\r")
        self._frames = []
        for end in ends:
            self._extend_line(end)
            self._end_line()
        self._extend_line(rest)
        return self._frames

    def _extend_line(self, part: bytes) -> None:
        if self._is_line_cut:
            return
        self._line += part
        if len(self._data) + len(self._line) > self._limit:
            self._is_line_cut = True
            if not self._line.startswith(b":"):
                self._skip_event()
            self._line.clear()

    def _skip_event(self) -> None:
        if not self._is_oversize:
            self._frames.append(OversizeFrame(self._id))
            self._told = self._id
        self._is_oversize = True
        self._data.clear()

    def _end_line(self) -> None:
        line = bytes(self._line)
        self._line.clear()
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        if self._is_line_cut:
            self._is_line_cut = False
        elif not line:
            self._dispatch()
        else:
            name, _, value = line.partition(b":")
            if name:
                self._field(name, value.removeprefix(b" "))
            else:
                self._frames.append(CommentFrame())

    def _field(self, name: bytes, content: bytes) -> None:
        if name == b"data":
            if not self._is_oversize:
                self._data += content + b"\n"
            return
        value = content.decode(errors="replace")
        match name:
            case b"event":
                self._name = value
            case b"id" if _ID.fullmatch(value):
                self._id = value
            case b"retry" if value.isascii() and value.isdigit():
                if len(value) <= _MAX_RETRY_DIGITS:
                    self._frames.append(RetryFrame(int(value)))
            case _:
                pass

    def _dispatch(self) -> None:
        if self._data:
            data = self._data[:-1].decode(errors="replace")
            self._frames.append(EventFrame(self._name or "message", data, self._id))
        elif self._id != self._told:
            self._frames.append(IdFrame(self._id))
        self._told = self._id
        self._name = ""
        self._data.clear()
        self._is_oversize = False
