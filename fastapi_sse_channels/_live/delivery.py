"""The delivery of what a stream plays, as fast as its client takes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from .backpressure import earned
from .playback import Playback
from .sender import StalledError, body

if TYPE_CHECKING:
    from starlette.types import Message

    from .feed import Feed
    from .playback import LoadInitial, StreamSettings
    from .sender import Sender

logger = logging.getLogger("fastapi_sse_channels")


class Delivery(Playback):
    """Sends what is played until the client leaves; a `Reader` of its feed.

    Attributes:
        sender: Sends the messages.
        written_at: When it was last sent something, by the event loop's time.
        stuck_since: See `Reader.stuck_since`.
        credit: See `Reader.credit`.
    """

    __slots__ = ("_is_ended", "_task", "credit", "sender", "stuck_since", "written_at")

    def __init__(
        self,
        feed: Feed,
        sender: Sender,
        *,
        last_event_id: str | None,
        load_initial: LoadInitial,
        settings: StreamSettings,
    ) -> None:
        """Fix the cursor; see `Playback`."""
        super().__init__(
            feed, last_event_id=last_event_id, load_initial=load_initial, settings=settings
        )
        self.sender = sender
        self._is_ended = False
        # what waits for the client to leave
        self._task: asyncio.Task[Any] | None = None
        self.written_at = asyncio.get_running_loop().time()
        # an opening stream counts as stuck, so that publishing waits for it a little, not for ever
        self.stuck_since: float | None = self.written_at
        self.credit = 0.0

    @property
    def is_ended(self) -> bool:
        """Whether nothing more is sent."""
        return self._is_ended

    @property
    def is_guest(self) -> bool:
        """See `Reader.is_guest`."""
        return self._task is None

    def move_to_top(self) -> None:
        """Give up what was not taken, and have publishing wait for the new place."""
        super().move_to_top()
        self.feed.place(self)

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
            direct = self.sender.direct
            if direct is not None and direct.write(piece):
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

    def _earn(self, piece: bytes, now: float) -> None:
        """Give credit to a client that reads: its connection has room again."""
        waited = 0.0 if self.stuck_since is None else now - self.stuck_since
        self.credit = earned(self.credit, waited, len(piece), most=self._settings.slow_after)

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
