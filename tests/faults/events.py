"""What is published while things break."""

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

# More than any fault publishes to a channel: only a fault may lose what is stored.
HISTORY_SIZE = 50_000
HISTORY_BYTES = 256 * 1024 * 1024
