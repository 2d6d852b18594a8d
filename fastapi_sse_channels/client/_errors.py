"""The errors with which a server's answer ends a connection.

```
SSEChannelsError
└── StreamRefusedError        no further attempt would be answered otherwise
    ├── UnauthorizedError     401 or 403, also with headers asked for anew
    └── ContentTypeError      200, but no event stream
```
"""

from __future__ import annotations

from .._errors import SSEChannelsError


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
