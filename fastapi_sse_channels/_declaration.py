"""What everyone who publishes to the same channels has to agree on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_positive, check_whole
from ._core.encoder import Encoder
from ._core.keys import KeySpace
from ._core.log import Retention
from ._core.union import EventUnion

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from ._core.encoder import EventNames

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Declaration(Generic[T]):
    """The channels of one kind of resource.

    Attributes:
        name: The union's name in the OpenAPI document.
        union: The events.
        encoder: Encodes them.
        event_names: Whether the wire names events too.
        keys: Names the channels.
        retention: How much of each channel is kept.
    """

    name: str
    union: EventUnion[T]
    encoder: Encoder
    event_names: EventNames
    keys: KeySpace
    retention: Retention

    @property
    def summary(self) -> str:
        """What others compare with their own declaration: one line of JSON."""
        return json.dumps(
            {
                "events": sorted(self.union.names),
                "event_names": self.event_names,
                "history_size": self.retention.size,
                "history_bytes": self.retention.max_bytes,
                "history_ttl": float(self.retention.ttl),
            }
        )


def declare(
    event_type: TypeForm[T],
    *,
    key_prefix: str,
    key_suffix: str,
    name: str | None,
    event_names: EventNames,
    history_size: int,
    history_bytes: int,
    history_ttl: float,
    max_event_bytes: int,
) -> Declaration[T]:
    """Check a declaration; see `ChannelManager` for the arguments.

    Raises:
        ConfigurationError: The union or a value cannot work; the message names the fix.
    """
    check_whole(
        history_size=history_size, history_bytes=history_bytes, max_event_bytes=max_event_bytes
    )
    check_positive(history_ttl=history_ttl)
    union = EventUnion(event_type)
    return Declaration(
        name=name or union.name or f"{_pascal(key_prefix)}{_pascal(key_suffix)}Event",
        union=union,
        encoder=Encoder(union, max_event_bytes=max_event_bytes, event_names=event_names),
        event_names=event_names,
        keys=KeySpace(key_prefix, key_suffix),
        retention=Retention(history_size, history_bytes, history_ttl),
    )


def _pascal(text: str) -> str:
    words = "".join(c if c.isalnum() and c.isascii() else " " for c in text).split()
    return "".join(word[:1].upper() + word[1:] for word in words)
