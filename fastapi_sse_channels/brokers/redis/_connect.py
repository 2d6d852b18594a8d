"""Clients and connections of redis-py, set up so that nothing hangs or happens twice.

Its defaults retry a command ten times with five seconds each: a publish to a hung server was
executed twice and took a minute (measured with 8.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection


class Connector(Protocol):
    """Makes what a started broker needs; one for each start."""

    client: Redis

    def reader_connection(self) -> AbstractConnection:
        """Return a new connection that waits for messages without a time limit."""
        ...

    async def drop_connections(self) -> None:
        """Close the client's connections; the next command makes a new one."""
        ...

    async def close(self) -> None:
        """Close everything."""
        ...


class PoolConnector:
    """Connections of one pool: a single server, or the primary that a Sentinel names."""

    def __init__(self, client: Redis) -> None:
        """Take over a client."""
        self.client = client

    def __repr__(self) -> str:
        """Name the server, without its password."""
        options = self.client.connection_pool.connection_kwargs
        host = options.get("path") or f"{options.get('host')}:{options.get('port')}"
        return f"Redis at {getattr(self.client.connection_pool, 'service_name', host)}"

    def reader_connection(self) -> AbstractConnection:
        """See `Connector.reader_connection`."""
        pool = self.client.connection_pool
        # with a time limit of its own, redis-py takes a dead socket for a quiet one
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


def connect_to_server(url: str, *, seconds: float, max_connections: int) -> PoolConnector:
    """Prepare connections to one server; nothing is connected yet.

    Raises:
        ValueError: The URL is not one of Redis.
    """
    pool = BlockingConnectionPool.from_url(
        url, max_connections=max_connections, timeout=seconds, **_options(seconds)
    )
    # the URL's own options win over arguments, but these are not for the user to choose
    pool.connection_kwargs.update(_options(seconds))
    return PoolConnector(Redis.from_pool(pool))


def connect_through_sentinel(
    sentinels: Sequence[tuple[str, int]],
    service: str,
    *,
    seconds: float,
    max_connections: int,
    options: dict[str, Any],
) -> PoolConnector:
    """Prepare connections to the primary that Sentinels name at each connect."""
    untyped: Any = Sentinel
    manager = untyped(list(sentinels), sentinel_kwargs=_options(seconds))
    client = manager.master_for(
        service, max_connections=max_connections, **{**options, **_options(seconds)}
    )
    return PoolConnector(client)


def _options(seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        # one message that is not UTF-8 would end a decoding subscriber for ever
        "decode_responses": False,
        "protocol": 2,
    }
