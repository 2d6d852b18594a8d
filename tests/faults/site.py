"""The site of a fault: a store, two nodes, publishers and clients."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Literal

from fastapi_sse_channels._core.keys import KeySpace
from fastapi_sse_channels.brokers.redis._names import Names

from .clock import cpu_wait
from .events import KEY_PREFIX, NAMESPACE
from .outcome import Outcome
from .processes import NodeProcess, Process, RedisServer, until
from .proxy import Proxy
from .stores import OneServer, Replicated, Store
from .traffic import Client, NodePublisher, Publisher, ScriptPublisher
from .verdict import Truth, first_event_after, judge

# In the end a store may have lost no acknowledged event, some, or those that every client had
# received.
Loses = Literal["never", "maybe", "always"]

CHANNELS = ("a", "b")
CLIENTS_ON_EACH_NODE = 2
_PAUSE = 0.1
ENOUGH = 20

NAMES = Names(NAMESPACE)
KEYS = KeySpace(KEY_PREFIX, "events")


class Site:
    """A store, two nodes, and their traffic.

    Attributes:
        store: The store.
        proxies: Each between its server and those that the fault puts behind it.
        nodes: The nodes.
        clients: All clients.
        publishers: All publishers.
    """

    def __init__(
        self,
        directory: Path,
        outcome: Outcome,
        store: Store,
        *,
        loses: Loses,
        behind_proxies: Sequence[frozenset[int | str]],
        follow: Sequence[str],
    ) -> None:
        """Prepare.

        Args:
            directory: Holds the files of the nodes.
            outcome: The site fills it in.
            store: The site starts and closes it.
            loses: See `Fault`.
            behind_proxies: See `Fault`.
            follow: Each node's `follow` in turn; see `RedisBroker`.
        """
        self.directory = directory
        self.outcome = outcome
        self.store = store
        self._loses: Loses = loses
        self._behind_proxies = behind_proxies
        self._follow = follow
        self.proxies = [Proxy(store.servers[0].port) for _ in behind_proxies]
        self.nodes: list[NodeProcess] = []
        self.clients: list[Client] = []
        self.publishers: list[Publisher] = []
        self._healed_at = 0.0
        self._healing: list[Client] = []
        self._starved: dict[Process | None, float] = {}
        self._cleanup = AsyncExitStack()

    async def open(self) -> None:
        """Start everything but the publishers."""
        self._cleanup.push_async_callback(self.store.close)
        await self.store.start()
        for proxy in self.proxies:
            await proxy.start()
            self._cleanup.push_async_callback(proxy.stop)
        self.nodes = [
            NodeProcess(
                self.directory, self.port_for(number), follow=follow, **self.store.environment()
            )
            for number, follow in enumerate(self._follow)
        ]
        for node in self.nodes:
            self._cleanup.push_async_callback(node.close)
        await asyncio.gather(*(node.start() for node in self.nodes))
        for channel in CHANNELS:
            for number in range(len(self.nodes) * CLIENTS_ON_EACH_NODE):
                self.add_client(channel, number)
        await until(lambda: all(c.is_listening for c in self.clients), "every client listens")

    async def close(self) -> None:
        await asyncio.gather(*(publisher.abandon() for publisher in self.publishers))
        await asyncio.gather(*(client.leave() for client in self.clients))
        await self._cleanup.aclose()

    @property
    def redis(self) -> RedisServer:
        """The server of a store that has one."""
        return self.one_server.servers[0]

    @property
    def one_server(self) -> OneServer:
        """The store, where it is one server."""
        assert isinstance(self.store, OneServer)
        return self.store

    @property
    def replicated(self) -> Replicated:
        """The store, where it fails over by itself."""
        assert isinstance(self.store, Replicated)
        return self.store

    @property
    def proxy(self) -> Proxy:
        """The first proxy."""
        return self.proxies[0]

    def port_for(self, who: int | str) -> int:
        """The port at which a node or the scripts find a server."""
        ways = zip(self.proxies, self._behind_proxies, strict=True)
        server = self.store.servers[0]
        return next((proxy.port for proxy, behind in ways if who in behind), server.port)

    async def add_proxy(self, upstream: int) -> Proxy:
        proxy = Proxy(upstream)
        await proxy.start()
        self._cleanup.push_async_callback(proxy.stop)
        return proxy

    def add_client(self, channel: str, first: int) -> Client:
        client = Client(channel, self.nodes, first)
        self.clients.append(client)
        client.come()
        return client

    def add_publisher(self, publisher: Publisher) -> Publisher:
        self.publishers.append(publisher)
        publisher.start()
        return publisher

    async def publish(self) -> None:
        """Let both nodes and a script publish to every channel, and wait until it flows."""
        for node in self.nodes:
            await node.post("/watch")
        for channel in CHANNELS:
            for number, _ in enumerate(self.nodes):
                name = f"node-{number}"
                self.add_publisher(NodePublisher(name, channel, self.nodes, number, _PAUSE))
            if isinstance(self.store, OneServer):
                script = ScriptPublisher("script", channel, self.port_for("script"), _PAUSE)
                self.add_publisher(script)
        await self.heard_more(ENOUGH, self.clients)

    async def heard_more(self, count: int, clients: Sequence[Client]) -> None:
        """Wait until clients got more events."""
        goals = [(client, len(client.heard) + count) for client in clients]
        await until(lambda: all(len(c.heard) >= goal for c, goal in goals), "events arrive")

    @property
    def movers(self) -> list[Client]:
        """The clients that change nodes; of the others, each node keeps one on every channel."""
        return [client for client in self.clients if client.first < len(self.nodes)]

    async def bring_movers_to(self, number: int) -> None:
        """Cut their streams, and wait until each has asked a node to go on."""
        asked = [(client, client.asked[number]) for client in self.movers]
        for client in self.movers:
            client.go_to(number)
        await until(lambda: all(c.asked[number] > n for c, n in asked), f"all ask node {number}")

    @asynccontextmanager
    async def moving(self) -> AsyncIterator[None]:
        """Let clients change nodes meanwhile, one after the other."""
        task = asyncio.create_task(self._move())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _move(self) -> None:
        while True:
            for client in self.movers:
                client.go_on_elsewhere()
                await asyncio.sleep(_PAUSE)

    async def publishes_fail(self, *who: int | str) -> None:
        """Wait until publishing failed everywhere, or where it is said."""
        names = {f"node-{one}" if isinstance(one, int) else one for one in who}
        before = [(p, p.failures) for p in self.publishers if not who or p.name in names]
        await until(lambda: all(p.failures > count for p, count in before), "publishing fails")

    async def notices(self, *numbers: int) -> None:
        """Wait until nodes say that they are not healthy, and remember how long it took."""
        began = time.monotonic()

        async def is_unhealthy(node: NodeProcess) -> bool:
            state = await node.get("/watch")
            turned, is_healthy = state["health"][-1]
            if not is_healthy:
                self.outcome.noticed = max(self.outcome.noticed or 0.0, turned - began)
            return not is_healthy

        for number in numbers:
            node = self.nodes[number]
            await until(functools.partial(is_unhealthy, node), f"node {number} notices", 20)

    def healed(self, *clients: Client) -> None:
        """Say that from now on nothing is wrong, and all clients or some will hear of it."""
        self._starved = self._waits()
        self._healed_at = time.monotonic()
        self._healing = list(clients or self.clients)

    async def look_at(self, *numbers: int) -> None:
        """Record how long event loops stalled: those of some nodes, or of all that run."""
        for number, node in enumerate(self.nodes):
            if node.is_running and (not numbers or number in numbers):
                state = await node.get("/watch")
                self.outcome.stall = max(self.outcome.stall, state["stall"])

    async def conclude(self, quota: int) -> Outcome:
        """Publish until enough is acknowledged, wait until all is delivered, and judge."""
        outcome = self.outcome
        await until(lambda: self._heals_after() < float("inf"), "every client gets events again")
        outcome.healing_starved = sum(
            max(0, waited - self._starved[who]) for who, waited in self._waits().items()
        )
        await until(lambda: self.acknowledged() >= quota, "enough is acknowledged", 60)
        await asyncio.gather(*(publisher.stop() for publisher in self.publishers))
        await self.store.settles()
        await until(self._is_healthy, "every node that runs is healthy again")
        await until(self._nobody_else_listens, "connections that were lost are closed")
        await self.look_at()
        outcome.complaints += [line for p in self.publishers for line in p.surprises]
        outcome.complaints += [line for node in self.nodes for line in node.complaints()]
        truths = {channel: await self._truth(channel) for channel in self.channels()}
        for client in self.clients:
            truth = truths[client.channel]
            try:
                await until(functools.partial(_is_at_end, client, truth), "", 10)
            except AssertionError:
                outcome.complaints.append(f"a client of {client.channel} never came to the end")
            tally = judge(client.heard, truth)
            outcome.tally += tally
            if self._loses == "always" and tally.due_resets != 1:
                outcome.complaints.append(f"a client was due {tally.due_resets} resets, not one")
        outcome.acknowledged = self.acknowledged()
        outcome.forgotten = sum(len(truth.forgotten) for truth in truths.values())
        if self._loses == "never" and outcome.forgotten:
            outcome.complaints.append(f"the store lost {outcome.forgotten} events")
        outcome.failures = sum(publisher.failures for publisher in self.publishers)
        slowest = max(self.publishers, key=lambda publisher: publisher.slowest)
        outcome.slowest, outcome.starved = slowest.slowest, slowest.starved
        outcome.healed = self._heals_after()
        return outcome

    def _waits(self) -> dict[Process | None, float]:
        """What everything between a publisher and a client waited for a CPU so far, in seconds."""
        processes = (*self.store.servers, *self.nodes)
        return {None: cpu_wait(), **{process: process.waited() for process in processes}}

    def _heals_after(self) -> float:
        return max(first_event_after(c.heard, self._healed_at) for c in self._healing)

    async def _is_healthy(self) -> bool:
        states = [await node.get("/watch") for node in self.nodes if node.is_running]
        return all(state["health"][-1][1] for state in states)

    async def _nobody_else_listens(self) -> bool:
        connections = [
            self.store.connections(follow)
            for node, follow in zip(self.nodes, self._follow, strict=True)
            if node.is_running
        ]
        return await self.store.listening() == sum(connections)

    def acknowledged(self) -> int:
        return sum(len(publisher.acknowledged) for publisher in self.publishers)

    def channels(self) -> list[str]:
        return sorted({client.channel for client in self.clients})

    @staticmethod
    def key(channel: str) -> str:
        """The key in the store that holds a channel's position."""
        return NAMES.position(KEYS.key(channel))

    async def top(self, server: RedisServer, channel: str) -> int:
        """The offset that a server's log of a channel has come to."""
        return int(await server.client.hget(self.key(channel), "s") or 0)

    async def comes_to(self, server: RedisServer, channel: str, offset: int) -> None:
        """Wait until a server's log of a channel reaches an offset."""

        async def is_there() -> bool:
            return await self.top(server, channel) >= offset

        await until(is_there, f"{channel} comes to {offset}")

    async def _truth(self, channel: str) -> Truth:
        key = KEYS.key(channel)
        server = await self.store.primary(self.key(channel))
        state = await server.client.hgetall(self.key(channel))
        entries = await server.client.xrange(NAMES.log(key))
        epoch = state[b"e"].decode()
        self._check_store(channel, state, entries)
        acknowledged = {
            event_id
            for publisher in self.publishers
            if publisher.channel == channel
            for event_id in publisher.acknowledged
        }
        stored = [
            f"{epoch}.{entry_id.partition(b'-')[0].decode()}.{fields[b'n'].decode()}"
            for entry_id, fields in entries
        ]
        return Truth(acknowledged, stored, self._loses != "never")

    def _check_store(
        self,
        channel: str,
        state: dict[bytes, bytes],
        entries: list[tuple[bytes, dict[bytes, bytes]]],
    ) -> None:
        """Find what a publish left half done: position, bytes held and chain must agree."""
        nonces = [fields[b"n"] for _, fields in entries]
        offsets = [int(entry_id.partition(b"-")[0]) for entry_id, _ in entries]
        held = sum(len(fields[b"d"]) for _, fields in entries)
        agrees = (
            offsets == list(range(1, len(entries) + 1))
            and [fields[b"p"] for _, fields in entries[1:]] == nonces[:-1]
            and (int(state[b"s"]), state[b"n"], int(state[b"z"])) == (offsets[-1], nonces[-1], held)
        )
        if not agrees:
            self.outcome.complaints.append(f"the store of {channel} does not agree with itself")


def _is_at_end(client: Client, truth: Truth) -> bool:
    return client.last_event_id == truth.stored[-1]
