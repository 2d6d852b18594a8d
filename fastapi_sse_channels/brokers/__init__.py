"""Where channels are stored, and how processes hear of events."""

from .._core.log import Entry, Log, Retention, new_log
from .._core.position import Position, new_epoch, new_nonce, start_of
from .._core.wire import ResetReason
from ._base import IDEMPOTENCY_WINDOW, Broker, SyncStore, closed_error
from ._memory import MemoryBroker

__all__ = [
    "IDEMPOTENCY_WINDOW",
    "Broker",
    "Entry",
    "Log",
    "MemoryBroker",
    "Position",
    "ResetReason",
    "Retention",
    "SyncStore",
    "closed_error",
    "new_epoch",
    "new_log",
    "new_nonce",
    "start_of",
]
