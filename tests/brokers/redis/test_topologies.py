"""The Redis broker on a cluster and behind Sentinels, on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

from fastapi_sse_channels._errors import PublishError
from fastapi_sse_channels._log import Retention
from fastapi_sse_channels._wire import data_of, event_body
from fastapi_sse_channels.brokers.redis import RedisBroker

RETENTION = Retention(256, 1024 * 1024, 300)


def redis_at(port: int) -> Any:
    """Connect; redis-py's annotations mix up its blocking and its asynchronous client."""
    return Redis(port=port, socket_timeout=2)


def wait_until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(RedisError, OSError):
            if condition():
                return
        time.sleep(0.02)  # polling processes that cannot tell us
    raise AssertionError(f"never held: {condition}")


class Servers:
    """Redis processes on ports of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int, *arguments: str, config: str | None = None) -> Any:
        directory = self.directory / str(port)
        directory.mkdir(exist_ok=True)
        command = [shutil.which("redis-server") or "redis-server"]
        if config is not None:
            (directory / "redis.conf").write_text(config)
            command += ["redis.conf"]
        command += ["--port", str(port), "--bind", "127.0.0.1", *arguments]
        with (directory / "log").open("ab") as log:
            self.processes[port] = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        client = redis_at(port)
        wait_until(client.ping)
        return client

    def kill(self, port: int) -> None:
        self.processes[port].kill()
        self.processes[port].wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    if shutil.which("redis-server") is None and not os.environ.get("CI"):
        pytest.skip("redis-server is needed: apt-get install redis-server")
    started = Servers(tmp_path)
    yield started
    started.stop()


def cli(*arguments: str) -> None:
    subprocess.run(
        [shutil.which("redis-cli") or "redis-cli", *arguments], check=True, capture_output=True
    )


class Following:
    """A log, and everything that was ever appended to it."""

    def __init__(self, broker: RedisBroker, key: str) -> None:
        self.broker = broker
        self.key = key

    async def start(self) -> Following:
        self.log = await self.broker.subscribe(self.key, RETENTION, lambda: None)
        return self

    def numbers(self) -> list[int]:
        return [int(data_of(entry.frame)) for entry in self.log.entries]

    async def publish(self, number: int) -> None:
        await self.broker.publish(self.key, event_body(b"%d" % number), RETENTION)


async def published_anyhow(following: Following, number: int, seconds: float = 20) -> None:
    """Publish as a careful caller does: again after an error."""
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


@pytest.fixture
def cluster(servers: Servers, unused_ports: Callable[[int], list[int]]) -> list[int]:
    """Three primaries, and a replica of the first."""
    ports = unused_ports(4)
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--save", "")
    clients = [
        servers.start(port, *options, "--cluster-require-full-coverage", "no") for port in ports
    ]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    cli("--cluster", "create", *addresses[:3], "--cluster-yes")
    wait_until(lambda: all(map(is_whole, clients[:3])))
    primary = clients[0].execute_command("CLUSTER MYID")
    clients[3].execute_command("CLUSTER MEET", "127.0.0.1", ports[0])
    wait_until(lambda: clients[3].execute_command("CLUSTER REPLICATE", primary))
    wait_until(lambda: clients[3].info("replication")["master_link_status"] == "up")
    return ports


def is_whole(client: Any) -> bool:
    return bool(client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")


@pytest.mark.parametrize("follow", ["pattern", "channel"])
async def test_cluster_carries_every_channel_and_survives_a_failover(
    servers, cluster, follow, eventually
):
    broker = RedisBroker.cluster(
        f"redis://127.0.0.1:{cluster[1]}", follow=follow, probe_interval=0.5
    )
    await broker.start()
    try:
        channels = [await Following(broker, f"channel-{n}").start() for n in range(12)]
        for number in range(20):
            await asyncio.gather(*(channel.publish(number) for channel in channels))
        for channel in channels:
            await eventually(lambda channel=channel: channel.numbers() == list(range(20)))
        await eventually(lambda: caught_up(cluster[0]))

        servers.kill(cluster[0])
        for number in range(20, 40):
            await asyncio.gather(*(published_anyhow(channel, number) for channel in channels))
        for channel in channels:
            await eventually(
                lambda channel=channel: channel.numbers() == list(range(40)), timeout=15
            )
        await eventually(lambda: broker.is_healthy, timeout=15)
    finally:
        await broker.stop()


async def test_sharded_subscription_follows_a_slot_to_another_server(cluster, eventually):
    broker = RedisBroker.cluster(
        f"redis://127.0.0.1:{cluster[0]}", follow="channel", probe_interval=0.5
    )
    await broker.start()
    try:
        channels = [await Following(broker, f"channel-{n}").start() for n in range(12)]
        for channel in channels:
            await channel.publish(0)
        ids = [redis_at(port).execute_command("CLUSTER MYID").decode() for port in cluster[:3]]
        reshard = asyncio.create_task(
            asyncio.to_thread(
                cli,
                *("--cluster", "reshard", f"127.0.0.1:{cluster[0]}", "--cluster-yes"),
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
    finally:
        await broker.stop()


async def test_sentinel_failover_is_followed(servers, unused_ports, eventually):
    primary_port, replica_port, *sentinel_ports = unused_ports(5)
    servers.start(primary_port, "--save", "")
    replica = servers.start(replica_port, "--save", "", "--replicaof", f"127.0.0.1 {primary_port}")
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
        channel = await Following(broker, "channel").start()
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


def caught_up(port: int) -> bool:
    replication = redis_at(port).info("replication")
    return bool(replication["slave0"]["offset"] == replication["master_repl_offset"])
