"""The errors that a server's answer and its stream lead to.

```
SSEChannelsError
├── StreamRefusedError        no further attempt would be answered otherwise
│   ├── UnauthorizedError     401 or 403, also with headers asked for anew
│   ├── ContentTypeError      200, but no event stream
│   └── ContentEncodingError  200, but compressed
└── StreamResetError
    └── OversizeEventError    an event was skipped; iterating goes on
```
"""

from __future__ import annotations

from .._errors import SSEChannelsError, StreamResetError


class StreamRefusedError(SSEChannelsError):
    """The server answered that there is no such stream for this client.

    Attributes:
        status_code: The HTTP status.
    """

    def __init__(self, status_code: int, message: str) -> None:
        """Keep the status beside the message."""
        self.status_code = status_code
        super().__init__(message)


class UnauthorizedError(StreamRefusedError):
    """The answer is 401 or 403, also after a `headers` function was called once more."""


class ContentTypeError(StreamRefusedError):
    """The answer is not an event stream."""


class ContentEncodingError(StreamRefusedError):
    """The answer is compressed, although the request asked for one that is not.

    A few bytes of such a body may stand for any amount of memory.
    """


class OversizeEventError(StreamResetError):
    """An event larger than `max_event_bytes` was skipped, so one is missing.

    Its `reason` is `too-large`.
    """

    def __init__(self, max_event_bytes: int, last_event_id: str) -> None:
        """Build the message from the limit and the new position."""
        super().__init__("too-large", last_event_id)
        msg = (
            f"an event of more than max_event_bytes={max_event_bytes} was skipped; load the "
            "current state again and go on iterating, or raise max_event_bytes to be given such "
            "events"
        )
        self.args = (msg,)
