"""Keeps idle streams from looking dead."""

from __future__ import annotations

from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

    from ._fanout import Fanout
    from ._session import Session

_SLOTS = 16


class Pinger:
    """One timer for the pings of all sessions.

    A wheel of slots: a session waits in the slot in which its ping is due. If something was sent
    to it since, it moves on to a later slot instead. Pings are late by one slot at most.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, interval: float, fanout: Fanout) -> None:
        """Create an idle pinger; `interval` is in seconds."""
        self._loop = loop
        self._interval = interval
        self._fanout = fanout
        self._slots: list[dict[Session[Any], None]] = [{} for _ in range(_SLOTS)]
        self._tick_length = interval / (_SLOTS - 1)
        self._current = 0
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, session: Session[Any]) -> None:
        """Keep a session's connection from looking idle until it ends."""
        self._place(session, _SLOTS - 1)
        if self._timer is None:
            # else the context of the first stream's request is kept for as long as there are pings
            self._timer = self._loop.call_later(self._tick_length, self._tick, context=Context())

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
        session.ping_slot = (self._current + slots_ahead) % _SLOTS
        self._slots[session.ping_slot][session] = None
        self._count += 1

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_length, self._tick)
        self._current = (self._current + 1) % _SLOTS
        slot, self._slots[self._current] = self._slots[self._current], {}
        self._count -= len(slot)
        now = self._loop.time()
        for session in slot:
            remaining = session.written_at + self._interval - now
            slots_ahead = int(remaining / self._tick_length + 0.5)
            if slots_ahead <= 0:
                session.ping()
                self._fanout.mark_reader(session)
                slots_ahead = _SLOTS - 1
            self._place(session, min(slots_ahead, _SLOTS - 1))
