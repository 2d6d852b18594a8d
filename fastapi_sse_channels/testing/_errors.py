"""The assertions that fail a test.

```
AssertionError
└── StreamAssertionError
    ├── StreamTimeoutError         it did not happen in time
    ├── StreamEndedError           it cannot happen any more
    ├── UnexpectedEventError       something else happened
    └── UnexpectedResponseError    the stream was not opened
```
"""

from __future__ import annotations

from collections.abc import Sequence


class StreamAssertionError(AssertionError):
    """Base of the assertions of this package.

    Attributes:
        received: The events that the stream had sent until then.
    """

    def __init__(self, message: str, received: Sequence[object] = ()) -> None:
        """Add what was received to the message."""
        self.received = tuple(received)
        if received:
            events = "\n".join(f"  {event!r}" for event in received)
            message = f"{message}\nreceived until then:\n{events}"
        super().__init__(message)


class StreamTimeoutError(StreamAssertionError):
    """What was waited for did not happen within its time limit."""


class StreamEndedError(StreamAssertionError):
    """The stream is over, so what is waited for cannot happen."""


class UnexpectedEventError(StreamAssertionError):
    """Something else happened than what was waited for."""


class UnexpectedResponseError(StreamAssertionError):
    """The answer is not an event stream.

    Attributes:
        status_code: The HTTP status.
    """

    def __init__(self, message: str, status_code: int) -> None:
        """Keep the status beside the message."""
        self.status_code = status_code
        super().__init__(message)
