"""Follow a channel from another Python program, over httpx: `fastapi-sse-channels[client]`.

Any SSE client can read a channel. What `connect` adds: it resumes after the last event whenever the
connection is lost, notices sockets that have gone silent, validates every event, and never hides
that events were missed.
"""

from ._connection import Connection, connect
from ._errors import (
    ContentEncodingError,
    ContentTypeError,
    OversizeEventError,
    StreamRefusedError,
    UnauthorizedError,
)
from ._headers import HeadersRequest
from ._state import InvalidPolicy
from ._status import Closed, Connecting, Open, Status, Waiting, WaitReason
from ._sync_connection import SyncConnection, connect_sync

__all__ = [
    "Closed",
    "Connecting",
    "Connection",
    "ContentEncodingError",
    "ContentTypeError",
    "HeadersRequest",
    "InvalidPolicy",
    "Open",
    "OversizeEventError",
    "Status",
    "StreamRefusedError",
    "SyncConnection",
    "UnauthorizedError",
    "WaitReason",
    "Waiting",
    "connect",
    "connect_sync",
]
