"""The broker for many processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from ..._checks import check_choice, check_finite, check_positive, check_whole
from ..._core.log import Log, Retention
from ..._errors import BrokerError, BrokerNotStartedError, PublishError
from .._base import Broker, SyncStore, closed_error
from ._blocking import BlockingStore
from ._connect import (
    ClusterConnector,
    Connector,
    connect_through_sentinel,
    connect_to_server,
    url_error,
)
from ._envelope import NotOursError
from ._errors import UNAVAILABLE, explain
from ._names import Names
from ._node import Follow, Node

if TYPE_CHECKING:
    from ..._core.position import Position


logger = logging.getLogger("fastapi_sse_channels")


class RedisBroker(Broker):
    """Keeps channels in Redis; each process receives events through one subscription.

    Publishing is one Lua script, so that storing and announcing are one step. What pub/sub loses
    (a restart, a kicked subscriber, a partition) is noticed by a new connection, a hole in the
    offsets, a broken chain of nonces, a position that moved without a message, or a probe that
    does not come back; the missing range is then read from the stream.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379/0",
        *,
        namespace: str = "sse",
        follow: Follow = "pattern",
        publish_timeout: float = 1.9,
        start_timeout: float = 5.0,
        probe_interval: float = 2.0,
        check_interval: float = 30.0,
        max_connections: int = 32,
        connect: Callable[[], Connector] | None = None,
    ) -> None:
        """Describe the broker; nothing is connected before `start`.

        Args:
            url: `redis://`, `rediss://` or `unix://`.
            namespace: Begins every key and channel name. Applications that share a database
                need different ones.
            follow: `"pattern"` receives the events of all channels through one subscription;
                `"channel"` subscribes to those that have a stream here, for fleets in which
                most events concern other nodes.
            publish_timeout: Seconds after which a publish or any other command fails. Of the two
                that `Broker` allows, the default leaves a tenth of a second to the event loop.
            start_timeout: Seconds to wait for the server when the application starts.
            probe_interval: Seconds between checks that the server still answers.
            check_interval: Seconds between checks that no event of a followed channel was stored
                without its message arriving here.
            max_connections: Connections for commands; the subscription has one more.
            connect: Makes the connections, in place of `url`.

        Raises:
            ConfigurationError: The URL is not one of Redis, or an option cannot work.
        """
        check_choice("follow", follow, Follow)
        check_positive(
            publish_timeout=publish_timeout,
            start_timeout=start_timeout,
            probe_interval=probe_interval,
            check_interval=check_interval,
        )
        check_finite(publish_timeout=publish_timeout, probe_interval=probe_interval)
        check_whole(max_connections=max_connections)
        self._follow: Follow = follow
        self._publish_timeout = publish_timeout
        self._start_timeout = start_timeout
        self._probe_interval = probe_interval
        self._check_interval = check_interval
        self._starts = 0
        self._is_closed = False
        self._node: Node | None = None
        self._starting: asyncio.Future[Node] | None = None
        self._stopping: asyncio.Future[None] | None = None
        self._namespace = namespace
        self._url = url if connect is None else None
        self._connect = connect or (
            lambda: connect_to_server(url, seconds=publish_timeout, max_connections=max_connections)
        )
        try:
            connector = self._connect()
        except ValueError as error:
            raise url_error(url, error) from None
        self._where = repr(connector)
        self._names = Names(namespace, connector.database)

    @classmethod
    def sentinel(
        cls,
        sentinels: Sequence[tuple[str, int]],
        service: str,
        *,
        publish_timeout: float = 1.9,
        max_connections: int = 32,
        connection_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> RedisBroker:
        """Use the primary that Redis Sentinels name.

        Args:
            sentinels: Host and port of each Sentinel.
            service: The name of the monitored primary.
            publish_timeout: See the constructor.
            max_connections: See the constructor.
            connection_options: Passed to redis-py for the primary, such as `password`.
            options: Other options of the constructor.
        """
        return cls(
            publish_timeout=publish_timeout,
            max_connections=max_connections,
            connect=lambda: connect_through_sentinel(
                sentinels,
                service,
                seconds=publish_timeout,
                max_connections=max_connections,
                options=connection_options or {},
            ),
            **options,
        )

    @classmethod
    def cluster(
        cls,
        url: str = "redis://localhost:6379",
        *,
        follow: Follow = "pattern",
        publish_timeout: float = 1.9,
        max_connections: int = 32,
        **options: Any,
    ) -> RedisBroker:
        """Use a Redis Cluster.

        Args:
            url: Any server of the cluster.
            follow: `"pattern"` receives the events of all channels through plain pub/sub, which a
                cluster carries to every server; `"channel"` uses sharded pub/sub (Redis 7), with
                one connection for each primary. All processes of a cluster need the same: events
                announced in one way reach those that listen in the other only when these look
                at the store, up to `check_interval` later.
            publish_timeout: See the constructor.
            max_connections: Commands under way at once; further ones wait.
            options: Other options of the constructor.
        """
        return cls(
            url,
            follow=follow,
            publish_timeout=publish_timeout,
            max_connections=max_connections,
            connect=lambda: ClusterConnector(
                url,
                seconds=publish_timeout,
                max_connections=max_connections,
                sharded=follow == "channel",
            ),
            **options,
        )

    def __repr__(self) -> str:
        """Show which server, and whether it answers."""
        state = "stopped" if self._node is None else "up" if self.is_healthy else "away"
        return f"<RedisBroker {self._where} {state}>"

    @property
    def store(self) -> Hashable:
        """See `Broker.store`: the server's address, the database and the namespace."""
        return self._where, self._names.pattern

    @property
    def is_healthy(self) -> bool:
        """Whether the server answers and events come through; a health check may ask."""
        return self._node is not None and self._node.is_healthy

    async def start(self) -> None:
        """See `Broker.start`.

        Raises:
            BrokerError: The server cannot be reached, or refuses; the message says what to do.
        """
        self._leave_closed_loop()
        while self._starting is not None:
            # two applications of one process may start side by side
            await asyncio.wait([self._starting])
        if self._starts == 0:
            self._starting = asyncio.ensure_future(self._new_node())
            try:
                self._node = await self._starting
            except UNAVAILABLE as error:
                raise BrokerError(self._explain(error)) from error
            except asyncio.CancelledError:
                if not self._starting.cancelled() and self._starting.exception() is None:
                    # the node was ready in the very turn in which the caller was cancelled
                    await self._starting.result().stop()
                raise
            finally:
                self._starting = None
        self._starts += 1
        self._is_closed = False

    async def stop(self) -> None:
        """See `Broker.stop`."""
        self._starts = max(0, self._starts - 1)
        if self._starts or self._node is None:
            return
        node, self._node = self._node, None
        self._is_closed = True
        # shielded: the node stops to the end even if the caller is cancelled
        self._stopping = asyncio.ensure_future(node.stop())
        await asyncio.shield(self._stopping)

    async def compare(self, keys: str, declaration: str) -> None:
        """See `Broker.compare`."""
        try:
            await self._started().compare(keys, declaration)
        except UNAVAILABLE:
            # full, or away again: a comparison keeps nobody from starting
            logger.debug("the declaration of %s cannot be compared", keys, exc_info=True)

    def sync_store(self) -> SyncStore:
        """See `Broker.sync_store`.

        Raises:
            ConfigurationError: The broker uses Sentinel, a cluster, or connections of its own.
        """
        if self._url is None:
            return super().sync_store()
        return BlockingStore(self._url, namespace=self._namespace, seconds=self._publish_timeout)

    async def publish(
        self, key: str, body: bytes, retention: Retention, *, idempotency_key: str | None = None
    ) -> Position:
        """See `Broker.publish`."""
        node = self._started()
        try:
            return await node.commands.publish(
                key, body, retention, idempotency_key=idempotency_key
            )
        except (*UNAVAILABLE, NotOursError) as error:
            raise PublishError(self._explain(error)) from error

    async def subscribe(
        self, key: str, retention: Retention, notify: Callable[[], bool | None]
    ) -> Log:
        """See `Broker.subscribe`."""
        node = self._started()
        try:
            return await node.following.follow(key, retention, notify)
        except (*UNAVAILABLE, NotOursError) as error:
            raise BrokerError(self._explain(error)) from error

    async def refresh(self, key: str) -> None:
        """See `Broker.refresh`."""
        node = self._started()
        try:
            await node.following.refresh(key)
        except (*UNAVAILABLE, NotOursError) as error:
            raise BrokerError(self._explain(error)) from error

    def unsubscribe(self, key: str) -> None:
        """See `Broker.unsubscribe`."""
        self._leave_closed_loop()
        if self._node is not None:
            self._node.following.unfollow(key)

    def report_sessions(self, key: str, count: int) -> None:
        """See `Broker.report_sessions`."""
        if self._node is not None:
            self._node.counts.set(key, count)

    async def total_sessions(self, key: str) -> int:
        """See `Broker.total_sessions`."""
        node = self._started()
        try:
            return await node.total_sessions(key)
        except UNAVAILABLE as error:
            raise BrokerError(self._explain(error)) from error

    def forget(self, key: str) -> bool:
        """See `Broker.forget`; a channel that is not followed is kept by Redis alone."""
        del key
        return False

    async def _new_node(self) -> Node:
        node = Node(
            self._connect(),
            self._names,
            follow=self._follow,
            command_timeout=self._publish_timeout,
            probe_interval=self._probe_interval,
            check_interval=self._check_interval,
        )
        await node.start(self._start_timeout)
        return node

    def _leave_closed_loop(self) -> None:
        # a loop that was closed without a `stop` has taken with it what the node had
        if self._node is not None and self._node.loop.is_closed():
            self._node = None
            self._starts = 0

    def _started(self) -> Node:
        if self._node is not None:
            return self._node
        if self._is_closed:
            raise closed_error(self)
        msg = (
            f"{self!r} was not started. Include the router made by create_sse_router in the "
            "application itself (the lifespan of a mounted application is never run, nor that of a "
            "router that another one includes after it was included itself), or use "
            "FastAPI(lifespan=sse_lifespan(manager)). A lifespan of your own publishes inside "
            "`async with sse_lifespan(manager):`"
        )
        raise BrokerNotStartedError(msg)

    def _explain(self, error: BaseException) -> str:
        return explain(error, self._where, self._names)
