"""Which server carries which channel, also where a cluster moves them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from ._errors import UNAVAILABLE
from ._tasks import end

if TYPE_CHECKING:
    from ._commands import Commands
    from ._connect import Connector
    from ._link import Link
    from ._links import Links

logger = logging.getLogger("fastapi_sse_channels")

# seconds; a failover takes a cluster a while
_SEARCH_INTERVAL = 0.25


class Topology:
    """Keeps one link to each server that carries channels, and says which carries what."""

    def __init__(
        self,
        connector: Connector,
        commands: Commands,
        links: Links,
        on_moved: Callable[[Collection[str]], None],
        *,
        watch_interval: float,
    ) -> None:
        """Prepare to look for servers.

        Args:
            connector: Knows the servers.
            commands: Limits the time that asking for them takes.
            links: What is kept in step with the servers.
            on_moved: Called with the shards whose links are given up; any channel may be carried
                by another server from now on.
            watch_interval: Seconds between questions whether a server was replaced.
        """
        self._connector = connector
        self._commands = commands
        self._links = links
        self._on_moved = on_moved
        self._watch_interval = watch_interval
        self._searching: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch for servers that are replaced while they still answer, where there may be such."""
        if self._connector.may_move:
            self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no longer."""
        await end(self._searching)
        await end(self._watching)

    def shard_of(self, channel: str) -> str:
        """Name the server that carries a channel."""
        return self._connector.shard_of(channel)

    def link_to(self, shard: str) -> Link:
        """Return the link to a server, making it where there is none."""
        link = self._links.get(shard)
        if link is None:
            # redis-py learnt of another server before a link was lost
            link = self._links.add(shard)
            self.search()
        return link

    def unsubscribe(self, shard: str, channel: str) -> None:
        """Stop listening to a channel, if there is a link to its server."""
        link = self._links.get(shard)
        if link is not None:
            link.unsubscribe(channel)

    async def go_along(self) -> None:
        """Leave a server that another one has replaced."""
        if not self._connector.may_move:
            return
        try:
            has_moved = await self._commands.limited(self._connector.has_moved())
        except UNAVAILABLE:
            # the server may be well all the same
            logger.debug("nobody says which server is the primary", exc_info=True)
            return
        if has_moved:
            logger.warning("another server has taken the place of the primary; going there")
            for link in self._links:
                link.restart()

    def search(self) -> None:
        """Look where the channels are, until every server that carries some has a link."""
        if self._searching is None or self._searching.done():
            self._searching = asyncio.create_task(self._search())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._watch_interval)
            await self.go_along()

    async def _search(self) -> None:
        while not self._links.are_up:
            try:
                await self._commands.limited(self._connector.find_servers())
                await self._move_to(frozenset(self._connector.shards()))
            except UNAVAILABLE:
                logger.debug("the cluster cannot say where its slots are", exc_info=True)
            await asyncio.sleep(_SEARCH_INTERVAL)

    async def _move_to(self, shards: frozenset[str]) -> None:
        left = [
            link
            for link in self._links
            # the slot of the probe may move as any other
            if link.shard not in shards or self.shard_of(link.probe_channel) != link.shard
        ]
        for link in left:
            self._links.remove(link.shard)
        for shard in shards:
            if self._links.get(shard) is None:
                self._links.add(shard)
        self._on_moved({link.shard for link in left})
        for link in left:
            await link.stop()
