"""The Redis broker on a cluster and behind Sentinels."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels._errors import BrokerError, PublishError
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names

NAMES = Names("sse")
RETENTION = Retention(256, 1024 * 1024, 300)


def redis_at(port: int) -> Any:
    """Connect; redis-py's annotations mix up its blocking and its asynchronous client."""
    return Redis(port=port)


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError, OSError):
            if condition():
                return
        time.sleep(0.02)  # polling processes that cannot tell us
    raise AssertionError(f"never held: {condition}")


def cli(*arguments: str) -> None:
    done = subprocess.run(["redis-cli", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


async def published_anyhow(following, number: int, seconds: float = 20) -> None:
    """Publish again after an error, as a careful caller does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            await following.broker.publish(
                following.key,
                event_body(b"%d" % number),
                RETENTION,
                idempotency_key=f"number-{number}",
            )
        except PublishError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return


# a primary waits for more replicas before it sends the first one its data; here come no more
AT_ONCE = ("--save", "", "--repl-diskless-sync-delay", "0")
OF_A_CLUSTER = (
    *AT_ONCE,
    *("--cluster-enabled", "yes", "--cluster-node-timeout", "1000"),
    *("--cluster-require-full-coverage", "no"),
)


@pytest.fixture(scope="module")
def cluster(start_servers, unused_ports) -> Iterator[list[int]]:
    """A cluster for all tests that leave its servers and its slots as they are."""
    with start_servers() as servers:
        yield start_cluster(servers, unused_ports(4))


@pytest.fixture
def namespace() -> str:
    """Names of a test's own on servers that several use."""
    return secrets.token_hex(4)


@pytest.fixture(params=["pattern", "channel"])
def mode(request) -> str:
    """How the channels of a cluster are followed."""
    if request.param == "channel":
        request.getfixturevalue("since_redis_7")
    return str(request.param)


@pytest.fixture
def own_cluster(servers, unused_ports) -> list[int]:
    """A cluster that a test may break."""
    return start_cluster(servers, unused_ports(4))


def start_cluster(servers: Any, ports: list[int]) -> list[int]:
    """Start three primaries, and a replica of the first."""
    clients = [servers.start(port, *OF_A_CLUSTER) for port in ports]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    cli("--cluster", "create", *addresses[:3], "--cluster-yes")
    wait_until(lambda: all(map(is_whole, clients[:3])))
    primary = clients[0].execute_command("CLUSTER MYID")
    clients[3].execute_command("CLUSTER MEET", "127.0.0.1", ports[0])
    wait_until(lambda: clients[3].execute_command("CLUSTER REPLICATE", primary))
    wait_until(lambda: clients[3].info("replication")["master_link_status"] == "up")
    wait_until(lambda: agree(clients))
    return ports


def agree(clients: list[Any]) -> bool:
    """Whether all servers know each other's part, without which redis-cli changes nothing."""
    views = [
        {
            (node["node_id"], node["flags"].removeprefix("myself,"), str(node["slots"]))
            for node in client.execute_command("CLUSTER NODES").values()
        }
        for client in clients
    ]
    return all(view == views[0] and len(view) == len(clients) for view in views)


def is_whole(client: Any) -> bool:
    return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


def knows_primary(client: Any, node_id: str) -> bool:
    """A node told of by another is in the list before it is known to be a primary."""
    nodes = client.execute_command("CLUSTER NODES").values()
    return any(
        node["node_id"] == node_id and "master" in node["flags"] and node["connected"]
        for node in nodes
    )


async def test_cluster_taken_for_one_server_is_refused(cluster, namespace):
    """The error comes with the first channel of another server at the latest."""

    async def use(broker):
        await broker.start()
        try:
            for number in range(12):
                await broker.publish(f"channel-{number}", event_body(b"1"), RETENTION)
        finally:
            await broker.stop()

    for port in cluster[:3]:
        with pytest.raises(BrokerError, match=r"is part of a cluster .* use RedisBroker\.cluster"):
            await use(RedisBroker(f"redis://127.0.0.1:{port}", namespace=namespace))


async def test_cluster_carries_every_channel_through_a_failover(
    servers, own_cluster, mode, follow, eventually
):
    broker = RedisBroker.cluster(
        f"redis://127.0.0.1:{own_cluster[1]}", follow=mode, probe_interval=0.5
    )
    await broker.start()
    try:
        channels = [await follow(broker, f"channel-{n}") for n in range(12)]
        for number in range(20):
            await asyncio.gather(*(channel.publish(number) for channel in channels))
        for channel in channels:
            await eventually(lambda channel=channel: channel.numbers() == list(range(20)))
        await eventually(lambda: caught_up(own_cluster[0]))

        servers.kill(own_cluster[0])
        for number in range(20, 40):
            await asyncio.gather(*(published_anyhow(channel, number) for channel in channels))
        for channel in channels:
            await eventually(
                lambda channel=channel: channel.numbers() == list(range(40)), timeout=15
            )
        await eventually(lambda: broker.is_healthy, timeout=15)
    finally:
        await broker.stop()


@pytest.mark.usefixtures("since_redis_7")
async def test_sharded_subscription_follows_its_slot(own_cluster, follow, eventually):
    broker = RedisBroker.cluster(
        f"redis://127.0.0.1:{own_cluster[0]}", follow="channel", probe_interval=0.5
    )
    await broker.start()
    try:
        channels = [await follow(broker, f"channel-{n}") for n in range(12)]
        for channel in channels:
            await channel.publish(0)
        ids = [redis_at(port).execute_command("CLUSTER MYID").decode() for port in own_cluster[:3]]
        reshard = asyncio.create_task(
            asyncio.to_thread(
                cli,
                *("--cluster", "reshard", f"127.0.0.1:{own_cluster[0]}", "--cluster-yes"),
                *("--cluster-from", ids[0], "--cluster-to", ids[1], "--cluster-slots", "5000"),
            )
        )
        number = 1
        while not reshard.done():
            await asyncio.gather(*(published_anyhow(channel, number) for channel in channels))
            number += 1
        await reshard
        await asyncio.gather(*(published_anyhow(channel, number) for channel in channels))
        expected = list(range(number + 1))[-RETENTION.size :]
        for channel in channels:
            await eventually(lambda channel=channel: channel.numbers() == expected, timeout=15)
        # the slot of a probe may have moved too
        await eventually(lambda: broker.is_healthy, timeout=15)
        for channel in channels:
            await channel.publish(number + 1)
        for channel in channels:
            await eventually(lambda channel=channel: channel.numbers()[-1] == number + 1)
    finally:
        await broker.stop()


@pytest.mark.usefixtures("since_redis_7")
async def test_failover_during_a_repair_loses_no_channel(servers, own_cluster, follow, eventually):
    """What waits for a server that is given up has to go on at the next one."""
    broker = RedisBroker.cluster(
        f"redis://127.0.0.1:{own_cluster[1]}",
        follow="channel",
        probe_interval=0.3,
        publish_timeout=1,
    )
    await broker.start()
    try:
        node: Any = broker._node
        primary = f"127.0.0.1:{own_cluster[0]}"
        on_primary = [
            key
            for key in (f"channel-{n}" for n in range(60))
            if node._connector.shard_of(NAMES.channel(key)) == primary
        ]
        channels = [await follow(broker, key) for key in on_primary[:3]]
        for channel in channels:
            await channel.publish(0)
            await channel.shows(0)
        await eventually(lambda: caught_up(own_cluster[0]))

        servers.signal(own_cluster[0], signal.SIGSTOP)
        for channel in channels:
            hole = b"sse1 %s 9 n9 n8\ndata: 9\n\n" % channel.log.epoch.encode()
            node.on_message(NAMES.channel(channel.key).encode(), hole)

        await eventually(lambda: broker.is_healthy and node._links.get(primary) is None, timeout=20)
        for channel in channels:
            await published_anyhow(channel, 1)
        for channel in channels:
            await channel.shows(0, 1)
    finally:
        servers.signal(own_cluster[0], signal.SIGCONT)
        await broker.stop()


@pytest.mark.usefixtures("since_redis_7")
async def test_server_that_joins_later_carries_channels(
    servers, own_cluster, unused_ports, follow, eventually
):
    """The client hears of it by a redirection, before any subscription is lost."""
    broker = RedisBroker.cluster(
        f"redis://127.0.0.1:{own_cluster[0]}", follow="channel", probe_interval=0.5
    )
    await broker.start()
    try:
        [port] = unused_ports(1)
        joined = servers.start(port, *OF_A_CLUSTER)
        joined.execute_command("CLUSTER MEET", "127.0.0.1", own_cluster[0])
        everyone = [*map(redis_at, own_cluster), joined]
        slot = key_slot(b"channel-1")
        new_id = joined.execute_command("CLUSTER MYID").decode()
        wait_until(lambda: all(knows_primary(one, new_id) for one in everyone))
        for one in (joined, *map(redis_at, own_cluster[:3])):
            one.execute_command("CLUSTER SETSLOT", slot, "NODE", new_id)
        wait_until(lambda: all(map(is_whole, everyone)))

        # the first command of the slot is redirected, and redis-py takes note
        await broker.publish("channel-1", event_body(b"0"), RETENTION)
        channel = await follow(broker, "channel-1")
        await channel.publish(1)
        await channel.shows(0, 1)
        await eventually(lambda: broker.is_healthy, timeout=15)
    finally:
        await broker.stop()


async def test_cluster_listens_again_on_new_connections(
    cluster, namespace, mode, follow, eventually
):
    """One SSUBSCRIBE cannot name channels of different slots together."""
    url = f"redis://127.0.0.1:{cluster[0]}?decode_responses=True&encoding=utf-16"
    brokers = [
        RedisBroker.cluster(
            url, namespace=namespace, follow=mode, probe_interval=0.5, check_interval=600
        )
        for _ in range(2)
    ]
    for broker in brokers:
        await broker.start()
    try:
        channels = [await follow(brokers[0], f"channel-{n}") for n in range(12)]
        for number in range(3):
            for channel in channels:
                await channel.publish(number)
            for channel in channels:
                await channel.shows(*range(number + 1))
            for port in cluster[:3]:
                redis_at(port).client_kill_filter(_type="pubsub")

        for broker in brokers:
            broker.report_sessions("channel-1", 2)

        async def are_counted():
            return [await broker.total_sessions("channel-1") for broker in brokers] == [4, 4]

        await eventually(are_counted)
        await eventually(lambda: all(broker.is_healthy for broker in brokers))
    finally:
        for broker in brokers:
            await broker.stop()


async def test_cluster_makes_publishes_wait_their_turn(cluster, namespace):
    broker = RedisBroker.cluster(
        f"redis://127.0.0.1:{cluster[0]}", namespace=namespace, max_connections=4
    )
    await broker.start()
    try:
        await all_are_stored(broker)
        connected = [len(redis_at(port).client_list(_type="normal")) for port in cluster[:3]]
        assert max(connected) <= 10  # the cluster's own are none of this type
    finally:
        await broker.stop()


async def test_sentinel_makes_publishes_wait_their_turn(servers, unused_ports):
    primary_port, sentinel_port = unused_ports(2)
    primary = servers.start(primary_port, "--save", "")
    config = f"sentinel monitor main 127.0.0.1 {primary_port} 1\n"
    servers.start(sentinel_port, "--sentinel", config=config)
    broker = RedisBroker.sentinel([("127.0.0.1", sentinel_port)], "main", max_connections=4)
    await broker.start()
    try:
        await all_are_stored(broker)
        ours = [one for one in primary.client_list(_type="normal") if one["cmd"] == "evalsha"]
        assert len(ours) <= 4
    finally:
        await broker.stop()


async def all_are_stored(broker):
    positions = await asyncio.gather(
        *(broker.publish("channel", event_body(b"0"), RETENTION) for _ in range(300))
    )
    assert sorted(position.offset for position in positions) == list(range(1, 301))


async def test_primary_that_wants_a_replica_stores_nothing_without_one(servers, unused_ports):
    primary_port, replica_port = unused_ports(2)
    primary = servers.start(primary_port, *AT_ONCE, "--min-replicas-to-write", "1")
    broker = RedisBroker(f"redis://127.0.0.1:{primary_port}")
    await broker.start()
    try:
        for _ in range(2):
            with pytest.raises(PublishError, match=r"replicas keep up .* min-replicas-to-write"):
                await broker.publish("channel", event_body(b"1"), RETENTION, idempotency_key="k")
        assert primary.keys() == []

        servers.start(replica_port, *AT_ONCE, "--replicaof", "127.0.0.1", str(primary_port))
        wait_until(lambda: primary.info("replication")["min_slaves_good_slaves"] == 1)
        positions = [
            await broker.publish("channel", event_body(b"1"), RETENTION, idempotency_key="k")
            for _ in range(2)
        ]
        assert len(set(positions)) == 1
        assert len(await broker.subscribe("channel", RETENTION, lambda: None)) == 1
    finally:
        await broker.stop()


async def test_sentinel_failover_is_followed(servers, unused_ports, follow, eventually):
    primary_port, replica_port, *sentinel_ports = unused_ports(5)
    servers.start(primary_port, *AT_ONCE)
    replica = servers.start(replica_port, *AT_ONCE, "--replicaof", "127.0.0.1", str(primary_port))
    wait_until(lambda: replica.info("replication")["master_link_status"] == "up")
    for port in sentinel_ports:
        config = (
            f"sentinel monitor main 127.0.0.1 {primary_port} 2\n"
            "sentinel down-after-milliseconds main 800\nsentinel failover-timeout main 3000\n"
        )
        servers.start(port, "--sentinel", config=config)
    knows = [redis_at(port) for port in sentinel_ports]
    wait_until(lambda: all(len(one.sentinel_slaves("main")) == 1 for one in knows))
    wait_until(lambda: all(len(one.sentinel_sentinels("main")) == 2 for one in knows))

    broker = RedisBroker.sentinel(
        [("127.0.0.1", port) for port in sentinel_ports], "main", probe_interval=0.5
    )
    await broker.start()
    try:
        channel = await follow(broker, "channel")
        for number in range(20):
            await channel.publish(number)
        await eventually(lambda: channel.numbers() == list(range(20)))
        wait_until(lambda: caught_up(primary_port))

        servers.kill(primary_port)
        for number in range(20, 40):
            await published_anyhow(channel, number)
        await eventually(lambda: channel.numbers() == list(range(40)), timeout=15)
        await eventually(lambda: broker.is_healthy, timeout=15)
    finally:
        await broker.stop()


@dataclass
class Watched:
    """Servers with a Sentinel that fails over when it is told to.

    One replica hangs then, so that the failover does not end; and another Sentinel never hears of
    it, for its user may not subscribe.
    """

    servers: Any
    primary: int
    replica: int
    hanging: int
    sentinel: int
    ignorant: int

    def start(self) -> None:
        options = (
            *("--save", "", "--repl-diskless-sync-delay", "0"),
            *("--user", *["mute", "on", "nopass", "~*", "resetchannels", "+@all"]),
        )
        follow = (*options, "--replicaof", "127.0.0.1", str(self.primary))
        self.servers.start(self.primary, *options)
        replicas = [
            self.servers.start(self.replica, *follow),
            self.servers.start(self.hanging, *follow, "--replica-priority", "0"),
        ]
        wait_until(
            lambda: all(r.info("replication")["master_link_status"] == "up" for r in replicas)
        )
        config = f"sentinel monitor main 127.0.0.1 {self.primary} 1\n"
        sentinel = self.servers.start(self.sentinel, "--sentinel", config=config)
        wait_until(lambda: sorted(map(priority, sentinel.sentinel_slaves("main"))) == [0, 100])
        mute = "sentinel auth-user main mute\nsentinel auth-pass main x\n"
        self.servers.start(self.ignorant, "--sentinel", config=config + mute)

    def fail_over(self) -> None:
        wait_until(lambda: caught_up(self.primary))
        self.servers.signal(self.hanging, signal.SIGSTOP)
        sentinel = redis_at(self.sentinel)
        sentinel.execute_command("SENTINEL FAILOVER", "main")
        wait_until(lambda: sentinel.sentinel_get_master_addr_by_name("main")[1] == self.replica)

    def broker(self, **options) -> RedisBroker:
        addresses = [("127.0.0.1", port) for port in (self.ignorant, self.sentinel)]
        return RedisBroker.sentinel(addresses, "main", **options)


def priority(replica: dict[str, str]) -> int:
    return int(replica["slave-priority"])


@pytest.fixture
def watched(servers, unused_ports) -> Watched:
    them = Watched(servers, *unused_ports(5))
    them.start()
    return them


def listeners(port: int) -> list[dict[str, str]]:
    """The connections that listen, but for the Sentinel's own."""
    clients = redis_at(port).client_list(_type="pubsub")
    return [one for one in clients if not one["name"].startswith("sentinel-")]


async def test_primary_that_was_replaced_is_left_though_it_still_takes_events(
    watched, follow, eventually
):
    broker = watched.broker(probe_interval=2)
    await broker.start()
    try:
        channel = await follow(broker, "channel")
        await channel.publish(0)
        await channel.shows(0)

        watched.fail_over()
        # sooner than by two probes that are missed
        await eventually(lambda: listeners(watched.replica), timeout=3)
        await channel.publish(1)

        await channel.shows(0, 1)
        assert redis_at(watched.replica).xlen(broker._names.log("channel")) == 2
        assert redis_at(watched.primary).info("replication")["role"] == "master"
        await eventually(lambda: broker.is_healthy)
    finally:
        await broker.stop()


async def test_sentinels_are_asked_before_a_client_is_told_that_it_knows_too_much(watched, follow):
    brokers = [watched.broker(probe_interval=60) for _ in range(2)]
    await brokers[0].start()
    try:
        channel = await follow(brokers[0], "channel")
        await channel.publish(0)
        await channel.shows(0)
        watched.fail_over()
        await brokers[1].start()
        position = await brokers[1].publish("channel", event_body(b"1"), RETENTION)

        await brokers[0].refresh("channel")

        assert channel.log.gap(position) is None
        assert channel.numbers() == [0, 1]
    finally:
        for broker in brokers:
            await broker.stop()


async def test_channel_that_is_left_while_sentinels_are_asked_ends_the_wait(watched, follow):
    broker = watched.broker(probe_interval=60)
    await broker.start()
    try:
        channel = await follow(broker, "channel")
        waiting = asyncio.create_task(broker.refresh("channel"))
        await asyncio.sleep(0)
        channel.leave()

        with pytest.raises(BrokerError, match="no longer followed"):
            await waiting
    finally:
        await broker.stop()


def caught_up(port: int) -> bool:
    replication = redis_at(port).info("replication")
    replicas = [replication[f"slave{n}"] for n in range(replication["connected_slaves"])]
    return all(replica["offset"] == replication["master_repl_offset"] for replica in replicas)
