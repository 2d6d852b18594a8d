"""What one process holds of one channel: its log, and the readers that follow it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ._position import Position, parse_event_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from ._log import Log, ResetReason


# a few events are appended without a pause, however short the history is
_ALWAYS_FITS = 8


class Reader(Protocol):
    """A cursor into a feed's log."""

    @property
    def offset(self) -> int:
        """The offset of the last entry taken."""
        ...

    def is_slow(self, now: float) -> bool:
        """Whether publishing no longer waits for this reader."""
        ...

    def flush(self, now: float) -> Coroutine[object, object, None] | None:
        """Take what the log holds beyond the cursor.

        Returns:
            What is left to await, where it could not be done at once.
        """
        ...


class Start(NamedTuple):
    """Where a reader begins.

    Attributes:
        position: Its cursor.
        resumed: Whether it continues after the client's last event id.
        reset: Why it does not, although the client had one.
    """

    position: Position
    resumed: bool
    reset: ResetReason | None


class Feed:
    """The log of one followed channel with its readers."""

    __slots__ = (
        "_mark_dirty",
        "_progress",
        "_safe_offset",
        "_shown_offset",
        "dirty",
        "key",
        "log",
        "readers",
        "ready",
        "session_count",
        "users",
    )

    log: Log

    def __init__(self, key: str, mark_dirty: Callable[[Feed], None]) -> None:
        """Create a feed; the hub sets `log` once the broker follows the channel."""
        self.key = key
        self.users = 0
        self.ready: asyncio.Task[None] | None = None
        self.readers: dict[Reader, None] = {}
        self.session_count = 0
        self.dirty = False
        self._mark_dirty = mark_dirty
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
        top = self.log.top
        if not last_event_id:
            return Start(top, resumed=False, reset=None)
        resume = parse_event_id(last_event_id)
        if resume is None:
            return Start(top, resumed=False, reset="epoch")
        gap = self.log.gap(resume.position)
        if gap is not None:
            return Start(top, resumed=False, reset=gap.reason)
        if resume.awaits_initial:
            return Start(top, resumed=False, reset=None)
        return Start(resume.position, resumed=True, reset=None)

    def may_be_behind(self, last_event_id: str | None) -> bool:
        """Whether this log may lack what the client knows of a process that is ahead."""
        resume = parse_event_id(last_event_id) if last_event_id else None
        gap = None if resume is None else self.log.gap(resume.position)
        return gap is not None and gap.reason in {"ahead", "epoch"}

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

    async def make_room(self, nbytes: int, patience: float) -> None:
        """Wait until an event of `nbytes` overruns no reader that keeps up.

        Args:
            nbytes: Length of the event's frame.
            patience: Seconds after which a stuck reader is slow, and no longer waited for.
        """
        # one scan of the readers is enough for about as many publishes as the log has room for
        while self.log.floor_after(nbytes) > self._safe_offset:
            self._safe_offset = self._lowest_cursor()
            if self.log.floor_after(nbytes) <= self._safe_offset:
                return
            await self._next_progress(patience / 4)

    def _lowest_cursor(self) -> int:
        now = asyncio.get_running_loop().time()
        return min(
            (reader.offset for reader in self.readers if not reader.is_slow(now)),
            default=self.log.top.offset,
        )

    async def _next_progress(self, seconds: float) -> None:
        # readers become slow as time passes, so look again even if none of them moves
        if self._progress is None or self._progress.done():
            self._progress = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._progress], timeout=seconds)
