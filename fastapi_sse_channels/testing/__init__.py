"""Test applications that stream, in the test's own event loop and without a server.

Each call has a time limit; its error shows what had arrived by then.
"""

from .._core.wire import StreamClose, StreamOpen
from ._client import HTTPResponse, SSETestClient
from ._errors import (
    StreamAssertionError,
    StreamEndedError,
    StreamTimeoutError,
    UnexpectedEventError,
    UnexpectedResponseError,
)
from ._memory import in_memory
from ._recording import RecordingPublisher
from ._stream import SSETestStream
from ._waiting import wait_for_sessions

__all__ = [
    "HTTPResponse",
    "RecordingPublisher",
    "SSETestClient",
    "SSETestStream",
    "StreamAssertionError",
    "StreamClose",
    "StreamEndedError",
    "StreamOpen",
    "StreamTimeoutError",
    "UnexpectedEventError",
    "UnexpectedResponseError",
    "in_memory",
    "wait_for_sessions",
]
