"""The broker contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, NamedTuple

from .._checks import check_unshared
from .._errors import BrokerClosedError

if TYPE_CHECKING:
    from .._log import Entry, Gap, Log, Retention
    from .._position import Position


# seconds for which an idempotency key is remembered
IDEMPOTENCY_WINDOW = 300.0


class History(NamedTuple):
    """One atomic look at a channel.

    Attributes:
        entries: What follows the position asked about, oldest first; everything kept where
            there is a gap, or where no position was given.
        top: The channel's last position.
        gap: Why `entries` do not follow the position without a hole; `None` if they do.
    """

    entries: tuple[Entry, ...]
    top: Position
    gap: Gap | None


def history_of(log: Log, since: Position | None) -> History:
    """Answer `Broker.history` from a log that holds all that is kept."""
    gap = None if since is None else log.gap(since)
    if since is None or gap is not None:
        return History(log.entries, log.top, gap)
    return History(tuple(log.entries_after(since.offset)), log.top, None)


def closed_error(broker: Broker) -> BrokerClosedError:
    """Make the error of a broker that is used after its last `stop`."""
    msg = (
        f"{broker!r} was stopped with its application; publish before that, or start it again: "
        "`with TestClient(app):`, or `async with sse_lifespan(manager):`"
    )
    return BrokerClosedError(msg)


class Broker(ABC):
    """Stores the events of channels and carries them to every process.

    This docstring is the specification; `tests/brokers/test_contract.py` holds every broker to it.

    **Keys.** A key names a channel. Brokers treat it as opaque ASCII text without `*`, `?`, `[`
    and blanks. Keys never influence each other.

    **Storing.** `publish` stores an event and announces it as one atomic step, then returns its
    position. Offsets of a key are contiguous from 1 within an epoch. A store that lost or cannot
    continue a key's offsets starts a new epoch. What a retention no longer keeps is dropped on
    the next publish or read; the position outlives the entries. Publishing twice with one
    `idempotency_key` stores once and returns the first position, within five minutes.

    **Following.** `subscribe` returns the key's log in this process, holding everything the
    retention keeps, with no hole before the first live entry. From then on the broker appends
    every published event to it in offset order, exactly once, and calls `notify` after each change.
    Where it cannot (the store lost data, the hole cannot be filled) it restarts the log at the
    store's top, so that readers find a gap; it never leaves a silent hole. A key has at most
    one subscriber per broker object. `notify` does not block and does not call the broker; where it
    returns true, a broker that is ahead of its readers lets the event loop run before it appends
    more. `refresh` brings the log to the state that the store had at the call, or a later one.

    **Life.** `start` and `stop` nest: the last `stop` ends it. A broker that needs no start may be
    used without. After the last `stop`, every call but `start` raises `BrokerClosedError`;
    `start` makes it usable again, on any event loop. A broker belongs to one event loop
    at a time and holds nothing bound to a loop after `stop`.

    **Failing.** If the store is away, `publish` raises `PublishError` within 2 seconds; the event
    is then not stored twice, whatever is retried with the same `idempotency_key`. `subscribe`,
    `refresh` and `history` raise `BrokerError`. No call hangs.
    """

    _claimed: frozenset[str] = frozenset()

    def claim(self, keys: str) -> None:
        """Reserve the keys of a manager, by the name of its key space.

        Raises:
            ConfigurationError: Another manager of this broker uses them already.
        """
        check_unshared(keys, self._claimed, where="on one broker")
        self._claimed |= {keys}

    @property
    def store(self) -> Hashable:
        """Identifies the store; equal for brokers on which equal keys are the same channel."""
        return self

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
            body: What `event_body` encoded; carried as it is.
            retention: How much of the channel to keep from now on.
            idempotency_key: Publishing it again within five minutes stores nothing new.

        Raises:
            PublishError: The event is not known to be stored.
            BrokerClosedError: The broker was stopped.
        """

    @abstractmethod
    async def history(self, key: str, since: Position | None, retention: Retention) -> History:
        """Read what follows a position, in one atomic step.

        Args:
            key: The channel.
            since: A position, or `None` for everything kept.
            retention: How much of the channel is kept.

        Raises:
            BrokerError: The store is away, or the broker was stopped.
        """

    @abstractmethod
    async def subscribe(
        self, key: str, retention: Retention, notify: Callable[[], bool | None]
    ) -> Log:
        """Follow a channel; see **Following**.

        Raises:
            BrokerError: The store is away, or the broker was stopped.
        """

    @abstractmethod
    async def refresh(self, key: str) -> None:
        """Bring the log of a followed channel to the store's state; unknown keys are ignored.

        Returns once the log holds all that the store kept when the call began. However many call
        at once, a channel is looked at one time after the other.

        Raises:
            BrokerError: The store cannot be asked, the channel is no longer followed, or the broker
                was stopped.
        """

    @abstractmethod
    def unsubscribe(self, key: str) -> None:
        """Stop following a channel; unknown keys are ignored. Never waits."""

    @abstractmethod
    def report_sessions(self, key: str, count: int) -> None:
        """Report how many sessions this process has on a channel. Never waits."""

    @abstractmethod
    async def total_sessions(self, key: str) -> int:
        """Count the sessions of a channel in all processes.

        This process's own are exact; those of others are right within seconds, also after one of
        them was killed.

        Raises:
            BrokerError: The store is away, or the broker was stopped.
        """

    @abstractmethod
    def forget(self, key: str) -> bool:
        """Free what this process keeps of a channel that has no subscriber.

        Returns:
            Whether there was something to free.
        """
