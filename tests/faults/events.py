"""The events that are published while things break."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Numbered(BaseModel):
    type: Literal["numbered"] = "numbered"
    publisher: str
    number: int
    padding: str = ""


NAMESPACE = "faults"
KEY_PREFIX = "numbers"

# No fault publishes more to a channel, so that only a fault can lose stored events.
HISTORY_SIZE = 50_000
HISTORY_BYTES = 256 * 1024 * 1024
