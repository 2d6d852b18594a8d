"""The channels that a process follows."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator
from typing import TYPE_CHECKING

from ._continuity import append_next
from ._envelope import NotOursError, parse_message
from ._followed import Followed

if TYPE_CHECKING:
    from ..._core.log import Log, Retention
    from ._commands import Commands
    from ._complaints import Complaints
    from ._names import Names
    from ._repair import Repair
    from ._topology import Topology


class Following:
    """Appends what is heard to the logs of followed channels, and repairs those with a hole."""

    def __init__(
        self,
        commands: Commands,
        names: Names,
        topology: Topology,
        repair: Repair,
        complaints: Complaints,
    ) -> None:
        """Follow nothing yet.

        Args:
            commands: Limit the time that following takes.
            names: Say what the channels are called.
            topology: Says which server carries a channel, and has the links that hear it.
            repair: Reads what was not heard.
            complaints: Hear of what others published.
        """
        self._commands = commands
        self._names = names
        self._topology = topology
        self._repair = repair
        self._complaints = complaints
        self._followed: dict[bytes, Followed] = {}

    def __len__(self) -> int:
        """Count the followed channels."""
        return len(self._followed)

    def __iter__(self) -> Iterator[Followed]:
        """Go over the channels followed at this moment."""
        return iter(tuple(self._followed.values()))

    async def follow(
        self, key: str, retention: Retention, notify: Callable[[], bool | None]
    ) -> Log:
        """Follow a channel: listen first, then read the past, then merge."""
        channel = self._names.channel(key)
        shard = self._topology.shard_of(channel)
        followed = Followed(key, retention, notify, channel=channel, shard=shard)
        self._followed[channel.encode()] = followed
        try:
            await self._commands.limited(self._repair.listen_to(followed))
            if not await self._repair.catch_up(followed):
                self.sync(followed)
        except BaseException:
            self._let_go(followed)
            raise
        return followed.log

    def unfollow(self, key: str) -> None:
        """Stop following a channel."""
        followed = self._find(key)
        if followed is not None:
            self._let_go(followed)

    def unfollow_all(self) -> None:
        """Stop following every channel."""
        for followed in self:
            self._let_go(followed)

    async def refresh(self, key: str) -> None:
        """Bring a followed log to the store's state, by the same repair as after a hole."""
        followed = self._find(key)
        if followed is not None:
            # who knows more may have got it from the server that took this one's place
            await self._topology.go_along()
            answer = followed.next_look()
            self.sync(followed)
            if self._find(key) is not followed:
                # unfollowed meanwhile, so nobody looks any more
                followed.let_go()
            # shielded: others wait for the same answer
            await self._commands.limited(asyncio.shield(answer))

    def sync(self, followed: Followed) -> None:
        """Read what was missed, in the background; callable at any time."""
        # unfollowed meanwhile: a repair started now would never be cancelled
        if self._followed.get(followed.channel.encode()) is followed:
            self._repair.begin(followed)

    def on_message(self, channel: bytes, payload: bytes) -> Awaitable[None] | None:
        """See `LinkListener.on_message`."""
        followed = self._followed.get(channel)
        if followed is None:
            return None
        try:
            stored = parse_message(payload)
        except NotOursError as error:
            self._complaints.say("published to", channel, error)
            return None
        if followed.arrived is not None:
            followed.arrive(stored)
        elif not append_next(followed.log, stored):
            self.sync(followed)
        elif followed.notify():
            return followed.until_shown()
        return None

    def on_cut_off(self, shard: str) -> None:
        """Read what a server announced while it was not heard."""
        for followed in self:
            if followed.shard == shard:
                self.sync(followed)

    def on_moved(self, left: Collection[str]) -> None:
        """Listen where channels are carried now.

        Args:
            left: Shards whose links are given up.
        """
        for followed in self:
            shard = self._topology.shard_of(followed.channel)
            if shard != followed.shard or shard in left:
                self._topology.unsubscribe(followed.shard, followed.channel)
                followed.shard = shard
                self.sync(followed)

    def _find(self, key: str) -> Followed | None:
        return self._followed.get(self._names.channel(key).encode())

    def _let_go(self, followed: Followed) -> None:
        followed.let_go()
        name = followed.channel.encode()
        if self._followed.get(name, followed) is not followed:
            # somebody follows the channel again since it was let go
            return
        self._followed.pop(name, None)
        # a channel that was let go before may have been subscribed since
        self._topology.unsubscribe(followed.shard, followed.channel)
