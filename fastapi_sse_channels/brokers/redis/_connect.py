"""Clients and connections of redis-py, set up so that nothing hangs or happens twice.

Its defaults retry a command ten times with five seconds each: a publish to a hung server was
executed twice and took a minute (measured with 8.1).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from ..._errors import ConfigurationError
from .._address import without_password

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


# seconds for which the other Sentinels are waited for, once one has answered or not
_SENTINEL_PATIENCE = 0.25


class Connector(Protocol):
    """Makes the connections of a started broker; there is one for each start.

    Attributes:
        client: The redis-py client for commands.
        is_sharded: Whether each server carries its own pub/sub channels only.
        may_move: Whether another server may take the place of one that still answers as if nothing
            had happened.
        database: The number of the database.
    """

    client: Any
    is_sharded: bool
    may_move: bool
    database: int

    def shards(self) -> Sequence[str]:
        """Name the servers that carry channels; one without a name if all carry all."""
        ...

    def shard_of(self, channel: str) -> str:
        """Name the server that carries a channel."""
        ...

    def subscriber_connection(self, shard: str) -> AbstractConnection:
        """Return a new connection that waits for messages without a time limit."""
        ...

    async def find_servers(self) -> None:
        """Learn which servers there are now.

        Raises:
            RedisError: None of them answers.
        """
        ...

    async def has_moved(self) -> bool:
        """Find out whether another server took the place of one since the last call.

        The client uses that server then; whoever listens has to connect anew.

        Raises:
            RedisError: Nobody knows.
        """
        ...

    async def drop_connections(self) -> None:
        """Close the client's connections; the next command makes a new one."""
        ...

    async def close(self) -> None:
        """Close everything."""
        ...


class PoolConnector:
    """Connections of one pool, to a single server."""

    is_sharded = False
    may_move = False

    def __init__(self, client: Redis) -> None:
        """Take over a client."""
        self.client = client
        self.database = database_of(client)

    def __repr__(self) -> str:
        """Name the server, without its password."""
        return f"Redis at {address_of(self.client)}"

    def shards(self) -> Sequence[str]:
        """See `Connector.shards`."""
        return ("",)

    def shard_of(self, channel: str) -> str:
        """See `Connector.shard_of`."""
        del channel
        return ""

    async def find_servers(self) -> None:
        """See `Connector.find_servers`; there is one."""

    async def has_moved(self) -> bool:
        """See `Connector.has_moved`."""
        return False

    def subscriber_connection(self, shard: str) -> AbstractConnection:
        """See `Connector.subscriber_connection`."""
        del shard
        pool = self.client.connection_pool
        # redis-py takes a dead socket for a quiet one where the connection has a time limit
        connection: AbstractConnection = pool.connection_class(
            **{**pool.connection_kwargs, "socket_timeout": None}
        )
        return connection

    async def drop_connections(self) -> None:
        """See `Connector.drop_connections`."""
        await self.client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """See `Connector.close`."""
        await self.client.aclose(close_connection_pool=True)


class SentinelConnector(PoolConnector):
    """Connections to the primary that Sentinels name.

    redis-py asks them for each new connection. But a primary that was replaced while it still
    answers takes events for many seconds more, until they make it a replica and these are lost.
    """

    may_move = True

    def __init__(self, client: Redis, sentinels: Sequence[Redis]) -> None:
        """Take over a client, and those that tell it where to connect."""
        super().__init__(client)
        self._sentinels = sentinels
        self._primary: tuple[str, int] | None = None

    def __repr__(self) -> str:
        """Name the service."""
        pool: Any = self.client.connection_pool
        return f"Redis at {pool.service_name}"

    async def find_servers(self) -> None:
        """See `Connector.find_servers`."""
        # whoever connects hears of it if none of them answers
        with contextlib.suppress(RedisError, OSError):
            await self.has_moved()

    async def has_moved(self) -> bool:
        """See `Connector.has_moved`."""
        pool: Any = self.client.connection_pool
        before, self._primary = self._primary, await pool.get_master_address()
        if before in {None, self._primary}:
            return False
        # those in use too, or they go back to the pool; a publish under way would be lost
        await pool.disconnect()
        return True

    async def close(self) -> None:
        """See `Connector.close`."""
        for client in (self.client, *self._sentinels):
            await client.aclose(close_connection_pool=True)


class _Named(NamedTuple):
    """What a Sentinel says of a service; the greatest is the best.

    Attributes:
        epoch: Counts the failovers that it has heard of.
        is_usable: Whether it takes the primary for one that works.
        address: Of the primary.
    """

    epoch: int
    is_usable: bool
    address: tuple[str, int]


class NewestSentinel(Sentinel):
    """Sentinels of which the one counts that has heard of the latest failover.

    redis-py takes the word of the first that answers, and reads a list in which a server that was
    replaced stands until each replica has heard of the new one. Processes that ask different
    Sentinels would use different primaries meanwhile.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the primary's address.

        Raises:
            RedisError: None of them knows.
        """
        asked = {asyncio.ensure_future(self._ask(each, service_name)) for each in self.sentinels}
        try:
            done, waiting = await asyncio.wait(asked, timeout=_SENTINEL_PATIENCE)
            while waiting and not any(task.exception() is None for task in done):
                more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                done |= more
        finally:
            for task in asked:
                task.cancel()
        named = [task.result() for task in done if task.exception() is None]
        best = max(named, default=None)
        if best is None or not best.is_usable:
            msg = f"no Sentinel knows a primary of {service_name!r} that works"
            raise MasterNotFoundError(msg)
        return best.address

    async def _ask(self, sentinel: Any, service_name: str) -> _Named:
        state = await sentinel.sentinel_master(service_name)
        address = await sentinel.sentinel_get_master_addr_by_name(service_name)
        # what it says of the server that it lists means nothing for the one that it names
        is_other = address != (state["ip"], state["port"])
        is_usable = is_other or self.check_master_state(state, service_name)
        return _Named(int(state["config-epoch"]), is_usable, address)


class WaitingSentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Connections to the primary; a command that finds none free waits for one."""


class WaitingCluster(RedisCluster):
    """A client whose commands wait for a free connection, where redis-py's fail."""

    def __init__(self, *, max_connections: int, **options: Any) -> None:
        """Prepare a client."""
        # asking which server a command belongs to takes a connection beside that of the command
        super().__init__(max_connections=2 * max_connections, **options)
        self._turns = asyncio.Semaphore(max_connections)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command once a connection is free."""
        async with self._turns:
            return await super().execute_command(*args, **options)


class ClusterConnector:
    """Connections to the primaries of a Redis Cluster."""

    def __init__(self, url: str, *, seconds: float, max_connections: int, sharded: bool) -> None:
        """Prepare; nothing is connected yet.

        Args:
            url: Any server of the cluster.
            seconds: Time limit of each command.
            max_connections: Commands that are under way at once.
            sharded: Whether each server carries its own channels only.
        """
        self.database = 0  # a cluster has no other
        self.may_move = False  # a server that was replaced redirects, or refuses
        self.is_sharded = sharded
        self._url = url
        options = {**options_for(seconds), "max_connections": max_connections}
        self.client: Any = WaitingCluster.from_url(_without(url, options), **options)

    def __repr__(self) -> str:
        """Name the cluster, without its password."""
        return f"Redis Cluster at {without_password(self._url).rpartition('//')[2]}"

    def shards(self) -> Sequence[str]:
        """See `Connector.shards`."""
        return [node.name for node in self.client.get_primaries()] if self.is_sharded else [""]

    def shard_of(self, channel: str) -> str:
        """See `Connector.shard_of`."""
        return str(self.client.get_node_from_key(channel).name) if self.is_sharded else ""

    async def find_servers(self) -> None:
        """See `Connector.find_servers`."""
        # the first command other than EVALSHA fails with an AttributeError otherwise
        await self.client.initialize()
        await self.client.nodes_manager.initialize()

    async def has_moved(self) -> bool:
        """See `Connector.has_moved`."""
        return False

    def subscriber_connection(self, shard: str) -> AbstractConnection:
        """See `Connector.subscriber_connection`."""
        # plain pub/sub reaches every server of a cluster, so any will do
        node = self.client.get_node(node_name=shard) if shard else self._any_primary()
        if node is None:
            msg = f"{shard} is not part of the cluster any more"
            raise RedisConnectionError(msg)
        connection: AbstractConnection = node.connection_class(
            **{**node.connection_kwargs, "socket_timeout": None}
        )
        return connection

    async def drop_connections(self) -> None:
        """See `Connector.drop_connections`."""
        for node in self.client.get_nodes():
            await node.disconnect_free_connections()

    async def close(self) -> None:
        """See `Connector.close`."""
        await self.client.aclose()

    def _any_primary(self) -> Any:
        return random.choice(self.client.get_primaries())


def url_error(url: str, error: ValueError) -> ConfigurationError:
    """Make the error of a URL that redis-py refuses, without anything of its password.

    redis-py's own text may quote a piece of it: where a password holds `/`, the part before that
    is taken for a port.
    """
    shown = without_password(url)
    if "@" in url:
        msg = (
            f"{shown!r} is not a Redis URL; use redis://user:password@host:port/db, with the "
            "special characters of a password percent-encoded"
        )
    else:
        msg = f"{shown!r} is not a Redis URL ({error}); use redis://host:port/db"
    return ConfigurationError(msg)


def address_of(client: Any) -> str:
    """Name the server of a client, without its password."""
    options = client.connection_pool.connection_kwargs
    return str(
        options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    )


def database_of(client: Any) -> int:
    """Return the number of the client's database."""
    return int(client.connection_pool.connection_kwargs.get("db") or 0)


def connect_to_server(url: str, *, seconds: float, max_connections: int) -> PoolConnector:
    """Prepare connections to one server; nothing is connected yet.

    Raises:
        ValueError: The URL is not one of Redis.
    """
    pool = BlockingConnectionPool.from_url(
        url, max_connections=max_connections, timeout=seconds, **options_for(seconds)
    )
    # the URL's own options win over arguments, but these are not for the user to choose
    pool.connection_kwargs.update(options_for(seconds))
    return PoolConnector(Redis.from_pool(pool))


def connect_through_sentinel(
    sentinels: Sequence[tuple[str, int]],
    service: str,
    *,
    seconds: float,
    max_connections: int,
    options: dict[str, Any],
) -> SentinelConnector:
    """Prepare connections to the primary that Sentinels name at each connect."""
    untyped: Any = NewestSentinel
    manager = untyped(list(sentinels), sentinel_kwargs=options_for(seconds))
    client = manager.master_for(
        service,
        connection_pool_class=WaitingSentinelPool,
        max_connections=max_connections,
        timeout=seconds,
        **{**options, **options_for(seconds)},
    )
    return SentinelConnector(client, manager.sentinels)


def _without(url: str, options: Mapping[str, Any]) -> str:
    """Take options out of a URL's query, where they would win over arguments."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in options]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def options_for(seconds: float) -> dict[str, Any]:
    """Return redis-py's options for a client whose waits end after `seconds`."""
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        # Naming the library costs each connection two round trips, and from Redis 7.2 on a right
        # that the broker does not need.
        "driver_info": None,
        # one message that is not UTF-8 would end a decoding subscriber for ever
        "decode_responses": False,
        "encoding": "utf-8",
        "protocol": 2,
    }
