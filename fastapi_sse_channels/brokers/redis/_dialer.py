"""Makes connections that listen, by attempts that overlap."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import AuthenticationError, NoPermissionError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._errors import UNAVAILABLE

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

    from ._subscriptions import Subscriptions
    from ._verbs import Verbs

logger = logging.getLogger("fastapi_sse_channels")

# A slow link needs seconds for a handshake, a healed one answers the next attempt at once: so
# attempts begin at short intervals and run side by side.
_ATTEMPT_INTERVAL = 0.25
_ATTEMPT_TIMEOUT = 5.0
_MAX_ATTEMPTS = 8

_REFUSALS = (AuthenticationError, NoPermissionError)
# these may pass while a server starts or fails over
_TRANSIENT: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    RuntimeError,
    RedisConnectionError,
    RedisTimeoutError,
)


class Listening(NamedTuple):
    """A connection on which the server confirmed everything that was to be listened to."""

    connection: AbstractConnection
    channels: tuple[str, ...]


class Dialer:
    """Tries to connect until a connection listens."""

    def __init__(
        self,
        make_connection: Callable[[], AbstractConnection],
        patterns: Iterable[str],
        subscriptions: Subscriptions,
        verbs: Verbs,
    ) -> None:
        """Prepare a dialer.

        Args:
            make_connection: Returns a connection that is not connected yet.
            patterns: What each connection listens to.
            subscriptions: The channels that it listens to as well.
            verbs: Plain or sharded pub/sub.
        """
        self._make_connection = make_connection
        self._patterns = tuple(patterns)
        self._subscriptions = subscriptions
        self._verbs = verbs
        self._last_error: BaseException | None = None
        self._is_refused = False

    async def connect_within(self, seconds: float) -> Listening:
        """Connect, or raise what the server said to it.

        Raises:
            RedisError: The server refused, or could not be reached within `seconds`.
            TimeoutError: The server did not answer within `seconds`.
        """
        self._last_error = None
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(fail_fast=True)
        except TimeoutError:
            if self._last_error is None:
                raise
            # a refusal, or a name that cannot be resolved, says more than the time limit
            raise self._last_error from None

    async def connect(self) -> Listening:
        """Connect, however long it takes."""
        return await self._connect(fail_fast=False)

    async def _connect(self, *, fail_fast: bool) -> Listening:
        loop = asyncio.get_running_loop()
        attempts: set[asyncio.Task[Listening]] = set()
        self._is_refused = False
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
                    self._take_failure(error, fail_fast=fail_fast)
                # a refused connection fails at once: the interval is the back-off
                await asyncio.sleep(began + _ATTEMPT_INTERVAL - loop.time() if done else 0)
        finally:
            for task in attempts:
                task.cancel()
                task.add_done_callback(_drop_result)

    def _take_failure(self, error: BaseException, *, fail_fast: bool) -> None:
        self._last_error = error
        if fail_fast and _is_final(error):
            raise error
        if isinstance(error, _REFUSALS) and not self._is_refused:
            self._is_refused = True
            logger.error("Redis refuses the subscription, trying on: %s", error)

    async def _attempt(self) -> Listening:
        connection = self._make_connection()
        channels = tuple(self._subscriptions.wanted)
        try:
            async with asyncio.timeout(_ATTEMPT_TIMEOUT):
                await connection.connect()  # type: ignore[no-untyped-call]
                await self._listen(connection, channels)
        except BaseException:
            await drop(connection)
            raise
        return Listening(connection, channels)

    async def _listen(self, connection: AbstractConnection, channels: tuple[str, ...]) -> None:
        if self._patterns:
            await connection.send_command("PSUBSCRIBE", *self._patterns)
        elif channels:
            # A server that refuses this would end the connection at the first unsubscription. The
            # channel is not subscribed yet, so this changes nothing.
            await connection.send_command(self._verbs.unsubscribe, channels[0])
        at_once = self._verbs.at_once
        for start in range(0, len(channels), at_once):
            batch = channels[start : start + at_once]
            await connection.send_command(self._verbs.subscribe, *batch)
            await asyncio.sleep(0)
        missing = {name.encode() for name in (*self._patterns, *channels)}
        while missing:
            # a refusal (ACL) is the answer to this read, and raised by it
            reply: Any = await connection.read_response()
            if reply[0] in {b"subscribe", b"psubscribe", b"ssubscribe"}:
                missing.discard(reply[1])
            # messages before the last confirmation are found again in the history


async def drop(connection: AbstractConnection) -> None:
    """Close a connection, whatever its state."""
    try:
        await connection.disconnect(nowait=True)
    except UNAVAILABLE:
        logger.debug("closing a Redis connection failed", exc_info=True)


def _drop_result(attempt: asyncio.Task[Listening]) -> None:
    # two attempts may succeed in the same turn
    if not attempt.cancelled() and attempt.exception() is None:
        asyncio.ensure_future(drop(attempt.result().connection))  # noqa: RUF006  # nothing waits for it


def _is_final(error: BaseException) -> bool:
    # redis-py counts a wrong password among connection errors
    return isinstance(error, AuthenticationError) or not isinstance(error, _TRANSIENT)
