"""What everyone who publishes to the same channels has to agree on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_positive, check_whole
from ._core.encoder import EventSchema
from ._core.keys import KeySpace
from ._core.log import Retention

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from ._core.encoder import EventNames

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Declaration(Generic[T]):
    """The channels of one kind of resource.

    Attributes:
        name: The union's name in the OpenAPI document.
        schema: Checks and encodes events.
        keys: Names the channels.
        retention: How much of each channel is kept.
    """

    name: str
    schema: EventSchema[T]
    keys: KeySpace
    retention: Retention

    @property
    def summary(self) -> str:
        """What others compare with their own declaration: one line of JSON."""
        return json.dumps(
            {
                "events": sorted(self.schema.names),
                "event_names": self.schema.event_names,
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
    schema = EventSchema(event_type, max_event_bytes=max_event_bytes, event_names=event_names)
    return Declaration(
        name=name or schema.name or f"{_pascal(key_prefix)}{_pascal(key_suffix)}Event",
        schema=schema,
        keys=KeySpace(key_prefix, key_suffix),
        retention=Retention(history_size, history_bytes, history_ttl),
    )


def _pascal(text: str) -> str:
    words = "".join(c if c.isalnum() and c.isascii() else " " for c in text).split()
    return "".join(word[:1].upper() + word[1:] for word in words)
