"""What everyone who publishes to the same channels has to agree on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_positive, check_whole
from ._core.encoder import Encoder
from ._core.keys import KeySpace
from ._core.log import Retention
from ._core.union import EventUnion

if TYPE_CHECKING:
    from uuid import UUID

    from typing_extensions import TypeForm

    from ._core.encoder import EventNames

T = TypeVar("T")

_WORDS = re.compile(r"[a-z][a-z0-9_]*(?:-[a-z][a-z0-9_]*)*")
_NO_WORD = re.compile(r"[^A-Za-z0-9_]+")


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
    def has_own_name(self) -> bool:
        """Whether the OpenAPI document names the union as the user declared it."""
        return self.name == self.union.name

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
    resource_id_type: TypeForm[str | int | UUID],
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
    keys = KeySpace(key_prefix, key_suffix, resource_id_type)
    return Declaration(
        name=name or union.name or _made_name(key_prefix, key_suffix, keys.name),
        union=union,
        encoder=Encoder(union, max_event_bytes=max_event_bytes, event_names=event_names),
        event_names=event_names,
        keys=keys,
        retention=Retention(history_size, history_bytes, history_ttl),
    )


def _made_name(prefix: str, suffix: str, keys: str) -> str:
    """Name a union after its keys, as no model and no union of other keys can be named.

    The name has a hyphen, which that of a class cannot have. Where key parts are not words of small
    letters, others may read the same, so a digest of the keys tells them apart.
    """
    parts = [part for part in (_pascal(prefix), _pascal(suffix) + "Event") if part]
    if not (_WORDS.fullmatch(prefix) and _WORDS.fullmatch(suffix)):
        parts.append(blake2b(keys.encode(), digest_size=4).hexdigest())
    return "-".join(parts)


def _pascal(text: str) -> str:
    words = _NO_WORD.split(text)
    return "".join(word[:1].upper() + word[1:] for word in words)
