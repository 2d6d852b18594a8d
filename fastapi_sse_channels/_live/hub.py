"""What a manager runs on one event loop: feeds, streams, fan-out, pings and the drain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING

from .._errors import SessionLimitError
from .drain import Drain
from .fanout import Fanout
from .feed import Feed
from .pinger import Pinger
from .signals import SignalChain

if TYPE_CHECKING:
    from .._core.log import Retention
    from ..brokers import Broker
    from .reader import Reader
    from .stream import Stream
    from .subscriber import Subscriber


class Hub:
    """The running part of a manager, bound to one event loop; as a `Node` is that of a broker.

    Attributes:
        loop: The event loop.
        streams: Every admitted stream.
        subscribers: Every reader inside Python.
        fanout: Sends to them.
        drain: Ends them.
    """

    def __init__(
        self,
        broker: Broker,
        retention: Retention,
        *,
        ping_interval: float | None,
        slow_after: float,
        max_sessions: int | None,
    ) -> None:
        """Bind to the running event loop; see `ChannelManager` for the arguments."""
        self.loop = asyncio.get_running_loop()
        self.streams: dict[Stream, None] = {}
        self.fanout = Fanout(self.loop)
        self.subscribers: dict[Subscriber, None] = {}
        self.drain = Drain(self.loop, self.streams.keys(), self.subscribers.keys())
        self._broker = broker
        self._retention = retention
        self._max_sessions = max_sessions
        self._slow_after = slow_after
        self._thread = threading.get_ident()
        self._pinger = Pinger(self.loop, ping_interval, self.fanout)
        self._feeds: dict[str, Feed] = {}
        self._is_started = False
        self._signals = SignalChain(self.drain.begin_from_signal)

    @property
    def is_in_use(self) -> bool:
        """Whether anything would be lost by leaving this hub for another event loop."""
        return (self._is_started or bool(self._feeds)) and self.loop.is_running()

    def start(self) -> None:
        """Accept streams, and watch for the server's shutdown."""
        self._is_started = True
        self.drain.forget()
        self._signals.install()

    def stop(self) -> None:
        """Undo `start`; streams are expected to be gone."""
        self._is_started = False
        self._signals.uninstall()
        # Unsubscribe now: a late `release` would cut off the next hub.
        for key in self._feeds:
            self._broker.unsubscribe(key)
        self._feeds.clear()

    def feed(self, key: str) -> Feed | None:
        """Return the feed of a channel that is followed here."""
        return self._feeds.get(key)

    async def admit(
        self, key: str, last_event_id: str | None, make: Callable[[Feed], Stream]
    ) -> Stream:
        """Admit a stream: follow its channel, count it and keep it from looking idle.

        Args:
            key: The channel.
            last_event_id: See `follow`.
            make: Makes the stream, once the channel is followed.

        Returns:
            The stream; the caller must `dismiss` it.

        Raises:
            DrainingError: The streams of this process are being ended.
            SessionLimitError: `max_sessions` are open.
            BrokerError: The broker cannot follow the channel, or ask the store.
        """
        self._check_limit()
        feed = await self.follow(key, last_event_id)
        try:
            # the limit is checked again, for others may have been admitted during the wait
            self._check_limit()
            stream = make(feed)
        except BaseException:
            self.release(feed)
            raise
        self._signals.install()
        self.streams[stream] = None
        self.drain.watch_server_of(stream)
        self._count(feed, 1)
        feed.place(stream)
        self._pinger.add(stream)
        return stream

    def dismiss(self, stream: Stream) -> None:
        """Undo `admit`."""
        feed = stream.feed
        del self.streams[stream]
        self._count(feed, -1)
        feed.discard(stream)
        self._pinger.discard(stream)
        self.drain.stream_left()
        self.release(feed)

    async def subscribe(
        self, key: str, last_event_id: str | None, make: Callable[[Feed], Subscriber]
    ) -> Subscriber:
        """Follow a channel for a reader inside Python, until `unsubscribe`.

        See `admit` for the arguments and errors; these readers are not counted.
        """
        feed = await self.follow(key, last_event_id)
        subscriber = make(feed)
        feed.place(subscriber)
        self.subscribers[subscriber] = None
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Undo `subscribe`."""
        subscriber.feed.discard(subscriber)
        self.subscribers.pop(subscriber, None)
        self.release(subscriber.feed)

    async def follow(self, key: str, last_event_id: str | None = None) -> Feed:
        """Follow a channel until `release`; the log of the returned feed is complete.

        Args:
            key: The channel.
            last_event_id: Where a reader wants to go on. If the log does not know the place, the
                store is asked: the reader may come from a process that has heard of more.

        Raises:
            DrainingError: The streams of this process are being ended.
            BrokerError: The broker cannot follow the channel, or ask the store.
        """
        self.drain.check()
        feed = self._feeds.get(key)
        # a log that is read for this very reader is as new as it can be
        may_be_old = feed is not None
        if feed is None:
            feed = self._feeds[key] = Feed(key, self.fanout.mark, patience=self._slow_after)
            # the feed keeps this task, and the task would keep the first request's context
            feed.ready = Context().run(self.loop.create_task, self._follow(feed))
        feed.users += 1
        try:
            assert feed.ready is not None
            # the task is shielded, for everyone else who waits for this channel needs it too
            await asyncio.shield(feed.ready)
            if may_be_old and feed.may_be_behind(last_event_id):
                await self._broker.refresh(key)
        except BaseException:
            self.release(feed)
            raise
        return feed

    def release(self, feed: Feed) -> None:
        """Undo one `follow`; the last one stops following the channel."""
        feed.users -= 1
        if feed.users:
            return
        assert feed.ready is not None
        feed.ready.cancel()
        if self._feeds.get(feed.key) is feed:
            del self._feeds[feed.key]
            self._broker.unsubscribe(feed.key)

    def wake(self, reader: Reader) -> None:
        """Flush one reader soon; callable from any thread."""
        if threading.get_ident() == self._thread:
            self.fanout.mark_reader(reader)
        else:
            self.loop.call_soon_threadsafe(self.fanout.mark_reader, reader)

    def _check_limit(self) -> None:
        if self._max_sessions is not None and len(self.streams) >= self._max_sessions:
            limit = f"max_sessions={self._max_sessions}"
            msg = f"{limit} streams of this manager are open in this process"
            raise SessionLimitError(msg)

    def _count(self, feed: Feed, change: int) -> None:
        feed.session_count += change
        self._broker.report_sessions(feed.key, feed.session_count)

    async def _follow(self, feed: Feed) -> None:
        feed.log = await self._broker.subscribe(feed.key, self._retention, feed.notify)
        feed.shown()
