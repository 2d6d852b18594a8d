"""The broker contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol

from .._checks import check_unshared
from .._errors import BrokerClosedError, ConfigurationError

if TYPE_CHECKING:
    from .._core.log import Log, Retention
    from .._core.position import Position


IDEMPOTENCY_WINDOW = 300.0
"""Seconds for which a broker remembers an idempotency key."""


def digest(text: str) -> bytes:
    """Return 16 bytes that stand for a text of any length, lone surrogates included."""
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


def closed_error(broker: Broker) -> BrokerClosedError:
    """Make the error that a broker raises when it is used after its last `stop`.

    Args:
        broker: The broker; its `repr` is part of the message.
    """
    msg = (
        f"{broker!r} was stopped with its application; publish before that, or start it again: "
        "`with TestClient(app):`, or `async with sse_lifespan(manager):`"
    )
    return BrokerClosedError(msg)


class SyncStore(Protocol):
    """A broker's store, for code without an event loop."""

    def publish(
        self, key: str, body: bytes, retention: Retention, idempotency_key: str | None
    ) -> Position:
        """See `Broker.publish`.

        Raises:
            PublishError: The event is not known to be stored.
        """
        ...

    def compare(self, keys: str, declaration: str) -> None:
        """See `Broker.compare`; looks once."""
        ...

    def close(self) -> None:
        """Close every connection; the next call opens one again."""
        ...


class Broker(ABC):
    """Stores the events of channels and carries them to every process.

    This docstring is the specification, and the tests of
    `fastapi_sse_channels.testing.broker_contract` check a broker against it.

    **Keys.** A key names a channel. Brokers treat it as opaque ASCII text without `*`, `?`, `[`
    and blanks. Keys never influence each other.

    **Storing.** `publish` stores an event and announces it as one atomic step, then returns its
    position. Offsets of a key are contiguous from 1 within an epoch. A store that lost or cannot
    continue a key's offsets starts a new epoch. What a retention no longer keeps is dropped on
    the next publish or read; the position outlives the entries. Nobody can guess the position at
    which an epoch starts. Publishing twice with one `idempotency_key`, however long, stores once
    and returns the first position, within `IDEMPOTENCY_WINDOW`. A broker may bound how many
    keys it remembers; the oldest then go first.

    **Following.** `subscribe` returns the key's log in this process, holding everything the
    retention keeps, with no hole before the first live entry. From then on the broker appends
    every published event to it in offset order, exactly once, and calls `notify` after each change.
    Where it cannot (the store lost data, the hole cannot be filled) it restarts the log at the
    store's top, so that readers find a gap; it never leaves a silent hole. A key has at most
    one subscriber per broker object. `notify` does not block and does not call the broker; where it
    returns true, a broker that is ahead of its readers lets the event loop run before it appends
    more. `refresh` brings the log to the state that the store had at the call, or a later one.

    **Life.** `start` and `stop` nest: the last `stop` ends it. A broker that needs no start may be
    used without, on any event loop. After the last `stop`, every coroutine but `start` and `stop`
    raises `BrokerClosedError` on that event loop; `start` makes the broker usable again, on any. A
    broker belongs to one event loop at a time and holds nothing bound to a loop after `stop`.

    **Failing.** If the store is away, `publish` raises `PublishError` within 2 seconds; the event
    is then not stored twice, whatever is retried with the same `idempotency_key`. What a store
    refuses leaves no trace in it. `subscribe` and `refresh` raise `BrokerError`. No call hangs.
    `is_healthy` is false while the store is away, as soon as the broker knows.
    """

    _claimed: frozenset[str] = frozenset()

    def claim(self, keys: str) -> None:
        """Reserve the keys of a manager; every manager calls it, and no broker overrides it.

        Args:
            keys: The name of the manager's key space, such as `discussion:*:events`.

        Raises:
            ConfigurationError: Another manager of this broker uses them already.
        """
        check_unshared(keys, self._claimed, where="on one broker")
        self._claimed |= {keys}

    @property
    def store(self) -> Hashable:
        """Identifies the store; equal for brokers on which equal keys are the same channel."""
        return self

    @property
    def is_healthy(self) -> bool:
        """Whether a started broker can use its store, as far as it knows; for health checks.

        Neither asks the store nor waits, and never raises. By default true: such a broker has no
        store that could be away.
        """
        return True

    async def compare(self, keys: str, declaration: str) -> None:  # noqa: B027  # not for all
        """Log where another program declares the same channels differently.

        Called once for each manager that starts. By default nothing is compared.

        Args:
            keys: The name of the channels' keys.
            declaration: What `keys` are declared as; opaque.
        """

    def sync_store(self) -> SyncStore:
        """Reach the store without an event loop.

        Raises:
            ConfigurationError: That is not possible with this broker.
        """
        msg = (
            f"{self!r} cannot be reached without an event loop; use broker='redis://…', one "
            "server, in the manager"
        )
        raise ConfigurationError(msg)

    @abstractmethod
    async def start(self) -> None:
        """Make the broker usable on the running event loop; counted.

        Raises:
            BrokerError: The store cannot be used; the message says why.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Undo one `start`; the last one closes the broker."""

    @abstractmethod
    async def publish(
        self, key: str, body: bytes, retention: Retention, *, idempotency_key: str | None = None
    ) -> Position:
        """Store an event and announce it.

        Args:
            key: The channel.
            body: The encoded event; stored and handed to `Log.append` as it is.
            retention: How much of the channel to keep from now on.
            idempotency_key: Publishing it again within `IDEMPOTENCY_WINDOW` stores nothing new.

        Returns:
            The position that every follower's log gives the event, too.

        Raises:
            PublishError: The event is not known to be stored.
            BrokerClosedError: The broker was stopped.
        """

    @abstractmethod
    async def subscribe(
        self, key: str, retention: Retention, notify: Callable[[], bool | None]
    ) -> Log:
        """Follow a channel; see **Following**.

        Args:
            key: The channel; nobody follows it on this broker object yet.
            retention: How much of the channel the log keeps.
            notify: Called after each change of the log. It returns true while readers have yet
                to see what was appended.

        Returns:
            The log, which the broker keeps up to date until `unsubscribe`.

        Raises:
            BrokerError: The store is away, or the broker was stopped.
        """

    @abstractmethod
    async def refresh(self, key: str) -> None:
        """Bring the log of a followed channel to the store's state; unknown keys are ignored.

        Returns once the log holds all that the store kept when the call began. However many call
        at once, a channel is looked at one time after the other.

        Args:
            key: The channel.

        Raises:
            BrokerError: The store cannot be asked, the channel is no longer followed, or the broker
                was stopped.
        """

    @abstractmethod
    def unsubscribe(self, key: str) -> None:
        """Stop following a channel; unknown keys are ignored. Never waits.

        Args:
            key: The channel.
        """

    @abstractmethod
    def report_sessions(self, key: str, count: int) -> None:
        """Report how many sessions this process has on a channel. Never waits.

        Args:
            key: The channel.
            count: The sessions; replaces the count reported before.
        """

    @abstractmethod
    async def total_sessions(self, key: str) -> int:
        """Count the sessions of a channel in all processes.

        This process's own are exact; those of others are right within seconds, also after one of
        them was killed.

        Args:
            key: The channel.

        Raises:
            BrokerError: The store is away, or the broker was stopped.
        """

    @abstractmethod
    def forget(self, key: str) -> bool:
        """Free what this process keeps of a channel that has no subscriber.

        Args:
            key: The channel.

        Returns:
            Whether there was something to free.
        """
