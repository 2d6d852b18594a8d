"""Positions in a channel's log, and the event ids that carry them.

An id is `<epoch>.<offset>.<nonce>`, followed by `~` while the initial event that belongs to
the position has not been sent. Clients treat the whole as opaque.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

# A Last-Event-ID with other characters, or longer than 128 bytes, makes a browser send a CORS
# preflight on every reconnect (WHATWG Fetch, "CORS-safelisted request-header").
_ID = re.compile(r"([A-Za-z0-9]{1,32})\.(0|[1-9][0-9]{0,15})\.([A-Za-z0-9]{1,16})(~?)", re.ASCII)
MAX_ID_LENGTH = 128


class Position(NamedTuple):
    """The place after one entry of a log.

    Attributes:
        epoch: A random name, within which offsets are counted. A log that lost its entries, or
            cannot continue its offsets, starts a new one.
        offset: The number of the entry, contiguous from 1; 0 stands before the first entry.
        nonce: Drawn for each entry. A failover may use offsets again under the same epoch;
            the nonce tells such an entry from the one the client saw.
    """

    epoch: str
    offset: int
    nonce: str

    @property
    def event_id(self) -> str:
        """The id that a client sends back to resume from here."""
        return f"{self.epoch}.{self.offset}.{self.nonce}"


class Resume(NamedTuple):
    """What a client's last event id says.

    Attributes:
        position: Where the client stands.
        awaits_initial: The initial event of that position never reached the client.
    """

    position: Position
    awaits_initial: bool


def parse_event_id(event_id: str) -> Resume | None:
    """Read a client's last event id.

    Returns:
        `None` for anything this library did not write.
    """
    if len(event_id) > MAX_ID_LENGTH:
        return None
    match = _ID.fullmatch(event_id)
    if match is None:
        return None
    epoch, offset, nonce, mark = match.groups()
    return Resume(Position(epoch, int(offset), nonce), bool(mark))


def awaiting_initial(event_id: str) -> str:
    """Mark an id whose initial event is still to come.

    A client that drops between `stream-open` and the initial event would otherwise come back
    as resumed, and never be sent the state it starts from.
    """
    return event_id + "~"


def initial_received(event_id: str) -> str:
    """Remove the mark from an id; a reader without initial events does not wait for one."""
    return event_id.removesuffix("~")


def new_epoch() -> str:
    """Draw the name of an epoch: twelve letters and digits, about 72 random bits."""
    # every publish draws an epoch, and twelve calls would take ten times as long
    return secrets.token_urlsafe(9).replace("-", "a").replace("_", "b")


def new_nonce() -> str:
    """Draw an entry's nonce, which clients cannot compute from the nonces they saw."""
    return secrets.token_hex(4)


def start_of(epoch: str) -> Position:
    """Draw the position before the first entry of an epoch that begins.

    Its nonce is drawn like any other: whoever can guess a start can ask for all that was published
    before they came.

    Args:
        epoch: The name of the epoch; see `new_epoch`.
    """
    return Position(epoch, 0, new_nonce())


# A log stands here until it has read what its store holds; no reader ever sees this position.
NOWHERE = Position("none", 0, "0")
