"""The stream of a channel inside Python."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from .._core.encoder import decode
from .._core.position import Position, initial_received
from .._core.wire import data_of
from .._errors import ConfigurationError, StreamResetError

if TYPE_CHECKING:
    from types import TracebackType

    from .._core.log import Entry
    from .._core.union import EventUnion
    from .._core.wire import ResetReason
    from .feed import Feed
    from .hub import Hub

T = TypeVar("T")


class Subscription(Generic[T]):
    """Events of one channel, replay first, then live, without a hole between them.

    Iteration ends when the process drains its streams. It raises `StreamResetError` once where
    events were missed, and can then be continued.
    """

    def __init__(
        self,
        hub: Hub,
        key: str,
        union: EventUnion[T],
        *,
        last_event_id: str | None,
    ) -> None:
        """Create a subscription that begins when it is entered."""
        self._hub = hub
        self._key = key
        self._union = union
        self._last_event_id = last_event_id
        self._feed: Feed | None = None
        self._changed = asyncio.Event()
        self._is_ended = False
        self._is_guest = True
        self._stuck_since: float | None = None
        self._reset: ResetReason | None = None

    async def __aenter__(self) -> Subscription[T]:
        """Follow the channel; what is published from here on is not missed.

        Raises:
            DrainingError: The streams of this process are being ended.
            BrokerError: The broker cannot follow the channel, or ask its store for a position that
                this process does not know.
        """
        self._feed = feed = await self._hub.follow(self._key, self._last_event_id)
        start = feed.start(self._last_event_id and initial_received(self._last_event_id))
        self._position = start.position
        self._incarnation = feed.log.incarnation
        self._reset = start.reset
        # taken out now: at its old position, a reader that is slow to ask would hold up publishers
        self._replay = deque(feed.log.entries_after(start.position.offset))
        self._offset = feed.log.top.offset
        # not asked for anything yet counts as being stuck: a program may never ask
        self._stuck_since = self._now()
        feed.place(self)
        self._hub.subscriptions[self] = None
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop following."""
        feed = self._entered()
        feed.discard(self)
        self._hub.subscriptions.pop(self, None)
        self._hub.release(feed)

    def __aiter__(self) -> Subscription[T]:
        """Iterate over the events."""
        return self

    async def __anext__(self) -> T:
        """Return the next event.

        Raises:
            StreamResetError: Events were missed; raised once for each hole.
            InvalidEventError: Another version of the program published an event that this
                one's union does not have. The next call goes on after it.
            ConfigurationError: The subscription was not entered.
        """
        feed = self._entered()
        self._is_guest = False
        while True:
            entry = self._next_entry(feed)
            if entry is not None:
                self._position = Position(self._position.epoch, entry.offset, entry.nonce)
                self._stuck_since = None if self._is_up_to_date else self._now()
                feed.progressed()
                return decode(self._union, data_of(entry.frame))
            if self._is_ended:
                raise StopAsyncIteration
            self._stuck_since = None
            self._changed.clear()
            await self._changed.wait()

    def _next_entry(self, feed: Feed) -> Entry | None:
        if self._replay:
            return self._replay.popleft()
        self._check_continuity(feed)
        if self._is_up_to_date:
            return None
        entry = feed.log.entry_after(self._offset)
        self._offset = entry.offset
        return entry

    @property
    def _is_up_to_date(self) -> bool:
        return not self._replay and self._offset == self._entered().log.top.offset

    @property
    def last_event_id(self) -> str:
        """The id from which a later subscription can resume.

        Raises:
            ConfigurationError: The subscription was not entered.
        """
        self._entered()
        return self._position.event_id

    @property
    def offset(self) -> int:
        """See `Reader.offset`."""
        return self._offset

    @property
    def stuck_since(self) -> float | None:
        """See `Reader.stuck_since`."""
        return self._stuck_since

    @property
    def is_guest(self) -> bool:
        """See `Reader.is_guest`."""
        return self._is_guest

    def flush(self, now: float) -> None:
        """See `Reader.flush`; only wakes the iterator, which takes the entries itself."""
        if self._stuck_since is None and not self._is_up_to_date:
            self._stuck_since = now
        self._changed.set()

    def end(self) -> None:
        """End the iteration after what is already published."""
        self._is_ended = True
        self._changed.set()

    def _entered(self) -> Feed:
        if self._feed is None:
            msg = "nothing is followed yet; use `async with channel.subscribe() as events:`"
            raise ConfigurationError(msg)
        return self._feed

    def _check_continuity(self, feed: Feed) -> None:
        log = feed.log
        reason = self._reset
        if log.incarnation != self._incarnation or not log.reaches(self._offset):
            reason = reason or log.why_cut_off(self._incarnation)
        if reason is None:
            return
        self._reset = None
        self._stuck_since = None
        self._position = log.top
        self._offset = log.top.offset
        self._incarnation = log.incarnation
        feed.place(self)
        raise StreamResetError(reason, self.last_event_id)

    def _now(self) -> float:
        return self._hub.loop.time()
