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
        wrong_resets: Resets too many, or missing.
    """

    lost: int = 0
    duplicated: int = 0
    disordered: int = 0
    resets: int = 0
    wrong_resets: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.lost + other.lost,
            self.duplicated + other.duplicated,
            self.disordered + other.disordered,
            self.resets + other.resets,
            self.wrong_resets + other.wrong_resets,
        )


class Truth(NamedTuple):
    """What there was to get on one channel.

    Attributes:
        acknowledged: The events whose publisher was told that they are stored, by id.
        stored: What the store holds in the end, oldest first.
        loses_data: Whether the store itself lost what it had acknowledged.
    """

    acknowledged: AbstractSet[str]
    stored: Sequence[str]
    loses_data: bool


def position_of(event_id: str) -> Position:
    resume = parse_event_id(event_id)
    assert resume is not None, event_id
    return resume.position


def judge(heard: Sequence[Heard], truth: Truth) -> Tally:
    """Judge what one client heard.

    A reset excuses what is up to its position, and what the store lost itself; nothing else does.
    """
    listener = _Listener()
    for item in heard:
        match item:
            case Opened():
                listener.take_opening(item, is_reset=_is_reset(heard, item))
            case WasReset():
                listener.take_reset(item)
            case Got():
                listener.take_event(item)
    tally = listener.tally
    tally.wrong_resets = abs(tally.resets - truth.loses_data)
    tally.lost += len(_missing(listener.seen, heard, truth))
    return tally


class _Listener:
    """Goes through what a client heard, stretch by stretch; a reset begins another one."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.seen: set[str] = set()
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
        self._cursor = position_of(reset.event_id)
        self._numbers.clear()

    def take_event(self, got: Got) -> None:
        cursor = self._cursor
        assert cursor is not None, "an event came before the stream was opened"
        position = position_of(got.event_id)
        last_number = self._numbers.get(got.publisher, -1)
        if got.event_id in self.seen or last_number == got.number:
            self.tally.duplicated += 1
        elif position.epoch != cursor.epoch or position.offset > cursor.offset + 1:
            # not even an event that nobody was promised may be left out
            self.tally.lost += max(1, position.offset - cursor.offset - 1)
        elif position.offset <= cursor.offset or last_number > got.number:
            self.tally.disordered += 1
        self.seen.add(got.event_id)
        self._numbers[got.publisher] = got.number
        self._cursor = position


def _is_reset(heard: Sequence[Heard], opened: Opened) -> bool:
    following = heard[heard.index(opened) + 1 :]
    return bool(following) and isinstance(following[0], WasReset)


def _missing(seen: AbstractSet[str], heard: Sequence[Heard], truth: Truth) -> list[str]:
    resets = [position_of(item.event_id) for item in heard if isinstance(item, WasReset)]
    covered = resets[-1] if resets else None
    kept = set(truth.stored)
    missing = (truth.acknowledged | kept) - seen
    return [event_id for event_id in missing if not _is_excused(event_id, covered, kept, truth)]


def _is_excused(
    event_id: str, covered: Position | None, kept: AbstractSet[str], truth: Truth
) -> bool:
    if covered is None or not truth.loses_data:
        return False
    if event_id not in kept:
        return True
    position = position_of(event_id)
    return position.epoch == covered.epoch and position.offset <= covered.offset


def first_event_after(heard: Sequence[Heard], moment: float) -> float:
    """Seconds from a moment to the client's next event."""
    return next(
        (item.at - moment for item in heard if isinstance(item, Got) and item.at >= moment),
        float("inf"),
    )
