"""The stream of a channel inside Python."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from ._errors import ConfigurationError, StreamResetError
from ._position import Position, initial_received
from ._wire import data_of

if TYPE_CHECKING:
    from types import TracebackType

    from ._events import EventSchema
    from ._feed import Feed
    from ._hub import Hub
    from ._log import ResetReason

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
        schema: EventSchema[T],
        *,
        last_event_id: str | None,
        slow_after: float,
    ) -> None:
        """Create a subscription that begins when it is entered."""
        self._hub = hub
        self._key = key
        self._schema = schema
        self._slow_after = slow_after
        self._last_event_id = last_event_id
        self._feed: Feed | None = None
        self._changed = asyncio.Event()
        self._is_ended = False
        self._behind_since: float | None = None
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
        while True:
            self._check_continuity(feed)
            log = feed.log
            if self._position.offset < log.top.offset:
                entry = log.entry_after(self._position.offset)
                self._position = Position(self._position.epoch, entry.offset, entry.nonce)
                self._behind_since = self._now() if entry.offset < log.top.offset else None
                feed.progressed()
                return self._schema.decode(data_of(entry.frame))
            if self._is_ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

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
        return self._position.offset

    def is_slow(self, now: float) -> bool:
        """See `Reader.is_slow`."""
        return self._behind_since is not None and now - self._behind_since > self._slow_after

    def flush(self, now: float) -> None:
        """See `Reader.flush`; only wakes the iterator, which takes the entries itself."""
        if self._behind_since is None and self.offset < self._entered().log.top.offset:
            self._behind_since = now
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
        if log.incarnation != self._incarnation or not log.reaches(self._position.offset):
            reason = reason or log.why_cut_off(self._incarnation)
        if reason is None:
            return
        self._reset = None
        self._behind_since = None
        self._position = log.top
        self._incarnation = log.incarnation
        feed.place(self)
        raise StreamResetError(reason, self.last_event_id)

    def _now(self) -> float:
        return self._hub.loop.time()
