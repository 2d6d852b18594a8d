"""Where channels are stored, and how processes hear of events."""

from ._base import Broker, History, SyncStore
from ._memory import MemoryBroker

__all__ = ["Broker", "History", "MemoryBroker", "SyncStore"]
