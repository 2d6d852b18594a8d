"""The log of a channel: a short, bounded tail of encoded events.

History, replay, slow-client protection and gap detection are all one question put to this
class: what follows this position? Pure; the clock is an argument.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from .position import Position, start_of
from .wire import ResetReason, frame

# Bytes. For each client that reads nothing, a server's write buffer holds 64 KiB and the piece it
# was handed last.
PIECE = 32 * 1024
_PIECES_KEPT = 8


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits on what a log keeps.

    Attributes:
        size: Entries at most.
        max_bytes: Bytes of encoded events at most; the newest entry always stays.
        ttl: Seconds an entry is kept.
    """

    size: int
    max_bytes: int
    ttl: float


class Entry(NamedTuple):
    """One stored event.

    Attributes:
        offset: Its number within the epoch.
        nonce: See `Position.nonce`.
        frame: The bytes every session gets.
        stored_at: Seconds on the clock of the log's owner.
    """

    offset: int
    nonce: str
    frame: bytes
    stored_at: float


class Piece(NamedTuple):
    """Consecutive frames.

    Attributes:
        parts: The frames joined, or one frame larger than `PIECE` in parts.
        end: The offset of the last frame.
    """

    parts: tuple[bytes, ...]
    end: int


class Log:
    """Entries of one epoch, contiguous from `floor` (exclusive) to `top` (inclusive).

    A broker makes the log of a channel, appends to it and restarts it; streams read it.

    Attributes:
        floor: The oldest position from which a reader can go on.
        top: The position of the newest entry.
        incarnation: How often the log was (re)started; readers of an earlier one are cut off.
        restart_reason: Why readers of the previous incarnation cannot go on.
        nbytes: Bytes of the frames held.
        retention: How much is kept.
        clock: Returns the owner's time in seconds.
    """

    __slots__ = (
        "_entries",
        "_gap_reason",
        "_pieces",
        "clock",
        "floor",
        "incarnation",
        "nbytes",
        "restart_reason",
        "retention",
        "top",
    )

    def __init__(
        self,
        retention: Retention,
        top: Position,
        *,
        before: ResetReason = "trimmed",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start empty at a position; `start_of(new_epoch())` for a new channel.

        Args:
            retention: How much is kept.
            top: The position.
            before: See `restart`.
            clock: See the attribute.
        """
        self.retention = retention
        self.clock = clock
        self.incarnation = 0
        self.restart(top, before=before)

    def restart(self, top: Position, *, before: ResetReason = "trimmed") -> None:
        """Forget every entry and go on after another position.

        Readers of the earlier incarnation are cut off, even where the epoch is the same.

        Args:
            top: The position.
            before: Why a reader cannot go on from an earlier one.
        """
        self.incarnation += 1
        self.restart_reason: ResetReason = "epoch"
        self._entries: deque[Entry] = deque()
        self.floor = top
        self._gap_reason: ResetReason = before
        self._pieces: dict[int, Piece] = {}
        self.nbytes = 0
        self.top = top

    def become(self, other: Log) -> None:
        """Take over the entries of another log; cuts off readers, as `restart` does.

        Args:
            other: The other log, which nobody uses afterwards.
        """
        missed = other.gap(self.top)
        self.restart(other.top, before=other._gap_reason)
        if missed is not None:
            self.restart_reason = missed
        self.floor = other.floor
        self.nbytes = other.nbytes
        self._entries = other._entries

    def __len__(self) -> int:
        """Count the entries held."""
        return len(self._entries)

    @property
    def epoch(self) -> str:
        """The epoch of the entries; see `Position.epoch`."""
        return self.top.epoch

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The entries held, oldest first."""
        return tuple(self._entries)

    def append(self, body: bytes, nonce: str, now: float) -> Position:
        """Store an event after the last one and drop what the retention no longer keeps.

        Args:
            body: What `event_body` encoded.
            nonce: The entry's nonce; see `new_nonce`.
            now: Seconds on the owner's clock.

        Returns:
            The position of the entry.
        """
        top = Position(self.top.epoch, self.top.offset + 1, nonce)
        entry = Entry(top.offset, nonce, frame(top.event_id, body), now)
        self._entries.append(entry)
        self.nbytes += len(entry.frame)
        self.top = top
        self._pieces.clear()
        self._trim()
        self.expire(now)
        return top

    def expire(self, now: float) -> None:
        """Drop the entries older than the retention's `ttl`.

        Args:
            now: Seconds on the owner's clock.
        """
        oldest = now - self.retention.ttl
        while self._entries and self._entries[0].stored_at <= oldest:
            self._drop("expired")

    def gap(self, cursor: Position) -> ResetReason | None:
        """Say why a reader cannot go on from a position, or `None` if it can.

        Args:
            cursor: The position of the last entry that the reader saw.
        """
        if cursor.epoch != self.top.epoch:
            return "epoch"
        if cursor.offset > self.top.offset:
            return "ahead"
        if cursor.offset < self.floor.offset:
            return self._gap_reason
        if cursor.nonce != self._nonce_at(cursor.offset):
            # the store was rolled back and gave this offset to another entry
            return "epoch"
        return None

    def reaches(self, offset: int) -> bool:
        """Whether a reader of this epoch at this offset can go on."""
        return offset >= self.floor.offset

    def why_cut_off(self, incarnation: int) -> ResetReason:
        """Return why a reader of an incarnation was cut off."""
        return "slow" if incarnation == self.incarnation else self.restart_reason

    def piece(self, offset: int) -> Piece:
        """Return the next frames after an offset below the top's.

        Readers at the same offset get the very same object until the next `append`, unless
        many other offsets were asked for in between.
        """
        piece = self._pieces.get(offset)
        if piece is None:
            if len(self._pieces) >= _PIECES_KEPT:
                # clients that resume at many different ids would each leave a copy
                del self._pieces[next(iter(self._pieces))]
            piece = self._pieces[offset] = self._join(offset)
        return piece

    def _join(self, offset: int) -> Piece:
        frames: list[bytes] = []
        room = PIECE
        for entry in self.entries_after(offset):
            room -= len(entry.frame)
            if room < 0 and frames:
                break
            frames.append(entry.frame)
        return Piece(tuple(pieces_of(frames)), offset + len(frames))

    def compact(self) -> None:
        """Free the cached pieces, which only readers need."""
        self._pieces.clear()

    def entries_after(self, offset: int) -> list[Entry]:
        """Return the entries that follow an offset, oldest first."""
        # readers are near the top, and a deque is slow in the middle: search from the right
        tail = list(islice(reversed(self._entries), self.top.offset - offset))
        tail.reverse()
        return tail

    def entry_after(self, offset: int) -> Entry:
        """Return the entry that follows an offset, at least the floor's and below the top's."""
        return self._entries[offset - self.floor.offset]

    def floor_after(self, nbytes: int, *, count: int = 1) -> int:
        """Return the floor's offset if `count` more entries, with `nbytes`, were appended."""
        floor = self.floor.offset
        kept = len(self._entries) + count
        held = self.nbytes + nbytes
        for entry in self._entries:
            if kept <= self.retention.size and held <= self.retention.max_bytes:
                break
            floor = entry.offset
            kept -= 1
            held -= len(entry.frame)
        # of more than are kept, the new ones push each other out
        return floor + max(0, kept - self.retention.size)

    def position(self, offset: int) -> Position:
        """Return the position at an offset between the floor and the top, both included."""
        return Position(self.top.epoch, offset, self._nonce_at(offset))

    def _nonce_at(self, offset: int) -> str:
        if offset == self.floor.offset:
            return self.floor.nonce
        if offset == self.top.offset:
            return self.top.nonce
        return self._entries[offset - self.floor.offset - 1].nonce

    def _trim(self) -> None:
        while len(self._entries) > 1 and (
            len(self._entries) > self.retention.size or self.nbytes > self.retention.max_bytes
        ):
            self._drop("trimmed")

    def _drop(self, reason: ResetReason) -> None:
        entry = self._entries.popleft()
        self.nbytes -= len(entry.frame)
        self.floor = Position(self.top.epoch, entry.offset, entry.nonce)
        self._gap_reason = reason


def pieces_of(frames: Iterable[bytes]) -> Iterator[bytes]:
    """Join and split frames into pieces of at most `PIECE` bytes."""
    joined: list[bytes] = []
    room = PIECE
    for whole in frames:
        if len(whole) > room:
            if joined:
                yield b"".join(joined)
            joined, room = [], PIECE
        for at in range(PIECE, len(whole), PIECE):
            yield whole[at - PIECE : at]
        rest = whole[(len(whole) - 1) // PIECE * PIECE :]
        joined.append(rest)
        room -= len(rest)
    if joined:
        yield b"".join(joined)


def new_log(
    retention: Retention, epoch: str, *, clock: Callable[[], float] = time.monotonic
) -> Log:
    """Start the log of a channel that never had an event.

    Args:
        retention: How much is kept.
        epoch: A new epoch; see `new_epoch`.
        clock: Returns the owner's time in seconds.
    """
    return Log(retention, start_of(epoch), clock=clock)
