"""The channels that a subscriber wants, and what the server has confirmed of them."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Coroutine, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ._errors import UNAVAILABLE

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from ._verbs import Verbs

logger = logging.getLogger("fastapi_sse_channels")


class Subscriptions:
    """Keeps one connection after the other subscribed to the wanted channels.

    Attributes:
        wanted: The channels, in the order in which they were asked for.
        connection: The connection that listens; `None` while there is none.
    """

    def __init__(self, channels: Iterable[str], verbs: Verbs) -> None:
        """Want some channels; no connection listens yet."""
        self.wanted = dict.fromkeys(channels)
        self.connection: AbstractConnection | None = None
        self._verbs = verbs
        # counts the unsubscriptions of each channel that were not answered yet
        self._let_go: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        # the server answers in order: the first answer is the first subscriber's
        self._confirmations: dict[bytes, deque[asyncio.Future[None]]] = {}

    def attach(self, connection: AbstractConnection, listened: tuple[str, ...]) -> None:
        """Use a connection that listens, and send what was asked for while it was being made."""
        self.connection = connection
        for channel in listened:
            if channel not in self.wanted:
                self.remove(channel)
        for channel in self.wanted.keys() - listened:
            self._spawn(self._send_subscribe(channel))

    def detach(self) -> None:
        """Leave a connection that was lost, and tell those who wait for an answer on it."""
        for confirmation in chain.from_iterable(self._confirmations.values()):
            if not confirmation.done():
                confirmation.set_exception(RedisError("the connection was lost"))
                confirmation.exception()  # may have no one waiting
        self._confirmations.clear()
        self._let_go.clear()
        self.connection = None

    async def add(self, channel: str) -> None:
        """Subscribe one more channel, and wait until the server has confirmed it.

        Raises:
            RedisError: The connection is down; the next one listens to the channel too.
        """
        self.wanted[channel] = None
        await self._confirmed(channel)

    def remove(self, channel: str) -> None:
        """Unsubscribe a channel."""
        self.wanted.pop(channel, None)
        if self.connection is not None:
            self._spawn(self._send_unsubscribe(self.connection, channel))

    def answered(self, verb: bytes, name: bytes) -> None:
        """Take the server's answer to a subscription or unsubscription.

        Raises:
            RedisError: The server unsubscribed a channel by itself.
        """
        match verb:
            case b"unsubscribe" | b"sunsubscribe":
                if self._let_go[name] > 1:
                    self._let_go[name] -= 1
                elif not self._let_go.pop(name, 0):
                    raise RedisConnectionError("the server no longer carries a channel")
            case b"subscribe" | b"psubscribe" | b"ssubscribe":
                self._confirm(name)

    def _confirm(self, name: bytes) -> None:
        if waiting := self._confirmations.get(name):
            confirmation = waiting.popleft()
            if not confirmation.done():
                confirmation.set_result(None)
            if not waiting:
                del self._confirmations[name]

    def _spawn(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_subscribe(self, channel: str) -> None:
        try:
            await self._confirmed(channel)
        except (RedisError, OSError):
            logger.debug("subscribing %s failed", channel, exc_info=True)

    async def _send_unsubscribe(self, connection: AbstractConnection, channel: str) -> None:
        # somebody may have subscribed it again since
        if channel in self.wanted or not connection.is_connected:
            return
        self._let_go[channel.encode()] += 1
        try:
            await connection.send_command(self._verbs.unsubscribe, channel)
        except UNAVAILABLE:
            logger.debug("unsubscribing %s failed", channel, exc_info=True)

    async def _confirmed(self, channel: str) -> None:
        connection = self.connection
        # a send on a connection that was lost makes redis-py connect it again, and nobody would
        # read that, or close it
        if connection is None or not connection.is_connected:
            msg = "Redis cannot be reached"
            raise RedisError(msg)
        confirmation = asyncio.get_running_loop().create_future()
        self._confirmations.setdefault(channel.encode(), deque()).append(confirmation)
        await connection.send_command(self._verbs.subscribe, channel)
        await confirmation
