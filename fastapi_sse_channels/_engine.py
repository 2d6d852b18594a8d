"""What a manager is made of, for the modules that work with it; users see the manager alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_text
from ._core.position import MAX_ID_LENGTH
from ._errors import BrokerError
from ._live.hub import Hub
from ._live.threads import result_from

if TYPE_CHECKING:
    from ._core.encoder import Encoder
    from ._core.keys import KeySpace
    from ._core.log import Retention
    from ._core.union import EventUnion
    from ._declaration import Declaration
    from ._live.stream import StreamSettings
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
        max_sessions: Streams open at once in this process.
    """

    declaration: Declaration[T]
    broker: Broker
    stream_settings: StreamSettings
    slow_after: float
    max_sessions: int | None
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
        """
        hub = self._running
        if hub is not None and hub.loop is asyncio.get_running_loop():
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
                self._starts = 0  # nobody is left to undo those starts
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
        body = self.encoder.body(event)
        hub = self._running
        if hub is None or not hub.is_in_use:
            hub = self.hub
        if hub.loop is asyncio.get_running_loop():
            return await self._publish(hub, key, body, idempotency_key)
        # another thread's loop has the streams, as with TestClient, or this thread has its own
        return await result_from(hub.loop, self._publish(hub, key, body, idempotency_key))

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
        if feed is not None and feed.is_ready:
            await feed.make_room(len(body) + MAX_ID_LENGTH)
        position = await self.broker.publish(
            key, body, self.retention, idempotency_key=idempotency_key
        )
        return position.event_id
