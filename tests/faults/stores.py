"""The stores of events: one Redis, a cluster, or a primary that Sentinels watch."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from redis.crc import key_slot
from redis.exceptions import RedisError

from .processes import RedisServer, SentinelServer, free_port, until

# Refuse writes that no replica would get within a second or two.
WAITS_FOR_REPLICA = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "1")

# This is twice as long as the machine may take the CPUs away from a healthy server.
_NODE_TIMEOUT_MS = 2000
_DOWN_AFTER_MS = 2500
SERVICE = "main"
# By default a Sentinel takes ten seconds to see that a server which was replaced is back, and eight
# more to make it a replica.
_QUICKLY = ("INFO-PERIOD", "500", "PUBLISH-PERIOD", "500")


class Store(ABC):
    """Redis servers that belong together.

    Attributes:
        servers: All servers that keep events.
    """

    servers: list[RedisServer]

    async def start(self) -> None:
        """Start everything, and wait until it works together."""
        await asyncio.gather(*(server.start() for server in self.servers))

    async def close(self) -> None:
        """Stop every server."""
        await asyncio.gather(*(server.close() for server in self.servers))

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Return what the application `watched` has to know, beside the port of a server."""

    @abstractmethod
    async def primary(self, key: str) -> RedisServer:
        """Find the server that keeps a key."""

    @abstractmethod
    async def settles(self) -> None:
        """Wait until every server that runs has the place that it will keep."""

    def connections(self, follow: str) -> int:
        """Count the connections on which a node listens that was told how to follow."""
        del follow
        return 1

    async def listening(self) -> int:
        """Count the connections of nodes that listen to servers."""
        lists = [
            await server.client.client_list(_type="pubsub")
            for server in self.servers
            if server.is_running
        ]
        return sum(
            not client["name"].startswith("sentinel-") for found in lists for client in found
        )


class OneServer(Store):
    """A single server; after a failover by hand, the replica."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self._directory = directory
        self._options = options
        self.servers = [RedisServer(directory, *options)]
        self._replicas: list[RedisServer] = []

    async def close(self) -> None:
        """See `Store.close`."""
        await super().close()
        await asyncio.gather(*(replica.close() for replica in self._replicas))

    def environment(self) -> dict[str, str]:
        """See `Store.environment`."""
        return {}

    async def primary(self, key: str) -> RedisServer:
        """See `Store.primary`."""
        del key
        return self.servers[0]

    async def settles(self) -> None:
        """See `Store.settles`."""

    async def add_replica(self, upstream: int) -> RedisServer:
        """Start a replica of whatever is at a port, and wait until it follows."""
        replica = RedisServer(
            self._directory, *self._options, "--replicaof", "127.0.0.1", str(upstream)
        )
        self._replicas.append(replica)
        await replica.start()
        await until(lambda: _follows(replica), "the replica follows")
        return replica

    async def promote(self, replica: RedisServer) -> None:
        """Let a replica take the place of the server."""
        await replica.client.execute_command("REPLICAOF", "NO", "ONE")
        self._replicas.append(self.servers[0])
        self._replicas.remove(replica)
        self.servers = [replica]


class Replicated(Store):
    """Servers that put a replica in the place of a primary by themselves."""

    @abstractmethod
    async def fail_over(self, primary: RedisServer) -> None:
        """Have another server take the place of one that is well."""

    @abstractmethod
    async def is_replaced(self, primary: RedisServer) -> bool:
        """Whether all others know that another server has taken the place of one."""

    async def replaces(self, primary: RedisServer) -> None:
        """Wait until another server has taken the place of one."""
        await until(lambda: self.is_replaced(primary), "a replica takes over")

    @abstractmethod
    async def take_back(self, server: RedisServer) -> None:
        """Start a server again that was replaced, where the others need it."""


class Cluster(Replicated):
    """A cluster of three primaries with a replica each.

    The slots are cut so that the channels `a` and `b` are on two of them.
    """

    SLOTS = ((0, 9000), (9001, 12_000), (12_001, 16_383))

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        buses = [free_port() for _ in range(2 * len(self.SLOTS))]
        self.servers = [
            RedisServer(
                directory,
                *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
                *("--cluster-node-timeout", str(_NODE_TIMEOUT_MS)),
                *("--cluster-require-full-coverage", "no", *options),
            )
            for bus in buses
        ]
        # servers that know everything at once need not find each other
        ids = [secrets.token_hex(20) for _ in self.servers]
        for myself, server in enumerate(self.servers):
            lines = [
                self._line(number, ids, buses, is_myself=number == myself)
                for number in range(len(ids))
            ]
            lines.append("vars currentEpoch 3 lastVoteEpoch 0\n")
            (server.directory / "nodes.conf").write_text("\n".join(lines))

    def _line(
        self, number: int, ids: Sequence[str], buses: Sequence[int], *, is_myself: bool
    ) -> str:
        of = number % len(self.SLOTS)
        is_primary = number == of
        flags = ("myself," if is_myself else "") + ("master" if is_primary else "slave")
        slots = " {}-{}".format(*self.SLOTS[of]) if is_primary else ""
        return (
            f"{ids[number]} 127.0.0.1:{self.servers[number].port}@{buses[number]} {flags} "
            f"{'-' if is_primary else ids[of]} 0 0 {of + 1} connected{slots}"
        )

    async def start(self) -> None:
        """See `Store.start`."""
        await super().start()
        await self.settles()

    def environment(self) -> dict[str, str]:
        """See `Store.environment`."""
        return {"TOPOLOGY": "cluster"}

    def connections(self, follow: str) -> int:
        """See `Store.connections`."""
        return len(self.SLOTS) if follow == "channel" else 1

    async def primary(self, key: str) -> RedisServer:
        """See `Store.primary`."""
        view = await _view(self.servers[0])
        return self._at(view.primary_of(key_slot(key.encode())).port)

    async def settles(self) -> None:
        """See `Store.settles`."""
        await until(self._is_settled, "the cluster is whole")

    async def fail_over(self, primary: RedisServer) -> None:
        """See `Replicated.fail_over`."""
        myself = (await _view(primary)).myself
        # each knows best itself whom it follows since the last failover
        [replica] = [one for one in self.servers if (await _view(one)).follows() == myself]
        await replica.client.execute_command("CLUSTER FAILOVER")
        await self.replaces(primary)

    async def is_replaced(self, primary: RedisServer) -> bool:
        """See `Replicated.is_replaced`."""
        others = [server for server in self.servers if server is not primary]
        with contextlib.suppress(RedisError, OSError):
            views = [await _view(server) for server in others]
            return _agree(views) and primary.port not in views[0].owners()
        return False

    async def take_back(self, server: RedisServer) -> None:
        """See `Replicated.take_back`; the new primary has no other replica."""
        await server.start()

    async def primaries(self) -> list[RedisServer]:
        """Return the servers that have slots."""
        return [self._at(port) for port in (await _view(self.servers[0])).owners()]

    async def move_slot(self, key: str, target: RedisServer) -> None:
        """Move the slot of a key to another primary, as `redis-cli --cluster reshard` does."""
        slot = key_slot(key.encode())
        source = await self.primary(key)
        source_id, target_id = (await _view(source)).myself, (await _view(target)).myself
        give, take = source.client.execute_command, target.client.execute_command
        await take("CLUSTER SETSLOT", slot, "IMPORTING", source_id)
        await give("CLUSTER SETSLOT", slot, "MIGRATING", target_id)
        while names := await give("CLUSTER GETKEYSINSLOT", slot, 10):
            await give("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
        for tell in (take, give):
            await tell("CLUSTER SETSLOT", slot, "NODE", target_id)

    async def _is_settled(self) -> bool:
        with contextlib.suppress(RedisError, OSError):
            views = [await _view(server) for server in self.servers]
            primaries = set(views[0].owners())
            replicas = [server for server in self.servers if server.port not in primaries]
            return (
                _agree(views)
                and all([await _is_well(server) for server in self.servers])
                and all([await _follows(server) for server in replicas])
            )
        return False

    def _at(self, port: int) -> RedisServer:
        return next(server for server in self.servers if server.port == port)


class Sentinels(Replicated):
    """A primary with two replicas, watched by three Sentinels."""

    def __init__(self, directory: Path, options: Sequence[str] = ()) -> None:
        self._options = options
        primary = RedisServer(directory, *options)
        follow = ("--replicaof", "127.0.0.1", str(primary.port))
        self.servers = [primary, *(RedisServer(directory, *follow, *options) for _ in range(2))]
        self._sentinels = [SentinelServer(directory) for _ in range(3)]
        for sentinel in self._sentinels:
            (sentinel.directory / "sentinel.conf").write_text(
                f"sentinel monitor {SERVICE} 127.0.0.1 {primary.port} 2\n"
                f"sentinel down-after-milliseconds {SERVICE} {_DOWN_AFTER_MS}\n"
                f"sentinel failover-timeout {SERVICE} 4000\n"
            )

    async def start(self) -> None:
        """See `Store.start`."""
        await super().start()
        await asyncio.gather(*(sentinel.start() for sentinel in self._sentinels))
        for sentinel in self._sentinels:
            await sentinel.client.execute_command("SENTINEL", "DEBUG", *_QUICKLY)
        await self.settles()

    async def close(self) -> None:
        """See `Store.close`."""
        await super().close()
        await asyncio.gather(*(sentinel.close() for sentinel in self._sentinels))

    def environment(self) -> dict[str, str]:
        """See `Store.environment`."""
        ports = ",".join(str(sentinel.port) for sentinel in self._sentinels)
        return {"TOPOLOGY": "sentinel", "SENTINELS": ports}

    async def primary(self, key: str) -> RedisServer:
        """See `Store.primary`."""
        del key
        named = await self._named()
        assert named is not None, "the Sentinels do not agree"
        return named

    async def settles(self) -> None:
        """See `Store.settles`."""
        await until(self._is_settled, "one primary, which all others follow")

    async def fail_over(self, primary: RedisServer) -> None:
        """See `Replicated.fail_over`."""

        async def is_over() -> bool:
            # it says that a failover is under way, or gives up if the replica takes too long
            if await _named_by(self._sentinels[0]) == primary.port:
                with contextlib.suppress(RedisError):
                    await self._sentinels[0].client.execute_command("SENTINEL FAILOVER", SERVICE)
            return await self.is_replaced(primary)

        await until(is_over, "a replica takes over")

    async def is_replaced(self, primary: RedisServer) -> bool:
        """See `Replicated.is_replaced`."""
        named = await self._named()
        # a server whose role changes closes its connections
        with contextlib.suppress(RedisError, OSError):
            return named not in (None, primary) and await _role(named) == "master"
        return False

    async def take_back(self, server: RedisServer) -> None:
        """See `Replicated.take_back`; the other replica is enough."""

    async def _named(self) -> RedisServer | None:
        """Find what the Sentinels take for the primary, if they agree."""
        ports = {await _named_by(sentinel) for sentinel in self._sentinels}
        if len(ports) > 1:
            return None
        return next(server for server in self.servers if server.port in ports)

    async def _is_settled(self) -> bool:
        primary = await self._named()
        replicas = [one for one in self.servers if one.is_running and one is not primary]
        # a server whose role changes closes its connections
        with contextlib.suppress(RedisError, OSError):
            return (
                primary is not None
                and all([await self._knows_all(sentinel) for sentinel in self._sentinels])
                and await _role(primary) == "master"
                and all([await _follows(replica, primary) for replica in replicas])
            )
        return False

    async def _knows_all(self, sentinel: SentinelServer) -> bool:
        state = await sentinel.client.sentinel_master(SERVICE)
        return (state["num-slaves"], state["num-other-sentinels"]) == (2, 2)


class Member(NamedTuple):
    """A server, as one of a cluster sees it.

    Attributes:
        port: Its port.
        id: Its name in the cluster.
        primary_id: The name of its primary; `-` if it is one.
        slots: The ranges of slots that it owns.
    """

    port: int
    id: str
    primary_id: str
    slots: Sequence[tuple[int, int]]


class View(NamedTuple):
    """A cluster, as one of its servers sees it.

    Attributes:
        myself: The name of that server.
        members: All of them.
    """

    myself: str
    members: Sequence[Member]

    def follows(self) -> str:
        """Return the name of the server's primary; `-` if it is one."""
        return next(one.primary_id for one in self.members if one.id == self.myself)

    def owners(self) -> dict[int, Sequence[tuple[int, int]]]:
        """Return the slots of each server that has any, by its port."""
        return {one.port: one.slots for one in self.members if one.slots}

    def primary_of(self, slot: int) -> Member:
        """Find who owns a slot."""
        return next(
            one for one in self.members if any(low <= slot <= high for low, high in one.slots)
        )


async def _view(server: RedisServer) -> View:
    nodes: dict[str, dict[str, Any]] = await server.client.execute_command("CLUSTER NODES")
    members = [
        Member(
            int(address.partition("@")[0].rpartition(":")[2]),
            node["node_id"],
            node["master_id"],
            [(int(ends[0]), int(ends[-1])) for ends in node["slots"]],
        )
        for address, node in nodes.items()
    ]
    myself = (await server.client.execute_command("CLUSTER MYID")).decode()
    return View(myself, members)


def _agree(views: Sequence[View]) -> bool:
    return all(view.owners() == views[0].owners() for view in views)


async def _is_well(server: RedisServer) -> bool:
    state = await server.client.execute_command("CLUSTER INFO")
    return bool(state["cluster_state"] == "ok")


async def _role(server: RedisServer) -> str:
    return str((await server.client.info("replication"))["role"])


async def _follows(replica: RedisServer, primary: RedisServer | None = None) -> bool:
    state = await replica.client.info("replication")
    return state.get("master_link_status") == "up" and (
        primary is None or state["master_port"] == primary.port
    )


async def _named_by(sentinel: SentinelServer) -> int:
    return int((await sentinel.client.sentinel_get_master_addr_by_name(SERVICE))[1])
