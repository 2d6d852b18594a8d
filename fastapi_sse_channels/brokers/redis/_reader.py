"""The one connection on which a process receives events.

redis-py's own pub/sub object reconnects silently, never notices a server that hangs, and can spin
for ever on a socket that timed out (measured with 8.1). So this reader works on plain connections:
it never reuses one, and reports each new one to its listener.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._explain import UNAVAILABLE
from ._tasks import end

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

logger = logging.getLogger("fastapi_sse_channels")

# A slow link needs seconds for a handshake, a healed one answers the next attempt at once: so
# attempts begin at short intervals and run side by side.
_ATTEMPT_INTERVAL = 0.25
_ATTEMPT_TIMEOUT = 5.0
_MAX_ATTEMPTS = 8

_REFUSALS = (AuthenticationError, NoPermissionError)
# what may pass while a server starts or fails over
_TRANSIENT: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    RuntimeError,
    RedisConnectionError,
    RedisTimeoutError,
)

# Messages are handled in batches; in between, the event loop serves the streams.
_MESSAGES_PER_TURN = 64


class Verbs(NamedTuple):
    """The commands of one kind of pub/sub; confirmations are called the same.

    Attributes:
        subscribe: Begins.
        unsubscribe: Ends.
        at_once: Channels that one command takes.
    """

    subscribe: str
    unsubscribe: str
    at_once: int


PLAIN = Verbs("SUBSCRIBE", "UNSUBSCRIBE", 1000)
# all channels of one command have to share a slot
SHARDED = Verbs("SSUBSCRIBE", "SUNSUBSCRIBE", 1)


class Listening(NamedTuple):
    """A connection on which the server confirmed everything that was to be listened to."""

    connection: AbstractConnection
    channels: tuple[str, ...]


class Listener(Protocol):
    """What a reader reports to."""

    def on_message(self, channel: bytes, payload: bytes) -> Awaitable[None] | None:
        """A message came; returns what the reader should await before the next one."""
        ...

    def on_connected(self) -> None:
        """A new connection listens; anything before may have been missed."""
        ...

    def on_disconnected(self, error: BaseException) -> None:
        """The connection was lost."""
        ...


class Reader:
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
        """Prepare a reader.

        Args:
            make_connection: Returns a connection that is not connected yet.
            listener: What the reader reports to.
            patterns: Subscribed for as long as the reader runs.
            channels: Likewise; more can be added with `subscribe`.
            verbs: Plain or sharded pub/sub.
        """
        self._make_connection = make_connection
        self._listener = listener
        self._patterns = tuple(patterns)
        self._channels = dict.fromkeys(channels)
        self._verbs = verbs
        # how often each channel was unsubscribed without an answer yet
        self._let_go: Counter[bytes] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        # the server answers in order: the first answer is the first subscriber's
        self._confirmations: dict[bytes, deque[asyncio.Future[None]]] = {}
        self._connection: AbstractConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._last_error: BaseException | None = None

    async def start(self, seconds: float) -> None:
        """Connect, and keep connected until `stop`.

        Args:
            seconds: How long to wait for the first connection.

        Raises:
            RedisError: The server refused, or could not be reached within `seconds`.
            TimeoutError: Likewise.
        """
        first = await self._connect_within(seconds)
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
        if self._connection is not None:
            await _drop(self._connection)
            self._connection = None
        self._forget_confirmations()

    def restart(self) -> None:
        """Give up on the connection and make a new one."""
        if self._reading is not None:
            self._reading.cancel()

    async def subscribe(self, channel: str) -> None:
        """Listen to one more channel, and wait until the server has confirmed it.

        Raises:
            RedisError: The connection is down; the next one listens to the channel too.
        """
        self._channels[channel] = None
        await self._confirmed(self._verbs.subscribe, channel)

    def unsubscribe(self, channel: str) -> None:
        """Stop listening to a channel."""
        self._channels.pop(channel, None)
        if self._connection is not None:
            self._spawn(self._send_unsubscribe(self._connection, channel))

    async def _run(self, first: Listening | None) -> None:
        connection, listened = first or await self._connect(fail_fast=False)
        while True:
            self._connection = connection
            self._make_up_for(listened)
            self._listener.on_connected()
            self._reading = asyncio.create_task(self._read(connection))
            await asyncio.wait([self._reading])
            lost = self._reading
            error = ConnectionError("the probe missed") if lost.cancelled() else lost.exception()
            self._forget_confirmations()
            self._let_go.clear()
            self._listener.on_disconnected(error or ConnectionError("closed"))
            self._connection = None
            await _drop(connection)
            connection, listened = await self._connect(fail_fast=False)

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
            case [b"unsubscribe" | b"sunsubscribe", name, _]:
                if self._let_go[name] > 1:
                    self._let_go[name] -= 1
                elif not self._let_go.pop(name, 0):
                    raise RedisConnectionError("the server no longer carries a channel")
            case [b"subscribe" | b"psubscribe" | b"ssubscribe", name, _]:
                if waiting := self._confirmations.get(name):
                    confirmation = waiting.popleft()
                    if not confirmation.done():
                        confirmation.set_result(None)
                    if not waiting:
                        del self._confirmations[name]
            case Exception():
                raise reply
        return None

    def _make_up_for(self, listened: tuple[str, ...]) -> None:
        """Send what was asked for while the connection was being made."""
        for channel in listened:
            if channel not in self._channels:
                self.unsubscribe(channel)
        for channel in self._channels.keys() - listened:
            self._spawn(self._send_subscribe(channel))

    def _spawn(self, sending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(sending)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_subscribe(self, channel: str) -> None:
        try:
            await self._confirmed(self._verbs.subscribe, channel)
        except (RedisError, OSError):
            logger.debug("subscribing %s failed", channel, exc_info=True)

    async def _send_unsubscribe(self, connection: AbstractConnection, channel: str) -> None:
        # somebody may have subscribed it again since
        if channel in self._channels or not connection.is_connected:
            return
        self._let_go[channel.encode()] += 1
        try:
            await connection.send_command(self._verbs.unsubscribe, channel)
        except UNAVAILABLE:
            logger.debug("unsubscribing %s failed", channel, exc_info=True)

    async def _confirmed(self, command: str, name: str) -> None:
        connection = self._connection
        # a send on a connection that was lost makes redis-py connect it again, and nobody would
        # read that, or close it
        if connection is None or not connection.is_connected:
            msg = "Redis cannot be reached"
            raise RedisError(msg)
        confirmation = asyncio.get_running_loop().create_future()
        self._confirmations.setdefault(name.encode(), deque()).append(confirmation)
        await connection.send_command(command, name)
        await confirmation

    def _forget_confirmations(self) -> None:
        for confirmation in chain.from_iterable(self._confirmations.values()):
            if not confirmation.done():
                confirmation.set_exception(RedisError("the connection was lost"))
                confirmation.exception()  # may have no one waiting
        self._confirmations.clear()

    async def _connect_within(self, seconds: float) -> Listening:
        self._last_error = None
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(fail_fast=True)
        except TimeoutError:
            if self._last_error is None:
                raise
            # refused, or not resolved: that says more than the time limit
            raise self._last_error from None

    async def _connect(self, *, fail_fast: bool) -> Listening:
        """Try until a connection listens; attempts overlap."""
        loop = asyncio.get_running_loop()
        attempts: set[asyncio.Task[Listening]] = set()
        is_refused = False
        try:
            while True:
                if len(attempts) < _MAX_ATTEMPTS:
                    attempts.add(loop.create_task(self._attempt()))
                began = loop.time()
                done, attempts = await asyncio.wait(
                    attempts, timeout=_ATTEMPT_INTERVAL, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        attempts |= done - {task}
                        return task.result()
                    self._last_error = error
                    if fail_fast and _is_final(error):
                        raise error
                    if isinstance(error, _REFUSALS) and not is_refused:
                        is_refused = True
                        logger.error("Redis refuses the subscription, trying on: %s", error)
                # a refused connection fails at once: the interval is the back-off
                await asyncio.sleep(began + _ATTEMPT_INTERVAL - loop.time() if done else 0)
        finally:
            for task in attempts:
                task.cancel()
                task.add_done_callback(_drop_result)

    async def _attempt(self) -> Listening:
        connection = self._make_connection()
        channels = tuple(self._channels)
        try:
            async with asyncio.timeout(_ATTEMPT_TIMEOUT):
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._listen(connection, channels)
        except BaseException:
            await _drop(connection)
            raise
        return Listening(connection, channels)

    async def _listen(self, connection: AbstractConnection, channels: tuple[str, ...]) -> None:
        if self._patterns:
            await connection.send_command("PSUBSCRIBE", *self._patterns)
        subscribe, _, at_once = self._verbs
        for start in range(0, len(channels), at_once):
            await connection.send_command(subscribe, *channels[start : start + at_once])
            await asyncio.sleep(0)
        missing = {name.encode() for name in (*self._patterns, *channels)}
        while missing:
            # a refusal (ACL) is the answer to this read, and raised by it
            reply: Any = await connection.read_response()
            if reply[0] in {b"subscribe", b"psubscribe", b"ssubscribe"}:
                missing.discard(reply[1])
            # messages before the last confirmation are found again in the history


def _drop_result(attempt: asyncio.Task[Listening]) -> None:
    # two attempts may succeed in the same turn
    if not attempt.cancelled() and attempt.exception() is None:
        asyncio.ensure_future(_drop(attempt.result().connection))  # noqa: RUF006  # nothing waits for it


def _is_final(error: BaseException) -> bool:
    # redis-py counts a wrong password among connection errors
    return isinstance(error, AuthenticationError) or not isinstance(error, _TRANSIENT)


def _shortest_way_to_read(connection: AbstractConnection) -> Callable[[], Awaitable[Any]]:
    """Return the connection's parser, or the connection itself where it has none to show.

    What lies between them, time limits and health checks that are off here, costs more than all
    the handling of a message (read in redis-py 8.1, and measured).
    """
    parser = getattr(connection, "_parser", None)
    read: Callable[[], Awaitable[Any]] = getattr(parser, "read_response", connection.read_response)
    return read


async def _drop(connection: AbstractConnection) -> None:
    try:
        await connection.disconnect(nowait=True)
    except UNAVAILABLE:
        logger.debug("closing a Redis connection failed", exc_info=True)
