"""Channels over Redis, for any number of processes and machines.

Needs the extra `fastapi-sse-channels[redis]`.
"""

from ._blocking import BlockingStore
from ._broker import RedisBroker

__all__ = ["BlockingStore", "RedisBroker"]
