"""Brings the log of a followed channel to the state of the store."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from ._continuity import append_next, continues, read_log
from ._envelope import Look, NotOursError
from ._errors import UNAVAILABLE, is_foreign

if TYPE_CHECKING:
    from ._commands import Commands
    from ._complaints import Complaints
    from ._followed import Followed
    from ._topology import Topology

_RETRY_DELAY = 0.1
_REPAIRS_AT_ONCE = 32


class Repair:
    """Reads what a log lacks, for as long as log and store differ."""

    def __init__(self, commands: Commands, topology: Topology, complaints: Complaints) -> None:
        """Repair nothing yet.

        Args:
            commands: Read the store.
            topology: Has the links on which channels are heard.
            complaints: Hear of what others stored.
        """
        self._commands = commands
        self._topology = topology
        self._complaints = complaints
        self._turns = asyncio.Semaphore(_REPAIRS_AT_ONCE)

    def begin(self, followed: Followed) -> None:
        """Read what was missed, in the background; callable at any time."""
        # a look already under way may be older than the cause of this call
        followed.is_outdated = True
        if followed.arrived is None:
            followed.arrived = deque()
            followed.syncing = asyncio.create_task(self._repair(followed))

    async def listen_to(self, followed: Followed) -> None:
        """Return once what is published from now on is heard."""
        link = self._topology.link_to(followed.shard)
        await link.is_up.wait()
        await link.subscribe(followed.channel)

    async def _repair(self, followed: Followed) -> None:
        while followed.arrived is not None:
            try:
                # waiting comes first: a server that is away must not take the turns of others
                await self._topology.link_to(followed.shard).is_up.wait()
                async with self._turns:
                    await self._topology.link_to(followed.shard).subscribe(followed.channel)
                    if not await self.catch_up(followed):
                        followed.arrived = deque()
            except (*UNAVAILABLE, NotOursError) as error:
                followed.end_look(error)
                if is_foreign(error):
                    self._complaints.say("stored in", followed.key.encode(), error)
                await asyncio.sleep(_RETRY_DELAY)
            else:
                # readers are told in each round, for the next may take long
                followed.notify()

    async def catch_up(self, followed: Followed) -> bool:
        """Bring the log to the store's state, then append what arrived meanwhile.

        Returns:
            Whether the log and the store agree now; otherwise another look is due.
        """
        await self._bring_up(followed)
        followed.end_look()
        agree = True
        while agree and followed.arrived:
            agree = append_next(followed.log, followed.arrived.popleft())
            await followed.show()
        followed.arrived = None
        return agree and not followed.is_outdated

    async def _bring_up(self, followed: Followed) -> None:
        """Append what the log lacks, or start it over where the store does not continue it."""
        log = followed.log
        while True:
            look = await self._look_at(followed, log.top.offset)
            if not continues(log, look):
                await self._start_over(followed, look)
                return
            now = time.monotonic()
            for stored, age in look.entries:
                log.append(stored.body, stored.position.nonce, now - age)
                await followed.show()
            log.expire(now)
            if look.is_last:
                return

    async def _start_over(self, followed: Followed, look: Look) -> None:
        log = followed.log
        first = look if log.top.offset == 0 else None
        log.become(
            await read_log(followed.retention, lambda since: self._look_at(followed, since), first)
        )

    async def _look_at(self, followed: Followed, since: int) -> Look:
        followed.begin_look()
        look = await self._commands.look(followed.key, since, followed.retention)
        if look.damage is not None:
            self._complaints.say("stored in", followed.key.encode(), look.damage)
        return look
