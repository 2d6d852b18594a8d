"""Where a connection stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WaitReason = Literal["end", "close", "network", "http", "stall"]


@dataclass(frozen=True, slots=True)
class Connecting:
    """A request is under way."""


@dataclass(frozen=True, slots=True)
class Open:
    """The stream is being read.

    Attributes:
        resumed: Whether it goes on exactly after `last_event_id`.
    """

    resumed: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """The next attempt is to come.

    Attributes:
        delay: Seconds from the beginning of the wait to the attempt.
        reason: What happened to the last one: `end` (the server ended the response), `close` (it
            said so first), `network` (the request or the body failed), `http` (408, 425, 429 or
            5xx) or `stall` (the socket was open, but silent).
    """

    delay: float
    reason: WaitReason


@dataclass(frozen=True, slots=True)
class Closed:
    """There will be no further attempt.

    Attributes:
        reason: `caller`; the server's word in `stream-close` (`ended`, `revoked`, `expired` or
            `shutdown`; `ended` also for a 204); or `unauthorized`, `refused`, `content-type` or
            `content-encoding`, for which an error was raised.
    """

    reason: str


Status = Connecting | Open | Waiting | Closed
