"""A subscription to one server, with the probe that watches it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

from ._probe import Probe
from ._subscriber import Subscriber

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from ._verbs import Verbs


class LinkListener(Protocol):
    """What a link reports to."""

    def on_message(self, channel: bytes, payload: bytes) -> Awaitable[None] | None:
        """Take an event; returns what the link should await before the next one."""
        ...

    def on_link_up(self, link: Link, *, is_first: bool) -> None:
        """Hear that a connection listens; unless it is the first, events may have been missed."""
        ...

    def on_link_down(self, link: Link, error: BaseException) -> None:
        """Hear that the connection was lost."""
        ...


class Link:
    """Keeps listening to one server.

    Attributes:
        shard: Names the server in a sharded cluster, otherwise empty.
        is_up: Set while a connection listens.
        probe_channel: Where the probe is heard.
    """

    MISSES_BEFORE_RECONNECT = 2

    def __init__(
        self,
        shard: str,
        make_connection: Callable[[], AbstractConnection],
        publish: Callable[[str, str], Awaitable[object]],
        listener: LinkListener,
        *,
        pattern: str | None,
        verbs: Verbs,
        probe_channel: str,
        probe_interval: float,
        on_silence: Callable[[Link], Awaitable[None]],
    ) -> None:
        """Prepare a link.

        Args:
            shard: See the attribute.
            make_connection: Returns a connection that is not connected yet.
            publish: Sends a text to a channel, for the probe.
            listener: What the link reports to.
            pattern: Subscribed all the time; the link then hears every channel. `None` for a link
                that hears those that it is asked to.
            verbs: Plain or sharded pub/sub.
            probe_channel: A channel of this server that nobody else uses.
            probe_interval: Seconds.
            on_silence: Awaited while the server does not answer.
        """
        self.shard = shard
        self.is_up = asyncio.Event()
        self._was_up = False
        self._listener = listener
        self._on_silence = on_silence
        self.probe_channel = probe_channel
        self._probe_channel = probe_channel.encode()
        self._hears_all = pattern is not None
        self._subscriber = Subscriber(
            make_connection,
            self,
            patterns=[] if pattern is None else [pattern],
            channels=[probe_channel],
            verbs=verbs,
        )
        self._probe = Probe(
            lambda token: publish(probe_channel, token), self._on_miss, interval=probe_interval
        )

    @property
    def is_healthy(self) -> bool:
        """Whether the server answers, and messages come through."""
        return self.is_up.is_set() and self._probe.misses < self.MISSES_BEFORE_RECONNECT

    @property
    def has_been_silent(self) -> bool:
        """Whether the server just turned silent, to say so once."""
        return self._probe.misses == self.MISSES_BEFORE_RECONNECT

    async def start(self, seconds: float) -> None:
        """Connect within `seconds`."""
        await self._subscriber.start(seconds)
        self._probe.start()

    def start_in_background(self) -> None:
        """Connect as soon as that is possible."""
        self._subscriber.start_in_background()
        self._probe.start()

    async def stop(self) -> None:
        """Disconnect; what waits for the connection goes on, and finds that there is none."""
        await self._probe.stop()
        await self._subscriber.stop()
        self.is_up.set()

    def restart(self) -> None:
        """Give up on the connection and make a new one."""
        self._subscriber.restart()

    async def subscribe(self, channel: str) -> None:
        """Listen to a channel, and wait until the server has confirmed it.

        Raises:
            RedisError: There is no connection, or it was lost; the next one listens to the channel.
        """
        if not self._hears_all:
            await self._subscriber.subscribe(channel)

    def unsubscribe(self, channel: str) -> None:
        """Stop listening to a channel."""
        if not self._hears_all:
            self._subscriber.unsubscribe(channel)

    def on_message(self, channel: bytes, payload: bytes) -> Awaitable[None] | None:
        """See `Listener.on_message`."""
        if channel == self._probe_channel:
            self._probe.heard(payload)
            return None
        return self._listener.on_message(channel, payload)

    def on_connected(self) -> None:
        """See `Listener.on_connected`."""
        self.is_up.set()
        self._listener.on_link_up(self, is_first=not self._was_up)
        self._was_up = True

    def on_disconnected(self, error: BaseException) -> None:
        """See `Listener.on_disconnected`."""
        self.is_up.clear()
        self._listener.on_link_down(self, error)

    async def _on_miss(self, misses: int) -> None:
        if misses % self.MISSES_BEFORE_RECONNECT == 0:
            self._subscriber.restart()
            await self._on_silence(self)
