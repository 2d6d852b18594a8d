"""A parser of `text/event-stream`, WHATWG HTML section 9.2.6: reads what `_wire` writes.

Bytes in, frames out, no I/O. A frame that is unfinished when the body ends is dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# More digits are thousands of years, and int() itself refuses a very long number.
_MAX_RETRY_DIGITS = 15


@dataclass(frozen=True, slots=True)
class EventFrame:
    """An event, or a control frame.

    Attributes:
        name: The `event:` field, `"message"` without one.
        data: The `data:` lines, joined by line feeds.
        event_id: The id in force at its end, its own or an earlier one.
    """

    name: str
    data: str
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


Frame = EventFrame | IdFrame | RetryFrame | CommentFrame


class Parser:
    """Parses one response body, in chunks cut anywhere."""

    __slots__ = (
        "_after_cr",
        "_data",
        "_frames",
        "_id",
        "_is_first_line",
        "_name",
        "_parts",
        "_told",
    )

    def __init__(self, last_event_id: str = "") -> None:
        """Begin a body.

        Args:
            last_event_id: The id in force before the first byte.
        """
        self._id = self._told = last_event_id
        self._name = ""
        self._data: list[str] = []
        self._parts: list[bytes] = []
        self._frames: list[Frame] = []
        self._is_first_line = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[Frame]:
        """Read the next bytes and return the frames that they complete."""
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            # the second half of a CRLF, whose CR has ended the line
            chunk = chunk[1:]
        *ends, rest = _LINE_END.split(chunk)
        # an empty chunk is what is left of a lone LF
        self._after_cr = chunk.endswith(b"\r")
        self._frames = []
        for end in ends:
            self._parts.append(end)
            line = b"".join(self._parts)
            self._parts.clear()
            self._end_line(line)
        if rest:
            self._parts.append(rest)
        return self._frames

    def _end_line(self, line: bytes) -> None:
        if self._is_first_line:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._is_first_line = False
        if not line:
            self._dispatch()
            return
        name, _, value = line.partition(b":")
        if name:
            self._field(name, value.removeprefix(b" ").decode(errors="replace"))
        else:
            self._frames.append(CommentFrame())

    def _field(self, name: bytes, value: str) -> None:
        match name:
            case b"data":
                self._data.append(value)
            case b"event":
                self._name = value
            case b"id" if "\0" not in value:
                self._id = value
            case b"retry" if value.isascii() and value.isdigit():
                if len(value) <= _MAX_RETRY_DIGITS:
                    self._frames.append(RetryFrame(int(value)))
            case _:
                pass

    def _dispatch(self) -> None:
        if self._data:
            data = "\n".join(self._data)
            self._frames.append(EventFrame(self._name or "message", data, self._id))
        elif self._id != self._told:
            self._frames.append(IdFrame(self._id))
        self._told = self._id
        self._name = ""
        self._data.clear()
