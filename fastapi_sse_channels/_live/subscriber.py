"""A reader of a channel inside Python."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

from .._core.cursor import Cursor
from .._core.position import Position
from .._core.wire import data_of
from .._errors import StreamResetError

if TYPE_CHECKING:
    from .._core.wire import ResetReason
    from .feed import Feed


class Subscriber(Cursor):
    """Hands out a channel's events one by one; a `Reader` of its feed.

    Attributes:
        feed: The log, and those who read it.
        position: The position of the last event that was handed out.
        stuck_since: See `Reader.stuck_since`.
        is_guest: See `Reader.is_guest`.
        credit: See `Reader.credit`.
    """

    def __init__(self, feed: Feed, last_event_id: str | None) -> None:
        """Begin after an event, or with the next one."""
        super().__init__(feed.log)
        self.feed = feed
        # a reader counts as stuck until its program asks for an event, which it may never do
        self.is_guest = True
        self.credit = 0.0
        self.stuck_since: float | None = asyncio.get_running_loop().time()
        start = feed.start(last_event_id)
        self.position = start.position
        self._reset: ResetReason | None = start.reset
        self.go_back_to(start.position)
        self._changed = asyncio.Event()
        self._is_ended = False

    async def next(self) -> bytes | None:
        """Wait for the next event.

        Returns:
            Its JSON; `None` where the process drains its streams.

        Raises:
            StreamResetError: Events were missed; raised once for each hole.
        """
        self.is_guest = False
        # a program that asks for events is waited for as long as one publish may take
        self.credit = math.inf
        while (event := self._take()) is None and not self._is_ended:
            self.stuck_since = None
            self._changed.clear()
            await self._changed.wait()
        return event

    def flush(self, now: float) -> None:
        """See `Reader.flush`; only wakes the iterator, which takes the entries itself."""
        if self.stuck_since is None and not self.is_up_to_date:
            self.stuck_since = now
        self._changed.set()

    def end(self) -> None:
        """End the iteration after what is already published."""
        self._is_ended = True
        self._changed.set()

    def _take(self) -> bytes | None:
        if self._reset is not None or (self.is_cut_off and not self._replay):
            self._begin_anew()
        entry = self.take_entry()
        if entry is None:
            return None
        self.position = Position(self.position.epoch, entry.offset, entry.nonce)
        self.stuck_since = None if self.is_up_to_date else asyncio.get_running_loop().time()
        self.feed.progressed()
        return data_of(entry.frame)

    def _begin_anew(self) -> None:
        reason = self._reset or self.why_cut_off()
        self._reset = None
        self.stuck_since = None
        self.move_to_top()
        self.position = self.log.top
        self.feed.place(self)
        raise StreamResetError(reason, self.position.event_id)
