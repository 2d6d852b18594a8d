"""What a started broker runs on one event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection
from typing import TYPE_CHECKING, Literal

from .._comparison import disagreement
from ._commands import Commands
from ._complaints import Complaints
from ._counts import SessionCounts
from ._errors import UNAVAILABLE
from ._following import Following
from ._lease import Lease, new_incarnation
from ._links import Links
from ._position_checks import PositionChecks
from ._rehearsal import Rehearsal
from ._repair import Repair
from ._scripts import POSITION_TTL_MS
from ._topology import Topology

if TYPE_CHECKING:
    from ._connect import Connector
    from ._link import Link
    from ._names import Names

Follow = Literal["pattern", "channel"]

logger = logging.getLogger("fastapi_sse_channels")

_LEASE_INTERVALS = 3


class Node:
    """The running part of a broker, bound to one event loop.

    A node is to a broker what a hub is to a manager. It wires its parts, starts and stops them,
    and tells them what the links hear.

    Attributes:
        loop: The event loop.
        commands: Run scripts.
        following: The channels that this process follows.
        counts: The sessions of all processes.
        lease: What others take this process for alive by.
    """

    def __init__(
        self,
        connector: Connector,
        names: Names,
        *,
        follow: Follow,
        command_timeout: float,
        probe_interval: float,
        check_interval: float,
    ) -> None:
        """Connect nothing yet; times in seconds."""
        self.loop = asyncio.get_running_loop()
        self._connector = connector
        self._names = names
        first = new_incarnation()
        self.commands = Commands(connector, names, seconds=command_timeout)
        self.counts = SessionCounts(connector.client, names, first)
        self.lease = Lease(
            first, self.counts, self.commands, names, seconds=probe_interval * _LEASE_INTERVALS
        )
        self._links = Links(
            connector,
            self,
            pattern=names.pattern if follow == "pattern" else None,
            probe_name=lambda number: names.probe(f"{self.lease.id}.{number}"),
            send_probe=self._send_probe,
            probe_interval=probe_interval,
        )
        self._topology = Topology(
            connector,
            self.commands,
            self._links,
            self._on_moved,
            watch_interval=probe_interval / 2,
        )
        complaints = Complaints()
        self.following = Following(
            self.commands,
            names,
            self._topology,
            Repair(self.commands, self._topology, complaints),
            complaints,
        )
        self._checks = PositionChecks(self.commands, self.following, interval=check_interval)
        self._rehearsal = Rehearsal(self.commands, names, self.lease, self.counts)

    @property
    def is_healthy(self) -> bool:
        """Whether the server answers, and events come through."""
        return self._links.are_healthy

    async def start(self, seconds: float) -> None:
        """Connect within `seconds`, or raise one of `UNAVAILABLE`."""
        try:
            async with asyncio.timeout(seconds):
                await self._connector.find_servers()
            await self._links.start(seconds)
            async with asyncio.timeout(seconds):
                await self._rehearsal.run()
        except BaseException:
            await self._stop_listening()
            await self._connector.close()
            raise
        self.counts.start()
        self._checks.start()
        self._topology.start()

    async def stop(self) -> None:
        """Disconnect; what is stored stays."""
        self.following.unfollow_all()
        await self._checks.stop()
        await self.counts.stop()
        await self._stop_listening()
        await self.lease.give_up()
        await self.commands.stop()
        try:
            await self.commands.limited(self._connector.close())
        except UNAVAILABLE:
            logger.debug("closing the connections to Redis failed", exc_info=True)

    async def total_sessions(self, key: str) -> int:
        """Count the sessions of all nodes."""
        return await self.commands.limited(self.counts.total(key))

    async def compare(self, keys: str, declaration: str) -> None:
        """See `Broker.compare`; the declaration of whoever started last is kept."""
        name = self._names.declaration(keys)
        set_ = self.commands.client.set(name, declaration, px=POSITION_TTL_MS, get=True)
        found = await self.commands.limited(set_)
        if found is not None and (
            said := disagreement(keys, declaration, found.decode(errors="replace"))
        ):
            logger.warning("%s", said)

    def on_message(self, channel: bytes, payload: bytes) -> Awaitable[None] | None:
        """See `LinkListener.on_message`."""
        return self.following.on_message(channel, payload)

    def on_link_up(self, link: Link, *, is_first: bool) -> None:
        """See `LinkListener.on_link_up`."""
        if is_first:
            return
        logger.info("Redis is back; reading what was missed")
        self.lease.doubt()
        self.following.on_cut_off(link.shard)

    def on_link_down(self, link: Link, error: BaseException) -> None:
        """See `LinkListener.on_link_down`."""
        logger.warning("lost the subscription to Redis, reconnecting: %s", error)
        if link.shard:
            self._topology.search()

    def _on_moved(self, left: Collection[str]) -> None:
        self.following.on_moved(left)

    async def _send_probe(self, channel: str, token: str) -> None:
        # the probe writes too: a demoted primary still takes PUBLISH
        await self.lease.renew()
        await self.commands.announce(channel, token)

    async def _stop_listening(self) -> None:
        await self._topology.stop()
        await self._links.stop()
