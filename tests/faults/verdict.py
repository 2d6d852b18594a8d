"""What a client got, held against what was acknowledged and what the store kept. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from fastapi_sse_channels._core.position import Position, parse_event_id


class Opened(NamedTuple):
    """The first frame of a stream.

    Attributes:
        event_id: The cursor it began with.
        resumed: Whether it said so.
        had_id: Whether the client came back with a last event id.
        at: Seconds on the monotonic clock; so everywhere here.
    """

    event_id: str
    resumed: bool
    had_id: bool
    at: float


class Got(NamedTuple):
    """An event, numbered by who published it."""

    event_id: str
    publisher: str
    number: int
    at: float


class WasReset(NamedTuple):
    """A `stream-reset`."""

    event_id: str
    reason: str
    at: float


Heard = Opened | Got | WasReset


@dataclass
class Tally:
    """What went wrong for one client, or for several.

    Attributes:
        lost: Events that a client should have got and did not.
        duplicated: Events that it got more than once.
        disordered: Events that came after a later one.
        resets: Resets that it was sent.
        undue_resets: Those of them for which there was no reason.
        missed_resets: Resets that it should have been sent and was not.
    """

    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    resets: int = 0
    undue_resets: int = 0
    missed_resets: int = 0

    @property
    def due_resets(self) -> int:
        """Resets that it should have been sent."""
        return self.resets - self.undue_resets + self.missed_resets

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.disordered + other.disordered,
            self.resets + other.resets,
            self.undue_resets + other.undue_resets,
            self.missed_resets + other.missed_resets,
        )


class Truth(NamedTuple):
    """What there was to get on one channel.

    Attributes:
        acknowledged: The events whose publisher was told that they are stored, by id.
        stored: What the store holds in the end, oldest first: one unbroken chain from the start of
            an epoch.
        may_lose: Whether the store itself may have lost what it had acknowledged.
    """

    acknowledged: AbstractSet[str]
    stored: Sequence[str]
    may_lose: bool

    @property
    def forgotten(self) -> AbstractSet[str]:
        """What was acknowledged, and the store does not hold."""
        return self.acknowledged - set(self.stored)


def position_of(event_id: str) -> Position:
    resume = parse_event_id(event_id)
    assert resume is not None, event_id
    return resume.position


def judge(heard: Sequence[Heard], truth: Truth) -> Tally:
    """Judge what one client heard.

    A reset is due where the client stands at a position that the store does not hold any more; it
    excuses what is up to its own position. What the store lost itself need not arrive; nothing
    else may be missing. It may arrive again after a reset, from a node that has not left the server
    which was replaced; nothing else may come twice.
    """
    listener = _Listener(truth)
    for item in heard:
        match item:
            case Opened():
                listener.take_opening(item, is_reset=_is_reset(heard, item))
            case WasReset():
                listener.take_reset(item)
            case Got():
                listener.take_event(item)
    tally = listener.tally
    tally.lost += len(_missing(listener.seen, listener.excused_up_to, truth))
    return tally


class _Listener:
    """Goes through what a client heard, stretch by stretch; a reset begins another one.

    Attributes:
        tally: What went wrong.
        seen: The events that it got.
        excused_up_to: The position of its last reset that was due.
    """

    def __init__(self, truth: Truth) -> None:
        self.tally = Tally()
        self.seen: set[str] = set()
        self.excused_up_to: Position | None = None
        self._seen_since_reset: set[str] = set()
        self._kept = {position_of(event_id) for event_id in truth.stored}
        self._epochs = {position.epoch for position in self._kept}
        self._cursor: Position | None = None
        self._numbers: dict[str, int] = {}

    def take_opening(self, opened: Opened, *, is_reset: bool) -> None:
        position = position_of(opened.event_id)
        if self._cursor is None:
            self.tally.lost += opened.resumed
            self._cursor = position
        elif not is_reset and (not opened.resumed or position != self._cursor):
            # it says nothing, and goes on somewhere else
            self.tally.lost += 1

    def take_reset(self, reset: WasReset) -> None:
        self.tally.resets += 1
        position = position_of(reset.event_id)
        if self._is_kept(self._cursor):
            self.tally.undue_resets += 1
        else:
            self.excused_up_to = position
        self._cursor = position
        self._seen_since_reset.clear()
        self._numbers.clear()

    def take_event(self, got: Got) -> None:
        cursor = self._cursor
        assert cursor is not None, "an event came before the stream was opened"
        position = position_of(got.event_id)
        last_number = self._numbers.get(got.publisher, -1)
        if self._is_kept(position) and not self._is_kept(cursor):
            self.tally.missed_resets += 1
        seen = self.seen if self._is_kept(position) else self._seen_since_reset
        if got.event_id in seen or last_number == got.number:
            self.tally.duplicated += 1
        elif position.epoch != cursor.epoch or position.offset > cursor.offset + 1:
            # not even an event that nobody was promised may be left out
            self.tally.lost += max(1, position.offset - cursor.offset - 1)
        elif position.offset <= cursor.offset or last_number > got.number:
            self.tally.disordered += 1
        self.seen.add(got.event_id)
        self._seen_since_reset.add(got.event_id)
        self._numbers[got.publisher] = got.number
        self._cursor = position

    def _is_kept(self, position: Position | None) -> bool:
        if position is None:
            return False
        return position in self._kept or (position.offset == 0 and position.epoch in self._epochs)


def _is_reset(heard: Sequence[Heard], opened: Opened) -> bool:
    following = heard[heard.index(opened) + 1 :]
    return bool(following) and isinstance(following[0], WasReset)


def _missing(
    seen: AbstractSet[str], excused_up_to: Position | None, truth: Truth
) -> AbstractSet[str]:
    expected = set(truth.stored) if truth.may_lose else {*truth.stored, *truth.acknowledged}
    return {event_id for event_id in expected - seen if not _is_covered(event_id, excused_up_to)}


def _is_covered(event_id: str, reset: Position | None) -> bool:
    position = position_of(event_id)
    return reset is not None and position.epoch == reset.epoch and position.offset <= reset.offset


def first_event_after(heard: Sequence[Heard], moment: float) -> float:
    """Seconds from a moment to the client's next event."""
    return next(
        (item.at - moment for item in heard if isinstance(item, Got) and item.at >= moment),
        float("inf"),
    )
