"""Moves bytes from logs to readers: one flush for all that a loop turn published.

A flush runs in a task of its own and drives every `send` by hand. Most complete at once, since a
server only waits when its write buffer is full. A `send` that does wait keeps the task it began
in (a middleware's timeouts and cancel scopes are bound to it), and a fresh task takes over the
rest, so that no reader waits for another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._feed import Feed, Reader
    from ._session import Session

# about 5 ms of sends; then other callbacks of the loop get a turn
_SENDS_PER_TURN = 256
_PING_SLOTS = 16


class Fanout:
    """The flushes and pings of one manager on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Create an idle fan-out."""
        self._loop = loop
        self._dirty: deque[Feed] = deque()
        self._single: deque[Reader] = deque()
        self._due = self._due_readers()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_flushing = False

    def mark(self, feed: Feed) -> None:
        """Flush a feed's readers in the next loop turn."""
        if not feed.dirty:
            feed.dirty = True
            self._dirty.append(feed)
            self._wake()

    def mark_reader(self, reader: Reader) -> None:
        """Flush one reader in the next loop turn."""
        self._single.append(reader)
        self._wake()

    def _wake(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._spawn()

    def _spawn(self) -> None:
        task = self._loop.create_task(self._flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        now = self._loop.time()
        budget = _SENDS_PER_TURN
        for reader in self._due:
            rest = reader.flush(now)
            if rest is not None:
                self._spawn()
                await rest
                return
            budget -= 1
            if not budget:
                await asyncio.sleep(0)
                now = self._loop.time()
                budget = _SENDS_PER_TURN
        # exhausted: the next mark starts over with a new iterator
        self._due = self._due_readers()
        self._is_flushing = False
        if self._dirty or self._single:
            self._wake()

    def _due_readers(self) -> Iterator[Reader]:
        while self._single or self._dirty:
            while self._single:
                yield self._single.popleft()
            if self._dirty:
                feed = self._dirty.popleft()
                feed.dirty = False
                yield from tuple(feed.readers)
                feed.shown()


class Pinger:
    """One timer for the pings of all sessions.

    A wheel of slots: a session waits in the slot in which its ping falls due if nothing else is
    sent to it, and moves on when something was. Pings are late by one slot at most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float, fanout: Fanout) -> None:
        """Create an idle pinger; `interval` is in seconds."""
        self._loop = loop
        self._interval = interval
        self._fanout = fanout
        self._slots: list[dict[Session[Any], None]] = [{} for _ in range(_PING_SLOTS)]
        self._tick_length = interval / (_PING_SLOTS - 1)
        self._current = 0
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, session: Session[Any]) -> None:
        """Keep a session's connection from looking idle until it ends."""
        self._place(session, _PING_SLOTS - 1)
        if self._timer is None:
            self._timer = self._loop.call_later(self._tick_length, self._tick)

    def stop(self) -> None:
        """Forget every session."""
        for slot in self._slots:
            slot.clear()
        self._count = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def discard(self, session: Session[Any]) -> None:
        """Stop pinging a session."""
        if self._slots[session.ping_slot].pop(session, self) is None:
            self._count -= 1
            if not self._count and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _place(self, session: Session[Any], slots_ahead: int) -> None:
        session.ping_slot = (self._current + slots_ahead) % _PING_SLOTS
        self._slots[session.ping_slot][session] = None
        self._count += 1

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_length, self._tick)
        self._current = (self._current + 1) % _PING_SLOTS
        slot, self._slots[self._current] = self._slots[self._current], {}
        self._count -= len(slot)
        now = self._loop.time()
        for session in slot:
            remaining = session.written_at + self._interval - now
            slots_ahead = int(remaining / self._tick_length + 0.5)
            if slots_ahead <= 0:
                session.ping()
                self._fanout.mark_reader(session)
                slots_ahead = _PING_SLOTS - 1
            self._place(session, min(slots_ahead, _PING_SLOTS - 1))
