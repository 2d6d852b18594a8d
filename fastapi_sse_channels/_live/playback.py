"""What a stream sends next: the frames of a log, and the control frames between them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .._core import wire
from .._core.cursor import Cursor
from .._core.log import pieces_of
from .._core.position import awaiting_initial
from .._errors import SnapshotTooSlowError
from .sender import body

if TYPE_CHECKING:
    from starlette.types import Message

    from .._core.wire import ResetReason
    from .._servers.uvicorn import Chunks
    from .feed import Feed

SlowPolicy = Literal["reset", "close"]
LoadInitial = Callable[[], Awaitable[Sequence[bytes]]]

logger = logging.getLogger("fastapi_sse_channels")

# A snapshot that takes longer than the log is deep is stale before it is sent.
_SNAPSHOT_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Settings of all streams of a manager; times in seconds, the `retry` functions in ms."""

    ping_interval: float | None
    send_timeout: float
    slow_after: float
    slow_policy: SlowPolicy
    chunks: Chunks | None
    retry: Callable[[], int]
    drain_retry: Callable[[], int]


class Playback(Cursor):
    """A cursor with the frames that stand before, between and after those of the log.

    Attributes:
        feed: The log, and those who read it.
        last_event_id: The id after which the client asked to resume, if any.
        resumed: Whether it continues after `last_event_id`.
    """

    __slots__ = (
        "_extra",
        "_is_closing",
        "_load_initial",
        "_reset",
        "_settings",
        "feed",
        "last_event_id",
        "resumed",
    )

    def __init__(
        self,
        feed: Feed,
        *,
        last_event_id: str | None,
        load_initial: LoadInitial,
        settings: StreamSettings,
    ) -> None:
        """Fix the cursor.

        Args:
            feed: The log, and those who read it.
            last_event_id: Where the client wants to go on.
            load_initial: Loads the bodies of the initial events.
            settings: The manager's.
        """
        super().__init__(feed.log)
        self.feed = feed
        self.last_event_id = last_event_id
        self._load_initial = load_initial
        self._settings = settings
        # the next message carries these besides events: a ping, or the frame that closes the stream
        self._extra = b""
        self._is_closing = False
        start = feed.start(last_event_id)
        self.resumed = start.resumed
        self._reset: ResetReason | None = start.reset
        self.go_back_to(start.position)

    def ping(self) -> None:
        """Send a ping with the next flush if nothing else is sent."""
        self._extra = self._extra or wire.PING

    async def open(self) -> Sequence[bytes]:
        """Return the first frames of the stream, from `stream-open` to the newest event.

        Raises:
            SnapshotTooSlowError: Events overtook every snapshot.
        """
        for _ in range(_SNAPSHOT_ATTEMPTS):
            initial = [] if self.resumed else await self._load_initial()
            if not self.is_cut_off:
                return self._opening(initial)
            if self.resumed:
                self.resumed = False
                self._reset = self.why_cut_off()
            self.move_to_top()
        msg = f"the initial event of {self.feed.key} takes longer than the history is deep"
        raise SnapshotTooSlowError(msg)

    def _opening(self, initial: Sequence[bytes]) -> Sequence[bytes]:
        cursor, events = self._cursor_before(initial)
        if self.resumed:
            # the replay comes after this frame, and is lost with the connection
            assert self.last_event_id is not None
            cursor = self.last_event_id
        opening = wire.StreamOpen(
            wire.PROTOCOL, self.resumed, self._settings.ping_interval, self._settings.retry()
        )
        if self._reset is None:
            frames = [opening.encode(cursor)]
        else:
            # without an id: a client that drops here comes back with its old one, and is reset then
            frames = [opening.encode(None), wire.StreamReset(self._reset).encode(cursor)]
        if self._is_closing and events:
            # The stream was closed while the state was loaded. A revoked client must not see that
            # state; one that may reconnect gets it then, for its id is still marked.
            self.move_to_top()
        else:
            frames += (*events, *self.take_all())
        self.feed.progressed()
        return frames

    def _cursor_before(self, initial: Sequence[bytes]) -> tuple[str, Sequence[bytes]]:
        """Return the cursor's id for the frames before initial events, and these events.

        The id is marked until the last of the events, which carries it without the mark.
        """
        cursor = self.event_id
        if not initial:
            return cursor, ()
        *others, last = initial
        return awaiting_initial(cursor), (*others, wire.frame(cursor, last))

    def _next_message(self) -> Message | None:
        piece = b"" if self.is_up_to_date else self.take()
        if self._is_closing and self.is_up_to_date:
            return body(piece + self._extra, more=False)
        piece = piece or self._extra
        return body(piece) if piece else None

    async def _begin_anew(self) -> None:
        """Queue the reset and the initial event that follows it, or the stream's end."""
        reason = self.why_cut_off()
        frames = None if self._is_closing else await self._reset_frames(reason)
        if frames is not None and not self._is_closing:
            self.put_first(tuple(pieces_of(frames)))
            return
        # a revoked client must not see the current state, and one that reconnects gets its
        # reset then
        self.move_to_top()
        if not self._is_closing:
            retry = self._settings.retry()
            self._extra = wire.StreamClose("ended", reconnect=True, retry=retry).encode()
            self._is_closing = True

    async def _reset_frames(self, reason: ResetReason) -> Sequence[bytes] | None:
        """Encode the reset and the initial event that follows it, or give up."""
        if self._settings.slow_policy == "close" and reason == "slow":
            return None
        for _ in range(_SNAPSHOT_ATTEMPTS):
            self.move_to_top()
            try:
                initial = await self._load_initial()
            except Exception:
                logger.exception("%r: the initial event after a reset failed", self)
                return None
            if not self.is_cut_off:
                cursor, events = self._cursor_before(initial)
                return (wire.StreamReset(reason).encode(cursor), *events)
        return None
