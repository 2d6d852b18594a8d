"""Channels over Redis, for any number of processes and machines.

Needs the extra `fastapi-sse-channels[redis]`.
"""

from importlib.util import find_spec

if find_spec("redis") is None:
    msg = "the Redis broker needs redis-py: pip install 'fastapi-sse-channels[redis]'"
    raise ModuleNotFoundError(msg, name="redis")

from ._blocking import BlockingStore
from ._broker import RedisBroker

__all__ = ["BlockingStore", "RedisBroker"]
