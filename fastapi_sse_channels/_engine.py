"""What a manager is made of, for the modules that work with it; users see the manager alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_text
from ._core.position import MAX_ID_LENGTH
from ._errors import BrokerError, ConfigurationError
from ._live.hub import Hub
from ._live.threads import current_loop, result_from

if TYPE_CHECKING:
    from ._core.encoder import Encoder
    from ._core.keys import KeySpace
    from ._core.log import Retention
    from ._core.union import EventUnion
    from ._declaration import Declaration
    from ._live.playback import StreamSettings
    from .brokers import Broker

T = TypeVar("T")


@dataclass(eq=False)
class Engine(Generic[T]):
    """The parts of a manager, and the hub that runs them on the current event loop.

    Attributes:
        declaration: What is streamed, and what is kept of it.
        broker: Stores and announces events.
        stream_settings: Settings of all streams.
        slow_after: Seconds for which one publish waits for readers, at most.
        max_sessions: Streams of this manager open at once in this process.
        record: Where a test has one, takes every event, by its key, instead of the broker.
    """

    declaration: Declaration[T]
    broker: Broker
    stream_settings: StreamSettings
    slow_after: float
    max_sessions: int | None
    record: Callable[[str, T | Mapping[str, object], str | None], str] | None = field(
        default=None, init=False
    )
    _running: Hub | None = field(default=None, init=False)
    _starts: int = field(default=0, init=False)

    @property
    def union(self) -> EventUnion[T]:
        """See `Declaration`."""
        return self.declaration.union

    @property
    def encoder(self) -> Encoder:
        """See `Declaration`."""
        return self.declaration.encoder

    @property
    def keys(self) -> KeySpace:
        """See `Declaration`."""
        return self.declaration.keys

    @property
    def retention(self) -> Retention:
        """See `Declaration`."""
        return self.declaration.retention

    @property
    def running_hub(self) -> Hub | None:
        """The newest hub, on whatever event loop."""
        return self._running

    @property
    def hub(self) -> Hub:
        """What runs on the current event loop.

        Raises:
            BrokerError: Streams are open on another running event loop.
            ConfigurationError: An event refers to what is not defined, or no asyncio event loop
                runs here.
        """
        hub = self._running
        loop = current_loop()
        if hub is not None and hub.loop is loop:
            return hub
        if hub is not None and hub.is_in_use:
            msg = (
                f"{self.keys.name} has open streams on another event loop; use one loop for "
                "streams, in tests `with TestClient(app) as client:`"
            )
            raise BrokerError(msg)
        if hub is not None:
            hub.stop()
            if hub.loop.is_closed():
                self._starts = 0  # nobody is left to undo them
        # the first chance to know that nothing is defined any more
        self.union.check_defined()
        self._running = Hub(
            self.broker,
            self.retention,
            ping_interval=self.stream_settings.ping_interval,
            slow_after=self.slow_after,
            max_sessions=self.max_sessions,
        )
        return self._running

    async def publish(
        self, key: str, event: T | Mapping[str, object], idempotency_key: str | None
    ) -> str:
        """Publish to a channel by its key; see `ChannelManager.publish`."""
        if idempotency_key is not None:
            check_text(idempotency_key=idempotency_key)
        if self.record is not None:
            return self.record(key, event, idempotency_key)
        body = self.encoder.body(event)
        hub = self._running
        if hub is None or not hub.is_in_use:
            hub = self.hub
        if hub.loop is current_loop():
            return await self._publish(hub, key, body, idempotency_key)
        # another thread's loop has the streams, as with TestClient, or this thread has its own
        return await result_from(hub.loop, self._publish(hub, key, body, idempotency_key))

    def move_to(self, broker: Broker) -> None:
        """Use another broker from now on.

        Raises:
            ConfigurationError: The manager is running.
        """
        hub = self._running
        if hub is not None:
            if hub.is_in_use or (self._starts and not hub.loop.is_closed()):
                msg = f"{self.keys.name} is running; change its broker while it is stopped"
                raise ConfigurationError(msg)
            hub.stop()
            self._running = None
            self._starts = 0
        self.broker = broker

    async def start(self) -> None:
        """Start the broker and accept streams; starts are counted.

        Raises:
            BrokerError: The broker's store cannot be used.
        """
        hub = self.hub
        await self.broker.start()
        self._starts += 1
        hub.start()
        await self.broker.compare(self.keys.name, self.declaration.summary)

    async def stop(self) -> None:
        """Undo one `start`; the last one ends every stream and releases the broker."""
        self._starts -= 1
        if not self._starts and self._running is not None:
            await self._running.drain.run()
            self._running.stop()
            self._running = None
        await self.broker.stop()

    async def _publish(self, hub: Hub, key: str, body: bytes, idempotency_key: str | None) -> str:
        feed = hub.feed(key)
        if feed is None or not feed.is_ready:
            return await self._store(key, body, idempotency_key)
        nbytes = len(body) + MAX_ID_LENGTH
        await feed.make_room(nbytes)
        try:
            return await self._store(key, body, idempotency_key)
        finally:
            feed.end_publish(nbytes)

    async def _store(self, key: str, body: bytes, idempotency_key: str | None) -> str:
        position = await self.broker.publish(
            key, body, self.retention, idempotency_key=idempotency_key
        )
        return position.event_id
