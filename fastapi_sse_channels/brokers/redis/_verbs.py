"""The commands of plain and of sharded pub/sub."""

from __future__ import annotations

from typing import NamedTuple


class Verbs(NamedTuple):
    """The commands of one kind of pub/sub; confirmations are called the same.

    Attributes:
        publish: Sends a message to a channel.
        subscribe: Begins to listen to channels.
        unsubscribe: Stops listening to channels.
        at_once: Channels that one command takes.
    """

    publish: str
    subscribe: str
    unsubscribe: str
    at_once: int


PLAIN = Verbs("PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", 1000)
# all channels of one command have to share a slot
SHARDED = Verbs("SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE", 1)


def verbs_of(*, is_sharded: bool) -> Verbs:
    """Return the verbs of one kind of pub/sub."""
    return SHARDED if is_sharded else PLAIN
