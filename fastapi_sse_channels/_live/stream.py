"""One open stream: a cursor into a channel's log, and a way to send."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .._core import wire
from .._core.cursor import Cursor
from .._core.log import pieces_of
from .._core.position import awaiting_initial
from .._errors import SnapshotTooSlowError
from .backpressure import earned
from .sender import StalledError, body

if TYPE_CHECKING:
    from starlette.types import Message

    from .._core.wire import CloseReason, ResetReason
    from .._servers.uvicorn import Chunks
    from .feed import Feed
    from .reader import Reader
    from .sender import Sender

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


class Stream(Cursor):
    """One open stream; a `Reader` of its feed.

    Attributes:
        id: Names the stream in this process's logs.
        feed: The log, and those who read it.
        sender: Sends its messages.
        last_event_id: The id after which the client asked to resume, if any.
        resumed: Whether it continues after `last_event_id`.
        written_at: When it was last sent something, by the event loop's time.
        stuck_since: See `Reader.stuck_since`.
        credit: See `Reader.credit`.
        ping_slot: Where the pinger keeps it.
    """

    __slots__ = (
        "__weakref__",
        "_extra",
        "_is_closing",
        "_is_ended",
        "_load_initial",
        "_reset",
        "_settings",
        "_task",
        "_wake",
        "credit",
        "feed",
        "id",
        "last_event_id",
        "ping_slot",
        "resumed",
        "sender",
        "stuck_since",
        "written_at",
    )

    def __init__(
        self,
        feed: Feed,
        sender: Sender,
        *,
        last_event_id: str | None,
        load_initial: LoadInitial,
        settings: StreamSettings,
        wake: Callable[[Reader], None],
    ) -> None:
        """Fix the cursor; nothing is sent before `open`.

        Args:
            feed: The log, and those who read it.
            sender: Sends to the client.
            last_event_id: Where the client wants to go on.
            load_initial: Loads the bodies of the initial events.
            settings: The manager's.
            wake: Has the stream flushed soon.
        """
        super().__init__(feed.log)
        self.id = secrets.token_hex(8)
        self.sender = sender
        self.last_event_id = last_event_id
        self.ping_slot = 0
        self.feed = feed
        self._load_initial = load_initial
        self._settings = settings
        self._wake = wake
        # the next flush sends these besides events: a ping, or the frame that closes the stream
        self._extra = b""
        self._is_closing = False
        self._is_ended = False
        self._task: asyncio.Task[Any] | None = None
        self.written_at = asyncio.get_running_loop().time()
        # an opening stream counts as stuck, so that publishing waits for it a little, not for ever
        self.stuck_since: float | None = self.written_at
        self.credit = 0.0
        start = feed.start(last_event_id)
        self.resumed = start.resumed
        self._reset = start.reset
        self.go_back_to(start.position)

    def __repr__(self) -> str:
        """Show which stream this is and where it stands."""
        state = "ended" if self._is_ended else "open"
        return f"<Stream {self.id} of {self.feed.key} at {self.offset} {state}>"

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is sent."""
        return self._is_ended

    @property
    def is_guest(self) -> bool:
        """See `Reader.is_guest`."""
        return self._task is None

    def close(self, reason: CloseReason = "ended", *, reconnect: bool = False) -> None:
        """End the stream with `stream-close`, after what is already published.

        Args:
            reason: Sent to the client.
            reconnect: Whether the client should connect again.
        """
        retry = self._settings.drain_retry() if reason == "shutdown" else self._settings.retry()
        self._close_with(wire.StreamClose(reason, reconnect, retry).encode())

    def drop(self) -> None:
        """End the stream of a client whose leaving the server does not report."""
        # the last message is sent because the server complains of a response that is cut short
        self._close_with(self._extra or wire.PING)

    def _close_with(self, last: bytes) -> None:
        self._extra = last
        self._is_closing = True
        self._wake(self)

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
            self._begin_at_top()
        msg = f"the initial event of {self.feed.key} takes longer than the history is deep"
        raise SnapshotTooSlowError(msg)

    async def send_first(self, start: Message, frames: Sequence[bytes]) -> bool:
        """Send the response's head and first frames.

        Returns:
            Whether the stream goes on.
        """
        opening = self.sender.send_opening(start, pieces_of(frames), self._settings.chunks)
        return await self._succeeds(opening)

    def go_live(self, task: asyncio.Task[Any]) -> None:
        """Let the fan-out send from now on.

        Args:
            task: What waits for the client; cancelled when the stream ends by itself.
        """
        self._task = task
        self.stuck_since = None
        self._wake(self)

    @property
    def has_woken_task(self) -> bool:
        """Whether the task was cancelled by the stream that it waits for."""
        return self._task is None

    def leave(self) -> None:
        """Send nothing more; the request is over."""
        self._is_ended = True
        self.feed.discard(self)

    def abort(self) -> None:
        """Drop the connection without waiting for the client to read."""
        connection = self.sender.connection
        if connection is None:
            self._end()
        else:
            # the server now reports that the client has left, so the request ends quietly
            self.leave()
            connection.abort()

    def ping(self) -> None:
        """Send a ping with the next flush if nothing else is sent."""
        self._extra = self._extra or wire.PING

    def flush(self, now: float) -> Coroutine[object, object, None] | None:
        """Send what the log holds beyond the cursor; see `Reader.flush`."""
        if self.stuck_since is not None or self._is_ended:
            return None
        log = self.log
        top = log.top.offset
        # This repeats what `is_cut_off` asks, to save the call in every delivery.
        if log.incarnation != self._incarnation or self.offset < log.floor.offset:
            self.stuck_since = now
            return self.sender.within_context(self._recover())
        if self._extra:
            return self._flush_messages(now)
        while self.offset != top or self._parts:
            piece = self.take()
            if self.sender.write(piece):
                self.written_at = now
                if self.credit:
                    self._earn(piece, now)
                continue
            waiting = self._send_now(body(piece), now)
            if waiting is not None or self._is_ended:
                return waiting
        return None

    def _flush_messages(self, now: float) -> Coroutine[object, object, None] | None:
        while not self._is_ended and (message := self._next_message()) is not None:
            waiting = self._send_now(message, now)
            if waiting is not None:
                return waiting
        return None

    def _send_now(self, message: Message, now: float) -> Coroutine[object, object, None] | None:
        try:
            rest = self.sender.step(message)
        except (Exception, asyncio.CancelledError) as error:
            # a send that reports its own request as cancelled must not end the flush of others
            self._lose(error)
            return None
        if rest is None:
            if self.credit:
                self._earn(message["body"], now)
            self._sent(message, now)
            return None
        self.stuck_since = now
        return self.sender.within_context(self._finish(self.sender.complete(rest), message))

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

    def _begin_at_top(self) -> None:
        self.move_to_top()
        self.feed.place(self)

    def _next_message(self) -> Message | None:
        piece = b"" if self.is_up_to_date else self.take()
        if self._is_closing and self.is_up_to_date:
            return body(piece + self._extra, more=False)
        piece = piece or self._extra
        return body(piece) if piece else None

    def _sent(self, message: Message, now: float) -> None:
        self.written_at = now
        if not message["more_body"]:
            self._end()
        elif not self._is_closing:
            self._extra = b""

    async def _finish(self, sending: Awaitable[None], message: Message) -> None:
        """Wait for a send that did not complete at once, then catch up."""
        loop = asyncio.get_running_loop()
        while await self._succeeds(sending):
            now = loop.time()
            self._earn(message["body"], now)
            self._sent(message, now)
            self.feed.progressed()
            following = await self._following_message()
            if following is None:
                break
            message = following
            self.stuck_since = loop.time()
            sending = self.sender.send(message)
        self.stuck_since = None

    def _earn(self, piece: bytes, now: float) -> None:
        """Give credit to a client that reads: its connection has room again."""
        waited = 0.0 if self.stuck_since is None else now - self.stuck_since
        self.credit = earned(self.credit, waited, len(piece), most=self._settings.slow_after)

    async def _following_message(self) -> Message | None:
        # the client has the beginning of this frame, so the rest is sent first
        if self.is_cut_off and not (self._parts or self._is_ended):
            await self._begin_anew()
        # the client may have left while its initial event was loaded
        return None if self.is_ended else self._next_message()

    async def _succeeds(self, sending: Awaitable[None]) -> bool:
        try:
            await sending
        except StalledError:
            logger.info("%r: the client reads nothing, connection dropped", self)
            self.abort()
            return False
        except Exception as error:
            self._lose(error)
            return False
        return True

    async def _recover(self) -> None:
        """Go on at the top after the cursor fell off the log."""
        message = await self._following_message()
        if message is None:
            self.stuck_since = None
        else:
            self.stuck_since = asyncio.get_running_loop().time()
            await self._finish(self.sender.send(message), message)

    async def _begin_anew(self) -> None:
        """Queue the reset and the initial event that follows it, or the stream's end."""
        reason = self.why_cut_off()
        frames = None if self._is_closing else await self._reset_frames(reason)
        if frames is not None and not self._is_closing:
            self.put_first(tuple(pieces_of(frames)))
            return
        # a revoked client must not see the current state, and one that reconnects gets its
        # reset then
        self._begin_at_top()
        if not self._is_closing:
            retry = self._settings.retry()
            self._extra = wire.StreamClose("ended", reconnect=True, retry=retry).encode()
            self._is_closing = True

    async def _reset_frames(self, reason: ResetReason) -> Sequence[bytes] | None:
        """Encode the reset and the initial event that follows it, or give up."""
        if self._settings.slow_policy == "close" and reason == "slow":
            return None
        for _ in range(_SNAPSHOT_ATTEMPTS):
            self._begin_at_top()
            try:
                initial = await self._load_initial()
            except Exception:
                logger.exception("%r: the initial event after a reset failed", self)
                return None
            if not self.is_cut_off:
                cursor, events = self._cursor_before(initial)
                return (wire.StreamReset(reason).encode(cursor), *events)
        return None

    def _lose(self, error: BaseException) -> None:
        # every server has its own error for a client that has left
        logger.debug("%r: sending failed: %r", self, error)
        self._end()

    def _end(self) -> None:
        if self._is_ended:
            return
        self.leave()
        if self._task is not None:
            self._task.cancel()
            self._task = None
