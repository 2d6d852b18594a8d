"""What one process holds of one channel: its log, and the readers that follow it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from .._core.position import Position, parse_event_id
from .backpressure import Patience

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._core.log import Log
    from .._core.wire import ResetReason
    from .reader import Reader


# a few events are appended without a pause, however short the history is
_ALWAYS_FITS = 8
# seconds; the clock cannot tell whether a shorter wait is over
_SHORTEST_WAIT = 1e-4


class Start(NamedTuple):
    """Where a reader begins.

    Attributes:
        position: Its cursor.
        resumed: Whether it continues after the client's last event id.
        reset: Why it does not, although the client sent an id.
    """

    position: Position
    resumed: bool
    reset: ResetReason | None


class Feed:
    """The log of one followed channel with its readers."""

    __slots__ = (
        "_bytes_under_way",
        "_mark_dirty",
        "_patience",
        "_progress",
        "_safe_offset",
        "_shown_offset",
        "_under_way",
        "dirty",
        "key",
        "log",
        "readers",
        "ready",
        "session_count",
        "users",
    )

    log: Log

    def __init__(self, key: str, mark_dirty: Callable[[Feed], None], *, patience: float) -> None:
        """Create a feed; the hub sets `log` once the broker follows the channel.

        Args:
            key: The channel.
            mark_dirty: Has the readers flushed soon.
            patience: Seconds for which one publish waits for readers, at most.
        """
        self.key = key
        self.users = 0
        self.ready: asyncio.Task[None] | None = None
        self.readers: dict[Reader, None] = {}
        self.session_count = 0
        self.dirty = False
        self._mark_dirty = mark_dirty
        self._patience = Patience(patience)
        self._under_way = 0
        self._bytes_under_way = 0
        self._progress: asyncio.Future[None] | None = None
        self._safe_offset = 0
        self._shown_offset = 0

    @property
    def is_ready(self) -> bool:
        """Whether the broker follows the channel already."""
        ready = self.ready
        return (
            ready is not None
            and ready.done()
            and not ready.cancelled()
            and ready.exception() is None
        )

    def notify(self) -> bool:
        """Have the readers look at the log; called by the broker after each change.

        Returns:
            Whether the broker should let the event loop run before it appends more: the entries
            that readers were not shown yet are about to push all others out of the log.
        """
        self._mark_dirty(self)
        unshown = self.log.top.offset - self._shown_offset
        return unshown > max(_ALWAYS_FITS, self._shown_offset - self.log.floor.offset)

    def shown(self) -> None:
        """Let publishing go on; called by the fan-out once every reader has looked at the log."""
        self._shown_offset = self.log.top.offset
        self.progressed()

    def start(self, last_event_id: str | None) -> Start:
        """Decide where a new reader begins."""
        # no publish on a quiet channel drops what is too old
        self.log.expire(self.log.clock())
        top = self.log.top
        if not last_event_id:
            return Start(top, resumed=False, reset=None)
        resume = parse_event_id(last_event_id)
        if resume is None:
            return Start(top, resumed=False, reset="epoch")
        gap = self.log.gap(resume.position)
        if gap is not None:
            return Start(top, resumed=False, reset=gap)
        if resume.awaits_initial:
            return Start(top, resumed=False, reset=None)
        return Start(resume.position, resumed=True, reset=None)

    def may_be_behind(self, last_event_id: str | None) -> bool:
        """Whether the client's id may come from a process that is ahead of this log."""
        resume = parse_event_id(last_event_id) if last_event_id else None
        gap = None if resume is None else self.log.gap(resume.position)
        return gap in {"ahead", "epoch"}

    def place(self, reader: Reader) -> None:
        """Register a reader that is new, or whose cursor was set anew."""
        self.readers[reader] = None
        self._safe_offset = min(self._safe_offset, reader.offset)

    def discard(self, reader: Reader) -> None:
        """Forget a reader."""
        self.readers.pop(reader, None)
        self.progressed()

    def progressed(self) -> None:
        """Tell waiting publishers that a reader moved or left."""
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)

    async def make_room(self, nbytes: int) -> None:
        """Wait until an event of `nbytes` overruns no reader that keeps up; see `Patience`.

        The room is the event's until `end_publish`.

        Args:
            nbytes: Length of the event's frame.
        """
        waited = 0.0
        # one scan of the readers is enough for about as many publishes as the log has room for
        while not self._has_room(nbytes):
            now = asyncio.get_running_loop().time()
            holder = self._holder(now)
            self._safe_offset = self.log.top.offset if holder is None else holder.offset
            left = self._patience.longest - waited
            if holder is None or left < _SHORTEST_WAIT or self._has_room(nbytes):
                break
            waited += await self._wait_for(holder, now, min(left, self._patience.step))
        self._under_way += 1
        self._bytes_under_way += nbytes

    def end_publish(self, nbytes: int) -> None:
        """Give up the room of an event that is in the log now, or was refused."""
        self._under_way -= 1
        self._bytes_under_way -= nbytes
        self.progressed()

    def _has_room(self, nbytes: int) -> bool:
        # what this process has on its way to the log takes room as well
        floor = self.log.floor_after(nbytes + self._bytes_under_way, count=1 + self._under_way)
        return floor <= self._safe_offset

    def _holder(self, now: float) -> Reader | None:
        """Find the reader that stands lowest among those that publishing waits for."""
        holder = None
        for reader in self.readers:
            is_lower = holder is None or reader.offset < holder.offset
            if is_lower and self._patience.allows(reader, now):
                holder = reader
        return holder

    async def _wait_for(self, holder: Reader, now: float, seconds: float) -> float:
        """Wait until a reader moves, or at most `seconds`, for the reader may have turned slow.

        Returns:
            How many seconds were waited for the reader or the store, not for the event loop.
        """
        since, credit = holder.stuck_since, holder.credit
        is_for_others = self._under_way > 0
        await self._next_progress(seconds)
        ended = min(asyncio.get_running_loop().time(), now + seconds)
        if since is not None:
            self._patience.spend(since, credit, now, ended)
        # the event loop comes to a reader that is not stuck by itself
        return 0.0 if since is None and not is_for_others else ended - now

    async def _next_progress(self, seconds: float) -> None:
        if self._progress is None or self._progress.done():
            self._progress = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._progress], timeout=seconds)
