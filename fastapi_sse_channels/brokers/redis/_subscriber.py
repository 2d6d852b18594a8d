"""Listens to one server, on one connection after the other.

redis-py's own pub/sub object reconnects silently, never notices a server that hangs, and can spin
for ever on a socket that timed out (measured with 8.1). So this subscriber works on plain
connections: it never reuses one, and reports each new one to its listener.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from ._dialer import Dialer, Listening, drop
from ._subscriptions import Subscriptions
from ._tasks import end
from ._verbs import PLAIN, Verbs

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

# Messages are handled in batches; in between, the event loop serves the streams.
_MESSAGES_PER_TURN = 64


class Listener(Protocol):
    """What a subscriber reports to."""

    def on_message(self, channel: bytes, payload: bytes) -> Awaitable[None] | None:
        """Take a message; returns what the subscriber should await before the next one."""
        ...

    def on_connected(self) -> None:
        """Hear that a new connection listens; anything before may have been missed."""
        ...

    def on_disconnected(self, error: BaseException) -> None:
        """Hear that the connection was lost."""
        ...


class Subscriber:
    """Listens to Redis for as long as it runs, over as many connections as that takes."""

    def __init__(
        self,
        make_connection: Callable[[], AbstractConnection],
        listener: Listener,
        *,
        patterns: Iterable[str] = (),
        channels: Iterable[str] = (),
        verbs: Verbs = PLAIN,
    ) -> None:
        """Prepare a subscriber.

        Args:
            make_connection: Returns a connection that is not connected yet.
            listener: What the subscriber reports to.
            patterns: Subscribed for as long as the subscriber runs.
            channels: Subscribed likewise; more can be added with `subscribe`.
            verbs: Plain or sharded pub/sub.
        """
        self._listener = listener
        self._subscriptions = Subscriptions(channels, verbs)
        self._dialer = Dialer(make_connection, patterns, self._subscriptions, verbs)
        self._reading: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None

    async def start(self, seconds: float) -> None:
        """Connect, and keep connected until `stop`.

        Args:
            seconds: How long to wait for the first connection.

        Raises:
            RedisError: The server refused, or could not be reached within `seconds`.
            TimeoutError: The server did not answer within `seconds`.
        """
        first = await self._dialer.connect_within(seconds)
        self._running = asyncio.create_task(self._run(first))
        # the first connection is announced before start() returns
        await asyncio.sleep(0)

    def start_in_background(self) -> None:
        """Connect as soon as that is possible, and keep connected until `stop`."""
        self._running = asyncio.create_task(self._run(None))

    async def stop(self) -> None:
        """Disconnect."""
        await end(self._running)
        await end(self._reading)
        self._running = self._reading = None
        if self._subscriptions.connection is not None:
            await drop(self._subscriptions.connection)
        self._subscriptions.detach()

    def restart(self) -> None:
        """Give up on the connection and make a new one."""
        if self._reading is not None:
            self._reading.cancel()

    async def subscribe(self, channel: str) -> None:
        """Listen to one more channel, and wait until the server has confirmed it.

        Raises:
            RedisError: The connection is down; the next one listens to the channel too.
        """
        await self._subscriptions.add(channel)

    def unsubscribe(self, channel: str) -> None:
        """Stop listening to a channel."""
        self._subscriptions.remove(channel)

    async def _run(self, first: Listening | None) -> None:
        connection, listened = first or await self._dialer.connect()
        while True:
            self._subscriptions.attach(connection, listened)
            self._listener.on_connected()
            self._reading = asyncio.create_task(self._read(connection))
            await asyncio.wait([self._reading])
            lost = self._reading
            error = ConnectionError("the probe missed") if lost.cancelled() else lost.exception()
            self._subscriptions.detach()
            self._listener.on_disconnected(error or ConnectionError("closed"))
            await drop(connection)
            connection, listened = await self._dialer.connect()

    async def _read(self, connection: AbstractConnection) -> None:
        until_turn = _MESSAGES_PER_TURN
        read_response = _shortest_way_to_read(connection)
        while True:
            reply = await read_response()
            if pause := self._take(reply):
                await pause
            until_turn -= 1
            if not until_turn:
                # buffered replies never suspend, and would keep the event loop to themselves
                await asyncio.sleep(0)
                until_turn = _MESSAGES_PER_TURN

    def _take(self, reply: Any) -> Awaitable[None] | None:
        match reply:
            case (
                [b"pmessage", _, channel, payload]
                | [b"message", channel, payload]
                | [b"smessage", channel, payload]
            ):
                return self._listener.on_message(channel, payload)
            case [verb, name, _]:
                self._subscriptions.answered(verb, name)
            case Exception():
                raise reply
        return None


def _shortest_way_to_read(connection: AbstractConnection) -> Callable[[], Awaitable[Any]]:
    """Return the connection's parser, or the connection itself where it has none to show.

    Between them lie time limits and health checks, which are off here and cost more than all the
    handling of a message (read in redis-py 8.1, and measured).
    """
    parser = getattr(connection, "_parser", None)
    read: Callable[[], Awaitable[Any]] = getattr(parser, "read_response", connection.read_response)
    return read
