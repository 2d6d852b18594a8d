"""Every error the library raises.

```
SSEChannelsError
├── ConfigurationError        (ValueError)    the set-up cannot work
├── InvalidEventError         (ValueError)    refused at publish, nothing stored
│   └── EventTooLargeError
├── InvalidResourceIdError    (ValueError)    the resource id cannot name a channel
├── StreamResetError                          a Python subscription lost continuity
├── DrainingError                             the process is shutting its streams down
├── SessionLimitError                         a manager has `max_sessions` streams
├── SnapshotTooSlowError                      events overtook every initial event
├── WrongThreadError          (RuntimeError)  a blocking call on the event loop's thread
└── BrokerError
    ├── BrokerNotStartedError                 the lifespan hook is missing
    ├── BrokerClosedError                     used after `stop()`
    └── PublishError                          not stored, or not known to be stored
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._core.wire import ClientResetReason


class SSEChannelsError(Exception):
    """Base of every error raised by this library."""


class ConfigurationError(SSEChannelsError, ValueError):
    """The set-up cannot work; the message names the fix."""


class InvalidEventError(SSEChannelsError, ValueError):
    """The event was refused before anything was stored."""


class EventTooLargeError(InvalidEventError):
    """The encoded event is larger than `max_event_bytes`."""


class InvalidResourceIdError(SSEChannelsError, ValueError):
    """The resource id is empty, too long, or not encodable as UTF-8."""


class StreamResetError(SSEChannelsError):
    """Continuity of a Python subscription cannot be proven.

    The iterator raises it once, as the wire sends one `stream-reset`. Iterating on continues with
    live events from `last_event_id`.

    Attributes:
        reason: Why the missed events cannot be replayed.
        last_event_id: The position at which the subscription goes on.
    """

    def __init__(self, reason: ClientResetReason, last_event_id: str) -> None:
        """Build the message from the reason and the new position."""
        self.reason = reason
        self.last_event_id = last_event_id
        msg = (
            f"events were missed and cannot be replayed ({reason}); load the current state again "
            "and go on iterating for live events"
        )
        super().__init__(msg)


class DrainingError(SSEChannelsError):
    """This process is ending its streams; clients reconnect elsewhere."""


class SessionLimitError(SSEChannelsError):
    """A manager has `max_sessions` streams in this process already."""


class SnapshotTooSlowError(SSEChannelsError):
    """More events than the history holds overtook every initial event."""


class WrongThreadError(SSEChannelsError, RuntimeError):
    """A blocking call on the event loop's own thread would wait for itself."""


class BrokerError(SSEChannelsError):
    """Base of the errors that every broker raises alike."""


class BrokerNotStartedError(BrokerError):
    """The broker was used before its lifespan hook ran."""


class BrokerClosedError(BrokerError):
    """The broker was used after it was stopped."""


class PublishError(BrokerError):
    """The broker could not confirm that the event was stored."""
