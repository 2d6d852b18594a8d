"""The broker for one process."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple
from weakref import ref

from .._checks import check_whole
from .._core.log import Log, Retention, new_log
from .._core.position import Position, new_epoch, new_nonce
from ._base import IDEMPOTENCY_WINDOW, Broker, closed_error, digest
from ._workers import warn_if_several_workers


def _nowhere() -> None:
    """Stand for no event loop."""


class _Idle(NamedTuple):
    log: Log
    since: float


class MemoryBroker(Broker):
    """Keeps channels in this process; nothing to start, nothing shared with other processes.

    The broker keeps a channel without subscribers for its `history_ttl` after its last use, so that
    a lone client that drops and comes back misses nothing. The number and the size of such idle
    channels are bounded; the broker drops the longest unused ones first.
    """

    def __init__(
        self,
        *,
        max_idle_channels: int = 10_000,
        max_idle_bytes: int = 64 * 1024 * 1024,
        max_idempotency_keys: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create an empty broker.

        Args:
            max_idle_channels: Channels kept without a subscriber, at most.
            max_idle_bytes: Bytes of events kept in all of them together, at most.
            max_idempotency_keys: Idempotency keys remembered, at most. Each costs about
                500 bytes for five minutes. If more than that arrive in five minutes, the broker
                forgets the oldest early, and publishing with one of them again stores the event
                again.
            clock: Returns seconds, and never goes back.

        Raises:
            ConfigurationError: `max_idempotency_keys` is not a whole number greater than 0.
        """
        check_whole(max_idempotency_keys=max_idempotency_keys)
        self._max_idle_channels = max_idle_channels
        self._max_idle_bytes = max_idle_bytes
        self._max_idempotency_keys = max_idempotency_keys
        self._clock = clock
        self._idle: OrderedDict[str, _Idle] = OrderedDict()
        self._idle_bytes = 0
        self._followed: dict[str, tuple[Log, Callable[[], bool | None]]] = {}
        self._published: OrderedDict[bytes, tuple[Position, float]] = OrderedDict()
        self._session_counts: dict[str, int] = {}
        self._starts = 0
        self._stopped_on: Callable[[], object] = _nowhere
        self._warned = False

    def __repr__(self) -> str:
        """Show how much is held."""
        return f"<MemoryBroker followed={len(self._followed)} idle={len(self._idle)}>"

    async def start(self) -> None:
        """See `Broker.start`; this broker needs it after a `stop` only."""
        self._starts += 1
        self._stopped_on = _nowhere
        self._warn_once()

    async def stop(self) -> None:
        """See `Broker.stop`; what is stored stays until the process ends.

        Another event loop may use the broker without a start, as it might have before.
        """
        self._starts = max(0, self._starts - 1)
        if self._starts == 0:
            self._stopped_on = ref(asyncio.get_running_loop())
            for key in tuple(self._followed):
                self.unsubscribe(key)

    async def publish(
        self, key: str, body: bytes, retention: Retention, *, idempotency_key: str | None = None
    ) -> Position:
        """See `Broker.publish`."""
        self._check_open()
        now = self._clock()
        receipt = None
        if idempotency_key is not None:
            # a key holds no blank, so no two pairs give the same text
            receipt = digest(f"{key} {idempotency_key}")
            if known := self._remembered(receipt, now):
                return known
        if followed := self._followed.get(key):
            log, notify = followed
            position = log.append(body, new_nonce(), now)
            notify()
        else:
            log = self._take(key, retention, now)
            position = log.append(body, new_nonce(), now)
            self._keep(key, log, now)
        if receipt is not None:
            self._published[receipt] = position, now
            if len(self._published) > self._max_idempotency_keys:
                self._published.popitem(last=False)
        return position

    async def subscribe(
        self, key: str, retention: Retention, notify: Callable[[], bool | None]
    ) -> Log:
        """See `Broker.subscribe`."""
        self._check_open()
        # Starlette never runs the lifespan of a mounted application, so `start` may not have run
        self._warn_once()
        log = self._take(key, retention, self._clock())
        self._followed[key] = log, notify
        return log

    async def refresh(self, key: str) -> None:
        """See `Broker.refresh`; the log is the store."""
        del key
        self._check_open()

    def unsubscribe(self, key: str) -> None:
        """See `Broker.unsubscribe`."""
        if followed := self._followed.pop(key, None):
            self._keep(key, followed[0], self._clock())

    def report_sessions(self, key: str, count: int) -> None:
        """See `Broker.report_sessions`."""
        if count:
            self._session_counts[key] = count
        else:
            self._session_counts.pop(key, None)

    async def total_sessions(self, key: str) -> int:
        """See `Broker.total_sessions`; this process is the only one."""
        self._check_open()
        return self._session_counts.get(key, 0)

    def forget(self, key: str) -> bool:
        """See `Broker.forget`; this also drops the channel's history."""
        return self._pop(key) is not None

    def _warn_once(self) -> None:
        if not self._warned:
            self._warned = True
            warn_if_several_workers()

    def _check_open(self) -> None:
        if self._stopped_on() is asyncio.get_running_loop():
            raise closed_error(self)

    def _take(self, key: str, retention: Retention, now: float) -> Log:
        log = self._pop(key)
        if log is None:
            return new_log(retention, new_epoch(), clock=self._clock)
        log.retention = retention
        log.expire(now)
        return log

    def _keep(self, key: str, log: Log, now: float) -> None:
        log.compact()
        self._idle[key] = _Idle(log, now)
        self._idle_bytes += log.nbytes
        while self._idle and self._is_too_much(now):
            self._pop(next(iter(self._idle)))

    def _is_too_much(self, now: float) -> bool:
        oldest = next(iter(self._idle.values()))
        return (
            oldest.since + oldest.log.retention.ttl <= now
            or len(self._idle) > self._max_idle_channels
            or self._idle_bytes > self._max_idle_bytes
        )

    def _pop(self, key: str) -> Log | None:
        idle = self._idle.pop(key, None)
        if idle is None:
            return None
        self._idle_bytes -= idle.log.nbytes
        return idle.log

    def _remembered(self, receipt: bytes, now: float) -> Position | None:
        while self._published:
            _, published_at = next(iter(self._published.values()))
            if published_at + IDEMPOTENCY_WINDOW > now:
                break
            self._published.popitem(last=False)
        known = self._published.get(receipt)
        return None if known is None else known[0]
