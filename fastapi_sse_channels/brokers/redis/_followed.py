"""What a process knows of one followed channel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

from ..._core.log import Log, Retention
from ..._core.position import NOWHERE

if TYPE_CHECKING:
    from ._envelope import Stored

# messages that wait for one look; it takes milliseconds
_MOST_ARRIVED = 1024


class Followed:
    """One followed channel; `channel` is its name in pub/sub.

    Messages that come while the store is being read wait in `arrived`, which otherwise is `None`.
    Those who ask for the store's state wait for the next look, as one under way may be older.
    """

    __slots__ = (
        "_asked_next",
        "_asked_now",
        "arrived",
        "channel",
        "is_outdated",
        "key",
        "log",
        "notify",
        "retention",
        "shard",
        "syncing",
    )

    def __init__(
        self,
        key: str,
        retention: Retention,
        notify: Callable[[], bool | None],
        *,
        channel: str,
        shard: str,
    ) -> None:
        """Know nothing of the channel yet."""
        self.shard = shard
        self.key = key
        self.channel = channel
        self.retention = retention
        self.notify = notify
        self.log = Log(retention, NOWHERE)
        self.arrived: deque[Stored] | None = deque()
        self.is_outdated = False
        self.syncing: asyncio.Task[None] | None = None
        self._asked_next: tuple[asyncio.Future[None], ...] = ()
        self._asked_now: tuple[asyncio.Future[None], ...] = ()

    def begin_look(self) -> None:
        """Take note that the store is asked now."""
        # what arrived was stored before this look, which therefore has it, or the next one
        self.arrived = deque()
        self.is_outdated = False
        self._ask()

    def next_look(self) -> asyncio.Future[None]:
        """Return a future that ends once a look that begins from now on is in the log."""
        if not self._asked_next:
            self._asked_next = (asyncio.get_running_loop().create_future(),)
        return self._asked_next[0]

    def end_look(self, error: BaseException | None = None) -> None:
        """Answer those who wait for the looks that were begun."""
        asked, self._asked_now = self._asked_now, ()
        for each in asked:
            if error is None:
                each.set_result(None)
            else:
                each.set_exception(error)
                each.exception()  # may have no one waiting

    def let_go(self) -> None:
        """End what goes on for this channel."""
        if self.syncing is not None:
            self.syncing.cancel()
        self._ask()
        self.end_look(RedisError("the channel is no longer followed"))

    def _ask(self) -> None:
        self._asked_now += self._asked_next
        self._asked_next = ()

    def arrive(self, stored: Stored) -> None:
        """Keep an event for later; those beyond a limit are read from the store instead."""
        assert self.arrived is not None
        if len(self.arrived) < _MOST_ARRIVED:
            self.arrived.append(stored)
        else:
            self.is_outdated = True

    async def show(self) -> None:
        """Let readers see the log, if the channel has any yet."""
        # a channel that is only beginning to be followed has no readers
        if self.syncing is not None and self.notify():
            await self.until_shown()

    async def until_shown(self) -> None:
        """Let the event loop run until readers were shown the log; never waits for a reader."""
        while self.notify():  # noqa: ASYNC110  # turns of the loop are what is wanted
            await asyncio.sleep(0)
