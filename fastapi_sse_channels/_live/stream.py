"""One open stream: a cursor into a channel's log, and a way to send."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
import types
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Sequence,
)
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from .._checks import check_choice
from .._core import wire as _wire
from .._core.log import pieces_of
from .._core.position import awaiting_initial
from .._errors import SnapshotTooSlowError
from .._servers.transport import (
    AbortableTransport,
    past_forwarders,
    shutdown_behind,
    transport_behind,
)
from .._servers.uvicorn import Chunks, DirectWriter, direct_writer

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send

    from .._channel import Channel
    from .._core.wire import CloseReason, ResetReason
    from .feed import Feed, Reader

T = TypeVar("T")
SlowPolicy = Literal["reset", "close"]
LoadInitial = Callable[[], Awaitable[Sequence[bytes]]]

logger = logging.getLogger("fastapi_sse_channels")

# A snapshot that takes longer than the log is deep is stale before it is sent.
_SNAPSHOT_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Settings of all sessions of a manager; times in seconds, the `retry` functions in ms."""

    ping_interval: float | None
    send_timeout: float
    slow_policy: SlowPolicy
    chunks: Chunks | None
    retry: Callable[[], int]
    drain_retry: Callable[[], int]


class Session(Generic[T]):
    """One open stream, as handed to `on_connect` and `on_disconnect`.

    Attributes:
        id: Names the session in this process's logs.
        channel: The channel it streams.
        last_event_id: The id after which the client asked to resume, if any.
        resumed: Whether it continues after `last_event_id`.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_direct",
        "_extra",
        "_feed",
        "_incarnation",
        "_is_closing",
        "_is_ended",
        "_load_initial",
        "_receive",
        "_replay",
        "_reset",
        "_rest",
        "_send",
        "_settings",
        "_task",
        "_transport",
        "_wake",
        "channel",
        "id",
        "last_event_id",
        "offset",
        "ping_slot",
        "resumed",
        "stuck_since",
        "written_at",
    )

    def __init__(
        self,
        channel: Channel[T],
        feed: Feed,
        send: Send,
        receive: Receive,
        *,
        last_event_id: str | None,
        load_initial: LoadInitial,
        settings: StreamSettings,
        wake: Callable[[Reader], None],
    ) -> None:
        """Fix the cursor; nothing is sent before `open`."""
        self.id = secrets.token_hex(8)
        self.channel = channel
        self.last_event_id = last_event_id
        self.ping_slot = 0
        self._feed = feed
        self._send = send
        self._receive = receive
        self._load_initial = load_initial
        # Of the request, whose user, tenant or trace a middleware may look for in every send. None
        # where it is empty, as that of the fan-out is: a context for each of thousands of streams
        # is memory, and entering it is time.
        self._context = contextvars.copy_context() or None
        self._settings = settings
        self._wake = wake
        self._direct: DirectWriter | None = None
        # what to send besides events: a ping, or the frame that closes the stream
        self._extra = b""
        self._is_closing = False
        self._is_ended = False
        self._task: asyncio.Task[Any] | None = None
        self._transport: AbortableTransport | None = None
        self.written_at = asyncio.get_running_loop().time()
        # opening counts as being stuck: publishing waits for it a little, not for ever
        self.stuck_since: float | None = self.written_at
        # what comes before the log: the other parts of what was begun
        self._rest: tuple[bytes, ...] = ()
        start = feed.start(last_event_id)
        self.resumed = start.resumed
        self._reset: ResetReason | None = start.reset
        self._incarnation = feed.log.incarnation
        # taken out now: at its old position, a reader that opens slowly would hold up publishers
        self._replay = tuple(e.frame for e in feed.log.entries_after(start.position.offset))
        self.offset = feed.log.top.offset
        feed.place(self)

    def __repr__(self) -> str:
        """Show which stream this is and where it stands."""
        state = "ended" if self._is_ended else "open"
        return f"<Session {self.id} of {self._feed.key} at {self.offset} {state}>"

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is sent."""
        return self._is_ended

    def close(self, reason: CloseReason = "ended", *, reconnect: bool = False) -> None:
        """End the stream with `stream-close`, after what is already published.

        Args:
            reason: Sent to the client.
            reconnect: Whether the client should connect again.

        Raises:
            ConfigurationError: `reason` is not one that `stream-close` can have.
        """
        check_choice("reason", reason, _wire.CloseReason)
        retry = self._settings.drain_retry() if reason == "shutdown" else self._settings.retry()
        self._extra = _wire.StreamClose(reason, reconnect, retry).encode()
        self._is_closing = True
        self._wake(self)

    async def open(self) -> Sequence[bytes]:
        """Return the first frames of the stream, from `stream-open` to the newest event.

        Raises:
            SnapshotTooSlowError: Events overtook every snapshot.
        """
        for _ in range(_SNAPSHOT_ATTEMPTS):
            initial = [] if self.resumed else await self._load_initial()
            if self._can_go_on():
                return self._opening(initial)
            if self.resumed:
                self.resumed = False
                self._reset = self._feed.log.why_cut_off(self._incarnation)
            self._replay = ()
            self._move_to_top()
        msg = f"the initial event of {self._feed.key} takes longer than the history is deep"
        raise SnapshotTooSlowError(msg)

    async def send_first(self, start: Message, frames: Sequence[bytes]) -> bool:
        """Send the response's head and first frames.

        Returns:
            Whether the stream goes on.
        """
        if not await self._send_within_timeout(self._send_opening(start, frames)):
            return False
        if self._settings.chunks is not None:
            self._direct = direct_writer(self._send, self._settings.chunks)
        return True

    async def _send_opening(self, start: Message, frames: Sequence[bytes]) -> None:
        await self._send(start)
        self._send = past_forwarders(self._send)
        for piece in pieces_of(frames):
            await self._send(_body(piece))

    def go_live(self, task: asyncio.Task[Any]) -> None:
        """Let the fan-out send from now on.

        Args:
            task: What waits for the client; cancelled when the stream ends by itself.
        """
        self._task = task
        self.stuck_since = None
        self._wake(self)

    @property
    def is_guest(self) -> bool:
        """See `Reader.is_guest`."""
        return self._task is None

    @property
    def has_woken_task(self) -> bool:
        """Whether the task was cancelled by the session that it waits for."""
        return self._task is None

    def leave(self) -> None:
        """Send nothing more; the request is over."""
        self._is_ended = True
        self._feed.discard(self)

    def ping(self) -> None:
        """Send a ping with the next flush if nothing else is sent."""
        self._extra = self._extra or _wire.PING

    def flush(self, now: float) -> Coroutine[object, object, None] | None:
        """Send what the log holds beyond the cursor; see `Reader.flush`."""
        if self.stuck_since is not None or self._is_ended:
            return None
        log = self._feed.log
        top = log.top.offset
        # what `_can_go_on` asks, without its two calls: this runs once for every delivery
        if log.incarnation != self._incarnation or self.offset < log.floor.offset:
            self.stuck_since = now
            return _within(self._context, self._recover())
        if self._extra:
            return self._flush_messages(now)
        while self.offset != top or self._rest:
            chunk = self._take()
            if self._direct is not None and self._direct.write(chunk):
                self.written_at = now
                continue
            waiting = self._send_now(_body(chunk), now)
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
        """Take the first step of a send, which is the only one unless the client reads slowly."""
        try:
            call: Any = self._send(message)
            if type(call) is not types.CoroutineType:
                call = _await(call)
            waiting_for = (
                call.send(None) if self._context is None else self._context.run(call.send, None)
            )
        except StopIteration:
            self._sent(message, now)
            return None
        except (Exception, asyncio.CancelledError) as error:
            # a send that reports its own request as cancelled must not end the flush of others
            self._lose(error)
            return None
        self.stuck_since = now
        return _within(self._context, self._finish(_rest_of(call, waiting_for), message))

    def abort(self) -> None:
        """Drop the connection without waiting for the client to read."""
        transport = transport_behind(self._send, self._receive)
        if transport is None:
            self._end()
        else:
            # the server now reports the client as gone, which ends the request without complaint
            self.leave()
            transport.abort()

    @property
    def connection(self) -> AbortableTransport | None:
        """The connection that the stream has for itself, where the server gives access to it."""
        if self._transport is None and not self._is_ended:
            self._transport = transport_behind(self._send, self._receive)
        return self._transport

    def drop(self) -> None:
        """End the stream of a client that has left, of which the server does not tell."""
        # with a last message: the server complains of a response that is cut short
        self._is_closing = True
        self.ping()
        self._wake(self)

    def server_shutdown(self) -> Callable[[], Awaitable[None]] | None:
        """Return what to await for a server's shutdown that comes without a signal."""
        return shutdown_behind(self._send, self._receive)

    def _opening(self, initial: Sequence[bytes]) -> Sequence[bytes]:
        cursor, events = self._cursor_before(initial)
        if self.resumed:
            # the replay comes after this frame, and is lost with the connection
            assert self.last_event_id is not None
            cursor = self.last_event_id
        frames = [
            _wire.StreamOpen(
                _wire.PROTOCOL,
                self.resumed,
                self._settings.ping_interval,
                self._settings.retry(),
            ).encode(cursor)
        ]
        if self._reset is not None:
            frames.append(_wire.StreamReset(self._reset).encode(cursor))
        log = self._feed.log
        if not (self._is_closing and events):
            since = [entry.frame for entry in log.entries_after(self.offset)]
            frames += (*events, *self._replay, *since)
        # else closed while the state was loaded, which a revoked client must not be shown; one that
        # may reconnect is shown it then, for its id is still marked
        self._replay = ()
        self.offset = log.top.offset
        self._feed.progressed()
        return frames

    def _cursor_before(self, initial: Sequence[bytes]) -> tuple[str, Sequence[bytes]]:
        """Return the cursor's id for the frames before initial events, and these events.

        The id is marked until the last of the events, which carries it without the mark.
        """
        cursor = self._feed.log.position(self.offset).event_id
        if not initial:
            return cursor, ()
        *others, last = initial
        return awaiting_initial(cursor), (*others, _wire.frame(cursor, last))

    def _can_go_on(self) -> bool:
        log = self._feed.log
        return log.incarnation == self._incarnation and log.reaches(self.offset)

    def _move_to_top(self) -> None:
        log = self._feed.log
        self._incarnation = log.incarnation
        self.offset = log.top.offset
        self._feed.place(self)

    def _take(self) -> bytes:
        """Return the next piece, and move the cursor behind the last frame of which it has any."""
        parts = self._rest
        if not parts:
            parts, self.offset = self._feed.log.piece(self.offset)
        self._rest = parts[1:]
        return parts[0]

    @property
    def _is_up_to_date(self) -> bool:
        return not self._rest and self.offset == self._feed.log.top.offset

    def _next_message(self) -> Message | None:
        chunk = b"" if self._is_up_to_date else self._take()
        if self._is_closing and self._is_up_to_date:
            return _body(chunk + self._extra, more=False)
        chunk = chunk or self._extra
        return _body(chunk) if chunk else None

    def _sent(self, message: Message, now: float) -> None:
        self.written_at = now
        if not message["more_body"]:
            self._end()
        elif not self._is_closing:
            self._extra = b""

    async def _finish(self, first: Awaitable[None], message: Message) -> None:
        """Wait for a send that did not complete at once, then catch up."""
        loop = asyncio.get_running_loop()
        while await self._send_within_timeout(first):
            self._sent(message, loop.time())
            self._feed.progressed()
            following = await self._following_message()
            if following is None:
                break
            message = following
            self.stuck_since = loop.time()
            first = _call(self._send, message)
        self.stuck_since = None

    async def _following_message(self) -> Message | None:
        # a frame that the client has the beginning of is finished first
        if not (self._rest or self._is_ended or self._can_go_on()):
            await self._begin_anew()
        # the client may have left while its initial event was loaded
        return None if self.is_ended else self._next_message()

    async def _send_within_timeout(self, sending: Awaitable[None]) -> bool:
        try:
            async with asyncio.timeout(self._settings.send_timeout):
                await sending
        except TimeoutError:
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
            await self._finish(_call(self._send, message), message)

    async def _begin_anew(self) -> None:
        """Have the reset and the initial event that follows it sent next, or the stream's end."""
        reason = self._feed.log.why_cut_off(self._incarnation)
        frames = None if self._is_closing else await self._reset_frames(reason)
        if frames is not None and not self._is_closing:
            self._rest = tuple(pieces_of(frames))
            return
        # a revoked client must not be shown the current state, and one that reconnects will be
        # reset then
        self._move_to_top()
        if not self._is_closing:
            retry = self._settings.retry()
            self._extra = _wire.StreamClose("ended", reconnect=True, retry=retry).encode()
            self._is_closing = True

    async def _reset_frames(self, reason: ResetReason) -> Sequence[bytes] | None:
        """Encode the reset and the initial event that follows it, or give up."""
        if self._settings.slow_policy == "close" and reason == "slow":
            return None
        for _ in range(_SNAPSHOT_ATTEMPTS):
            self._move_to_top()
            try:
                initial = await self._load_initial()
            except Exception:
                logger.exception("%r: the initial event after a reset failed", self)
                return None
            if self._can_go_on():
                cursor, events = self._cursor_before(initial)
                return (_wire.StreamReset(reason).encode(cursor), *events)
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


def _body(chunk: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


async def _call(send: Send, message: Message) -> None:
    """Send. Where `send` itself raises, as that of granian does, the error comes when awaited."""
    await send(message)


async def _await(sending: Awaitable[None]) -> None:
    await sending


def _within(
    context: contextvars.Context | None, call: Coroutine[Any, Any, None]
) -> Coroutine[Any, Any, None]:
    return call if context is None else _steps_within(context, call)


async def _steps_within(context: contextvars.Context, call: Coroutine[Any, Any, None]) -> None:
    """Await a coroutine every step of which sees a context of its own."""
    try:
        waiting_for = context.run(call.send, None)
    except StopIteration:
        return
    await _rest_of(call, waiting_for, context)


@types.coroutine
def _rest_of(
    call: Coroutine[Any, Any, None], waiting_for: Any, context: contextvars.Context | None = None
) -> Generator[Any, Any, None]:
    """Await a coroutine whose first step was already taken by hand."""
    while True:
        try:
            value = yield waiting_for
        except BaseException as error:  # cancellation too belongs to the coroutine
            step: Callable[[Any], Any] = call.throw
            argument: Any = error
        else:
            step, argument = call.send, value
        try:
            waiting_for = step(argument) if context is None else context.run(step, argument)
        except StopIteration:
            return
