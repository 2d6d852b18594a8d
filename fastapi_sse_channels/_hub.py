"""What a manager runs on one event loop: feeds, sessions, fan-out, pings and the drain."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ._errors import DrainingError, SessionLimitError
from ._fanout import Fanout
from ._feed import Feed
from ._pinger import Pinger
from ._signals import SignalChain

if TYPE_CHECKING:
    from ._feed import Reader
    from ._log import Retention
    from ._session import Session
    from ._subscription import Subscription
    from .brokers import Broker

# Seconds. A healthy client takes its last bytes at once; others would hold up the shutdown.
_DRAIN_GRACE = 0.5


class Hub:
    """The running part of a manager, bound to one event loop."""

    def __init__(
        self,
        broker: Broker,
        retention: Retention,
        *,
        ping_interval: float | None,
        max_sessions: int | None,
    ) -> None:
        """Bind to the running event loop."""
        self.loop = asyncio.get_running_loop()
        self.sessions: dict[Session[Any], None] = {}
        self.subscriptions: dict[Subscription[Any], None] = {}
        self.is_draining = False
        self.fanout = Fanout(self.loop)
        self._broker = broker
        self._retention = retention
        self._max_sessions = max_sessions
        self._thread = threading.get_ident()
        self._pinger = Pinger(self.loop, ping_interval, self.fanout) if ping_interval else None
        self._feeds: dict[str, Feed] = {}
        self._is_started = False
        self._signals = SignalChain(self._on_signal)
        self._draining: asyncio.Task[None] | None = None
        self._all_gone = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    @property
    def is_in_use(self) -> bool:
        """Whether anything would be lost by leaving this hub for another event loop."""
        return (self._is_started or bool(self._feeds)) and self.loop.is_running()

    def start(self) -> None:
        """Accept streams, and watch for the server's shutdown."""
        self._is_started = True
        self.is_draining = False
        self._draining = None
        self._signals.install()

    def stop(self) -> None:
        """Undo `start`; sessions are expected to be gone."""
        self._is_started = False
        self._signals.uninstall()
        # now, for a later hub may follow the same channels, and a late `release` would end that
        for key in self._feeds:
            self._broker.unsubscribe(key)
        self._feeds.clear()

    def feed(self, key: str) -> Feed | None:
        """Return the feed of a channel that is followed here."""
        return self._feeds.get(key)

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
        self.check_draining()
        feed = self._feeds.get(key)
        # a log that is read for this very reader is as new as it can be
        may_be_old = feed is not None
        if feed is None:
            feed = self._feeds[key] = Feed(key, self.fanout.mark)
            # a feed keeps this task, which would keep the context of the request that came first
            feed.ready = Context().run(self.loop.create_task, self._follow(feed))
        feed.users += 1
        try:
            assert feed.ready is not None
            # shielded: it also belongs to everyone else who waits for this channel
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

    def check_draining(self) -> None:
        """Refuse a session that would be ended at once.

        Raises:
            DrainingError: The streams of this process are being ended.
        """
        if self.is_draining:
            msg = "the streams of this process are being ended; connect to another one"
            raise DrainingError(msg)

    def check_limit(self) -> None:
        """Refuse a session beyond `max_sessions`.

        Raises:
            SessionLimitError: `max_sessions` are open.
        """
        if self._max_sessions is not None and len(self.sessions) >= self._max_sessions:
            msg = f"max_sessions={self._max_sessions} streams are open in this process"
            raise SessionLimitError(msg)

    def add(self, session: Session[Any], feed: Feed) -> None:
        """Count a session and keep it from looking idle."""
        self._signals.install()
        self._watch_server(session)
        self.sessions[session] = None
        self._all_gone.clear()
        feed.session_count += 1
        self._broker.report_sessions(feed.key, feed.session_count)
        if self._pinger is not None:
            self._pinger.add(session)

    def discard(self, session: Session[Any], feed: Feed) -> None:
        """Forget a session."""
        del self.sessions[session]
        feed.session_count -= 1
        self._broker.report_sessions(feed.key, feed.session_count)
        feed.discard(session)
        if self._pinger is not None:
            self._pinger.discard(session)
        if not self.sessions:
            self._all_gone.set()
            if self._watching is not None:
                self._watching.cancel()
                self._watching = None

    def wake(self, reader: Reader) -> None:
        """Flush one reader soon; callable from any thread."""
        if threading.get_ident() == self._thread:
            self.fanout.mark_reader(reader)
        else:
            self.loop.call_soon_threadsafe(self.fanout.mark_reader, reader)

    async def drain(self) -> None:
        """End every stream of this process and wait until they are gone."""
        await asyncio.shield(self._begin_drain())

    def _on_signal(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._begin_drain)

    def _watch_server(self, session: Session[Any]) -> None:
        if self._watching is None and (shutdown := session.server_shutdown()) is not None:
            self._watching = self.loop.create_task(self._drain_after(shutdown))

    async def _drain_after(self, shutdown: Callable[[], Awaitable[None]]) -> None:
        await shutdown()
        self._begin_drain()

    def _begin_drain(self) -> asyncio.Task[None]:
        self.is_draining = True
        if self._draining is None:
            self._draining = self.loop.create_task(self._drain())
        return self._draining

    async def _drain(self) -> None:
        for subscription in tuple(self.subscriptions):
            subscription.end()
        for session in tuple(self.sessions):
            session.close("shutdown", reconnect=True)
        if self.sessions:
            try:
                async with asyncio.timeout(_DRAIN_GRACE):
                    await self._all_gone.wait()
            except TimeoutError:
                for session in tuple(self.sessions):
                    session.abort()
                await self._all_gone.wait()

    async def _follow(self, feed: Feed) -> None:
        feed.log = await self._broker.subscribe(feed.key, self._retention, feed.notify)
        feed.shown()
