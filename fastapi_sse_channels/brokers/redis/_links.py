"""The links of a process, one to each server that carries its channels."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError as RedisConnectionError

from ._link import Link, LinkListener
from ._verbs import verbs_of

if TYPE_CHECKING:
    from ._connect import Connector

logger = logging.getLogger("fastapi_sse_channels")


class Links:
    """Makes, holds and stops the links; each is named by the shard that it listens to."""

    def __init__(
        self,
        connector: Connector,
        listener: LinkListener,
        *,
        pattern: str | None,
        probe_name: Callable[[int], str],
        send_probe: Callable[[str, str], Awaitable[object]],
        probe_interval: float,
    ) -> None:
        """Hold no link yet.

        Args:
            connector: Makes the connections.
            listener: What every link reports to.
            pattern: See `Link`.
            probe_name: Returns channels, numbered from 0, on which only this process listens.
            send_probe: See `publish` of `Link`.
            probe_interval: Seconds.
        """
        self._connector = connector
        self._listener = listener
        self._pattern = pattern
        self._probe_name = probe_name
        self._send_probe = send_probe
        self._probe_interval = probe_interval
        self._links: dict[str, Link] = {}

    def __iter__(self) -> Iterator[Link]:
        """Go over the links of this moment."""
        return iter(tuple(self._links.values()))

    @property
    def are_up(self) -> bool:
        """Whether a connection listens on every link."""
        return all(link.is_up.is_set() for link in self)

    @property
    def are_healthy(self) -> bool:
        """Whether every server answers, and messages come through."""
        return all(link.is_healthy for link in self)

    async def start(self, seconds: float) -> None:
        """Connect to each server within `seconds`."""
        for shard in self._connector.shards():
            link = self._links[shard] = self._new_link(shard)
            await link.start(seconds)

    async def stop(self) -> None:
        """Disconnect from all servers."""
        links, self._links = self._links, {}
        for link in links.values():
            await link.stop()

    def get(self, shard: str) -> Link | None:
        """Return the link to a server, if there is one."""
        return self._links.get(shard)

    def add(self, shard: str) -> Link:
        """Make a link that connects as soon as that is possible."""
        link = self._links[shard] = self._new_link(shard)
        link.start_in_background()
        return link

    def remove(self, shard: str) -> None:
        """Give up a link, which the caller stops."""
        del self._links[shard]

    def probe_channel(self, shard: str) -> str:
        """Return a channel of a server on which only this process listens.

        Raises:
            RedisError: The server carries no channels any more.
        """
        if shard not in self._connector.shards():
            msg = f"{shard} carries no channels any more"
            raise RedisConnectionError(msg)
        candidates = (self._probe_name(number) for number in count())
        return next(name for name in candidates if self._connector.shard_of(name) == shard)

    def _new_link(self, shard: str) -> Link:
        return Link(
            shard,
            lambda: self._connector.subscriber_connection(shard),
            self._send_probe,
            self._listener,
            pattern=self._pattern,
            verbs=verbs_of(is_sharded=self._connector.is_sharded),
            probe_channel=self.probe_channel(shard),
            probe_interval=self._probe_interval,
            on_silence=self._on_silence,
        )

    async def _on_silence(self, link: Link) -> None:
        if link.has_been_silent:
            logger.warning("Redis does not answer; streams stay open and go on once it does")
        await self._connector.drop_connections()
