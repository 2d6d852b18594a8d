"""What travels through Redis around an event's body. Pure.

Other applications may share the server, so nothing is taken for ours before it has been parsed
whole.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..._core.position import Position
from ..._core.wire import is_event_body

_EPOCH = re.compile(rb"[A-Za-z0-9]{1,32}")
_NONCE = re.compile(rb"[A-Za-z0-9]{1,16}")
_HEADER = re.compile(
    rb"sse1 ([A-Za-z0-9]{1,32}) ([1-9][0-9]{0,15}) ([A-Za-z0-9]{1,16}) ([A-Za-z0-9]{1,16})\n"
)


class Stored(NamedTuple):
    """An event with its place in the channel.

    Attributes:
        position: Where it is.
        previous: The nonce of the entry before it.
        body: What `event_body` encoded.
    """

    position: Position
    previous: str
    body: bytes


class Look(NamedTuple):
    """What one look at a channel found; `history.lua` returns it.

    Attributes:
        top: The channel's last position.
        entries: Entries with their ages in seconds, oldest first, without a hole.
        read: The offset up to which the log was read.
        damage: What else was found in the channel, if anything.
    """

    top: Position
    entries: tuple[tuple[Stored, float], ...]
    read: int
    damage: str | None = None

    @property
    def is_last(self) -> bool:
        """Whether nothing is left to be read."""
        return self.read >= self.top.offset


class NotOursError(ValueError):
    """These bytes were not written by this library."""


def parse_message(payload: bytes) -> Stored:
    """Read a published message.

    Raises:
        NotOursError: Something else published it.
    """
    match = _HEADER.match(payload)
    if match is None:
        raise NotOursError("it does not begin with our header")
    body = payload[match.end() :]
    if not is_event_body(body):
        raise NotOursError("its body is not an event")
    epoch, offset, nonce, previous = match.groups()
    position = Position(epoch.decode(), int(offset), nonce.decode())
    return Stored(position, previous.decode(), body)


def position_of(epoch: bytes, offset: int, nonce: bytes) -> Position:
    """Make a position of what a script returned.

    Raises:
        NotOursError: Something else wrote it.
    """
    return Position(_word(_EPOCH, epoch), int(offset), _word(_NONCE, nonce))


def parse_look(reply: Any) -> Look:
    """Read the reply of `history.lua`.

    What others added to the log is left out. Where entries are missing, so are those before:
    what is returned ends where the look does, without a hole.

    Raises:
        NotOursError: The position is damaged.
    """
    try:
        epoch, top, nonce, now, entries, read = reply
        position = position_of(epoch, top, nonce)
        now_ms = int(now)
    except (ValueError, TypeError) as error:
        raise NotOursError(f"the stored position is damaged: {error}") from error
    found: list[tuple[Stored, float]] = []
    damage = None
    is_last = read >= top
    for entry in reversed(entries):
        try:
            stored, age = _entry(position.epoch, now_ms, entry)
        except (ValueError, TypeError, KeyError) as error:
            damage = f"an entry of the log is not an event: {error!r}"
            continue
        if found:
            continues = _precedes(stored, found[-1][0])
        else:
            # the next piece tells what comes after this one
            continues = not is_last or stored.position == position
        if not continues:
            damage = "the log has a hole"
            break
        found.append((stored, age))
    return Look(position, tuple(reversed(found)), read, damage)


def _precedes(stored: Stored, following: Stored) -> bool:
    return (
        stored.position.offset == following.position.offset - 1
        and stored.position.nonce == following.previous
    )


def _entry(epoch: str, now: int, entry: tuple[bytes, list[bytes]]) -> tuple[Stored, float]:
    entry_id, flat = entry
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    body = fields[b"d"]
    if not is_event_body(body):
        raise NotOursError("its body is not an event")
    offset, _, part = entry_id.partition(b"-")
    if part != b"0":
        raise NotOursError("it is between two of ours")
    position = Position(epoch, int(offset), _word(_NONCE, fields[b"n"]))
    age = max(0, now - int(fields[b"t"])) / 1000
    return Stored(position, _word(_NONCE, fields[b"p"]), body), age


def _word(allowed: re.Pattern[bytes], value: bytes) -> str:
    # positions become lines on the wire, so nothing else may be in them
    if not allowed.fullmatch(value):
        raise NotOursError(f"{value!r} is not a name of ours")
    return value.decode("ascii")
