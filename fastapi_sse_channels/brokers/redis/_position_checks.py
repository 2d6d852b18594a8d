"""Finds events that were stored without being announced to this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ._continuity import has_reached
from ._envelope import NotOursError
from ._errors import UNAVAILABLE
from ._tasks import end

if TYPE_CHECKING:
    from ..._core.position import Position
    from ._commands import Commands
    from ._followed import Followed
    from ._following import Following

# an offset that no log reaches: asks for the position alone
_NO_ENTRIES = 2**53 - 1
# seconds in which a message that was just published arrives
_ON_ITS_WAY = 0.5


class PositionChecks:
    """Compares, one after the other, followed logs with their positions in the store."""

    def __init__(self, commands: Commands, following: Following, *, interval: float) -> None:
        """Prepare to check every channel once in `interval` seconds."""
        self._commands = commands
        self._following = following
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to check."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop checking."""
        await end(self._task)

    async def _run(self) -> None:
        while True:
            pause = self._interval / max(1, len(self._following))
            for followed in self._following:
                await asyncio.sleep(pause)
                # a channel under repair is being compared already
                if followed.arrived is None:
                    await self._check(followed)
            if not len(self._following):
                await asyncio.sleep(self._interval)

    async def _check(self, followed: Followed) -> None:
        top = await self._position_of(followed)
        if top is None or top == followed.log.top:
            return
        await asyncio.sleep(_ON_ITS_WAY)
        if not has_reached(followed.log, top):
            self._following.sync(followed)

    async def _position_of(self, followed: Followed) -> Position | None:
        try:
            look = await self._commands.look(followed.key, _NO_ENTRIES, followed.retention)
        except (*UNAVAILABLE, NotOursError):
            return None
        return look.top
