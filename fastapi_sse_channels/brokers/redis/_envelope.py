"""What travels through Redis around an event's body. Pure.

Other applications may share the server, so nothing is taken for ours before it has been parsed
whole.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..._position import Position
from ..._wire import is_event_body

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
    """What `history.lua` returned.

    Attributes:
        top: The channel's last position.
        entries: Entries with their ages in seconds, oldest first, without a hole.
    """

    top: Position
    entries: tuple[tuple[Stored, float], ...]


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


def parse_look(reply: Any) -> Look:
    """Read the reply of `history.lua`.

    Raises:
        NotOursError: The keys hold something else, or entries with a hole.
    """
    try:
        epoch, top, nonce, now, entries = reply
        position = Position(epoch.decode(), int(top), nonce.decode())
        found = tuple(_entry(position.epoch, int(now), entry) for entry in entries)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotOursError(f"the stored channel is damaged: {error!r}") from error
    offsets = [stored.position.offset for stored, _ in found]
    if offsets and offsets != list(range(position.offset - len(offsets) + 1, position.offset + 1)):
        raise NotOursError("the stored channel has a hole")
    return Look(position, found)


def _entry(epoch: str, now: int, entry: tuple[bytes, list[bytes]]) -> tuple[Stored, float]:
    entry_id, flat = entry
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    body = fields[b"d"]
    if not is_event_body(body):
        raise NotOursError("an entry is not an event")
    offset = int(entry_id.partition(b"-")[0])
    position = Position(epoch, offset, fields[b"n"].decode())
    age = max(0, now - int(fields[b"t"])) / 1000
    return Stored(position, fields[b"p"].decode(), body), age
