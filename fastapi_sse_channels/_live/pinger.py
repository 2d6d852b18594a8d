"""Keeps idle streams from looking dead, and finds those whose client has left unnoticed."""

from __future__ import annotations

import math
from contextvars import Context
from typing import TYPE_CHECKING

from .._servers.transport import left_by_peer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from .fanout import Fanout
    from .stream import Stream

_SLOTS = 16
# seconds; every stream is checked this often, however rare its pings are
_LONGEST_TURN = 15.0


class Pinger:
    """One timer for all streams.

    A wheel of slots: a stream waits in the slot in which its ping is due. If something was sent
    to it since, the stream moves on to a later slot instead. Pings are late by one slot at most.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, interval: float | None, fanout: Fanout
    ) -> None:
        """Create an idle pinger.

        Args:
            loop: Where it runs.
            interval: Seconds of silence before a ping, or `None` for no pings.
            fanout: Sends the pings.
        """
        self._loop = loop
        self._interval = math.inf if interval is None else interval
        self._fanout = fanout
        self._slots: list[dict[Stream, None]] = [{} for _ in range(_SLOTS)]
        self._tick_length = min(self._interval, _LONGEST_TURN) / (_SLOTS - 1)
        self._current = 0
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, stream: Stream) -> None:
        """Keep a stream's connection from looking idle until it ends."""
        self._place(stream, _SLOTS - 1)
        if self._timer is None:
            # the timer would otherwise keep the context of the first stream's request
            self._timer = self._loop.call_later(self._tick_length, self._tick, context=Context())

    def discard(self, stream: Stream) -> None:
        """Stop pinging a stream."""
        if self._slots[stream.ping_slot].pop(stream, self) is None:
            self._count -= 1
            if not self._count and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _place(self, stream: Stream, slots_ahead: int) -> None:
        stream.ping_slot = (self._current + slots_ahead) % _SLOTS
        self._slots[stream.ping_slot][stream] = None
        self._count += 1

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_length, self._tick)
        self._current = (self._current + 1) % _SLOTS
        slot, self._slots[self._current] = self._slots[self._current], {}
        self._count -= len(slot)
        _end_left(slot)
        now = self._loop.time()
        for stream in slot:
            remaining = stream.written_at + self._interval - now
            if remaining < self._tick_length / 2:
                stream.ping()
                self._fanout.mark_reader(stream)
                remaining = self._interval
            slots_ahead = min(remaining / self._tick_length + 0.5, _SLOTS - 1)
            self._place(stream, int(slots_ahead))


def _end_left(streams: Iterable[Stream]) -> None:
    """End the streams of clients that have left.

    After a second request on a stream's connection, a server stops reading, or reports a client
    that has left to the second request alone (uvicorn 0.54 does both).
    """
    connections = {c: stream for stream in streams if (c := stream.sender.connection) is not None}
    for connection in left_by_peer(connections):
        connections[connection].drop()
