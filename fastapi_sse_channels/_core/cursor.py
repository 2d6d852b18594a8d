"""A reader's place in a log."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .log import Entry, Log
    from .position import Position
    from .wire import ResetReason


class Cursor:
    """A place in a log: what follows it, or why nothing can.

    A cursor begins at the top. What a reader has missed before is taken out of the log at once, and
    comes first: at its old place, a reader that is slow to begin would hold up publishers.

    Attributes:
        log: What is read.
        offset: The offset of the last entry that was taken from the log.
    """

    __slots__ = ("_incarnation", "_parts", "_replay", "log", "offset")

    def __init__(self, log: Log) -> None:
        """Begin at the top of a log."""
        self.log = log
        self.offset = log.top.offset
        self._incarnation = log.incarnation
        self._replay: deque[Entry] | None = None
        # what is left of a frame whose first part was taken
        self._parts: tuple[bytes, ...] = ()

    def go_back_to(self, position: Position) -> None:
        """Begin with what follows an earlier position of the log."""
        self._replay = deque(self.log.entries_after(position.offset)) or None

    def move_to_top(self) -> None:
        """Give up what was not taken, and go on with the next entry."""
        self._replay = None
        self._parts = ()
        self._incarnation = self.log.incarnation
        self.offset = self.log.top.offset

    @property
    def is_cut_off(self) -> bool:
        """Whether entries that were not taken have left the log."""
        log = self.log
        return log.incarnation != self._incarnation or self.offset < log.floor.offset

    def why_cut_off(self) -> ResetReason:
        """Say why a cursor that is cut off cannot go on."""
        return self.log.why_cut_off(self._incarnation)

    @property
    def is_up_to_date(self) -> bool:
        """Whether everything was taken."""
        return not (self._parts or self._replay) and self.offset == self.log.top.offset

    @property
    def event_id(self) -> str:
        """The id from which a client goes on after what was taken from the log."""
        return self.log.position(self.offset).event_id

    def take(self) -> bytes:
        """Return the next frames, or the next part of a large one; only while not up to date."""
        parts = self._parts
        if not parts:
            parts, self.offset = self.log.piece(self.offset)
            if len(parts) == 1:
                return parts[0]
        self._parts = parts[1:]
        return parts[0]

    def take_all(self) -> list[bytes]:
        """Return every frame that was not taken."""
        entries = (*(self._replay or ()), *self.log.entries_after(self.offset))
        self._replay = None
        self.offset = self.log.top.offset
        return [entry.frame for entry in entries]

    def take_entry(self) -> Entry | None:
        """Return the next entry, if there is one."""
        if self._replay:
            return self._replay.popleft()
        if self.offset == self.log.top.offset:
            return None
        entry = self.log.entry_after(self.offset)
        self.offset = entry.offset
        return entry

    def put_first(self, parts: tuple[bytes, ...]) -> None:
        """Have `take` return these parts before anything of the log."""
        self._parts = parts
