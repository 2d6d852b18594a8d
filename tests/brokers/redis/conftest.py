"""Redis servers of a test's own, brokers on them, and channels that are followed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Connection
from redis.exceptions import RedisError

from fastapi_sse_channels._core.log import Log, Retention
from fastapi_sse_channels._core.position import Position
from fastapi_sse_channels._core.wire import data_of, event_body
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._node import Node
from fastapi_sse_channels.brokers.redis._scripts import PUBLISH, parse_position, publish_call
from fastapi_sse_channels.brokers.redis._subscriber import Subscriber

RETENTION = Retention(256, 1024 * 1024, 300)

GOOD = b"sse1 abc 7 n7 n6\ndata: {}\n\n"

NOT_OURS = {
    "empty": b"",
    "text": b"hello",
    "not UTF-8": b"\xff\xfe\xfd",
    "JSON": b'{"type":"note"}',
    "deep nesting": b"[" * 100_000 + b"]" * 100_000,
    "10 MB": b"x" * 10_000_000,
    "NUL": b"\0" * 64,
    "next version": GOOD.replace(b"sse1", b"sse2"),
    "earlier version": GOOD.replace(b"sse1", b"sse0"),
    "no version": GOOD.replace(b"sse1 ", b""),
    "upper case": GOOD.replace(b"sse1", b"SSE1"),
    "blank before": b" " + GOOD,
    "BOM before": b"\xef\xbb\xbf" + GOOD,
    "header alone": b"sse1 abc 7 n7 n6\n",
    "header without an end": b"sse1 abc 7 n7 n6",
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "field missing": GOOD.replace(b" n6", b""),
    "field too many": GOOD.replace(b"n6", b"n6 n5"),
    "offset 0": GOOD.replace(b" 7 ", b" 0 "),
    "offset below 0": GOOD.replace(b" 7 ", b" -7 "),
    "offset with zeros": GOOD.replace(b" 7 ", b" 07 "),
    "offset out of range": GOOD.replace(b" 7 ", b" %d " % 10**16),
    "offset not a number": GOOD.replace(b" 7 ", b" x "),
    "offset in other digits": GOOD.replace(b" 7 ", " \u0667 ".encode()),
    "epoch with a line": GOOD.replace(b"abc", b"a\nid: 1"),
    "epoch too long": GOOD.replace(b"abc", b"a" * 33),
    "nonce too long": GOOD.replace(b"n7", b"n" * 17),
    "body without data": b"sse1 abc 7 n7 n6\n{}\n\n",
    "body without an end": b"sse1 abc 7 n7 n6\ndata: {}\n",
    "two events": GOOD + b"data: {}\n\n",
    "id of its own": GOOD.replace(b"data", b"id: x\ndata"),
    "retry of its own": GOOD.replace(b"data", b"retry: 1\ndata"),
    "CR in the data": GOOD.replace(b"{}", b"{\r}"),
    "NUL in the data": GOOD.replace(b"{}", b"{\0}"),
}


class Servers:
    """Redis processes on ports of their own."""

    def __init__(self, program: str, directory: Path) -> None:
        self.program = program
        self.directory = directory
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int, *arguments: str, config: str | None = None) -> Redis:
        directory = self.directory / str(port)
        directory.mkdir(exist_ok=True)
        command = [self.program]
        if config is not None:
            (directory / "redis.conf").write_text(config)
            command += ["redis.conf"]
        command += ["--port", str(port), "--bind", "127.0.0.1", *arguments]
        with (directory / "log").open("ab") as log:
            self.processes[port] = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)
        client = Redis(port=port, socket_timeout=2)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with contextlib.suppress(RedisError, OSError):
                client.ping()
                return client
            time.sleep(0.02)  # polling a process that cannot tell us
        raise AssertionError((directory / "log").read_text())

    def kill(self, port: int) -> None:
        self.processes[port].kill()
        self.processes[port].wait()

    def signal(self, port: int, number: int) -> None:
        self.processes[port].send_signal(number)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def start_servers(
    tmp_path_factory: pytest.TempPathFactory, redis_server: str
) -> Callable[[], contextlib.AbstractContextManager[Servers]]:
    """Servers that are stopped at the end of a `with`."""

    @contextlib.contextmanager
    def start() -> Iterator[Servers]:
        started = Servers(redis_server, tmp_path_factory.mktemp("redis"))
        try:
            yield started
        finally:
            started.stop()

    return start


@pytest.fixture
def since_redis_7(redis_version: tuple[int, ...]) -> None:
    """Skips what Redis 6.2 does not have: sharded pub/sub, and scripts that ask for rights."""
    if redis_version < (7,):
        pytest.skip("needs Redis 7")


@pytest.fixture
def servers(start_servers) -> Iterator[Servers]:
    """Servers of the test's own."""
    with start_servers() as started:
        yield started


@dataclass
class OwnServer:
    """A server that a test may break."""

    servers: Servers
    port: int
    client: Redis

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def pause(self) -> None:
        self.servers.signal(self.port, signal.SIGSTOP)

    def go_on(self) -> None:
        self.servers.signal(self.port, signal.SIGCONT)

    def kill(self) -> None:
        self.servers.kill(self.port)

    def names(self) -> list[str]:
        return sorted(key.decode() for key in self.client.scan_iter())

    def subscribers(self) -> list[dict[str, str]]:
        """The connections that listen."""
        return [one for one in self.client.client_list() if int(one["sub"]) or int(one["psub"])]

    def subscribed(self) -> list[str]:
        """The channels that somebody listens to, but for the probes."""
        names: list[Any] = self.client.pubsub_channels()
        return sorted(name.decode() for name in names if b"probe" not in name)

    def commands_run(self) -> set[str]:
        """The commands that clients ran so far, but for those that this class runs itself."""
        own = {"exists", "info", "ping", "pubsub", "pubsub|channels"}
        stats: dict[str, Any] = self.client.info("commandstats")
        return {
            name.removeprefix("cmdstat_")
            for name, stat in stats.items()
            if stat["calls"] > stat["failed_calls"]
        } - own

    def calls(self, command: str) -> int:
        """How often a command was run."""
        stats = self.client.info("commandstats")
        return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.fixture
def server(servers: Servers, unused_ports) -> OwnServer:
    [port] = unused_ports(1)
    return OwnServer(servers, port, servers.start(port, "--save", ""))


StartBroker = Callable[..., Awaitable[RedisBroker]]


@pytest.fixture
async def start_broker(server: OwnServer) -> AsyncIterator[StartBroker]:
    """Start a broker on the test's own server."""
    started: list[RedisBroker] = []

    async def start(url: str | None = None, **options) -> RedisBroker:
        broker = RedisBroker(url or server.url, **options)
        await broker.start()
        started.append(broker)
        return broker

    yield start
    for broker in started:
        await broker.stop()


@dataclass
class Following:
    """A channel, and its log as a process holds it."""

    broker: RedisBroker
    key: str
    retention: Retention
    log: Log

    def numbers(self) -> list[int]:
        return [int(data_of(entry.frame)) for entry in self.log.entries]

    async def publish(self, *numbers: int, **options) -> list[Position]:
        return [
            await self.broker.publish(self.key, event_body(b"%d" % n), self.retention, **options)
            for n in numbers
        ]

    async def shows(self, *numbers: int) -> None:
        """Wait until the log holds exactly these."""
        try:
            async with asyncio.timeout(5):
                while self.numbers() != list(numbers):  # noqa: ASYNC110  # a log has no event
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{self.numbers()} instead of {numbers}") from None

    def leave(self) -> None:
        self.broker.unsubscribe(self.key)


Follow = Callable[..., Awaitable[Following]]


@pytest.fixture
def follow() -> Follow:
    """Follow a channel."""

    async def start(
        broker: RedisBroker, key: str = "note:1:events", retention: Retention = RETENTION
    ) -> Following:
        return Following(
            broker, key, retention, await broker.subscribe(key, retention, lambda: None)
        )

    return start


@pytest.fixture
def stored_log(start_broker: StartBroker, follow: Follow) -> Callable[..., Awaitable[Log]]:
    """The log of a process that begins to follow a channel now."""

    async def read(key: str = "note:1:events", retention: Retention = RETENTION) -> Log:
        return (await follow(await start_broker(), key, retention)).log

    return read


@pytest.fixture(params=NOT_OURS)
def poison(request: pytest.FixtureRequest) -> bytes:
    """A message that this library does not write."""
    return NOT_OURS[request.param]


@pytest.fixture
def poisons() -> list[bytes]:
    """All of them."""
    return list(NOT_OURS.values())


NAMES = Names("sse")
KEY = "note:1:events"
# keeps all that the tests of long histories publish
LONG = Retention(16_000, 64 * 1024 * 1024, 300)


@pytest.fixture
def publish_unheard(server: OwnServer) -> Callable[[bytes], Position]:
    """Store an event as if its message were still on the way, and return its position."""

    def publish(body: bytes) -> Position:
        keys, arguments = publish_call(NAMES, KEY, event_body(body), RETENTION)
        arguments[0] = "elsewhere"
        return parse_position(server.client.eval(PUBLISH.text, len(keys), *keys, *arguments))

    return publish


@pytest.fixture
def publish_many(server: OwnServer) -> Callable[..., None]:
    """Publish numbers as another process would, a thousand at a time."""

    def publish(numbers: Iterable[int], *, channel: str | None = None, size: int = 2) -> None:
        server.client.script_load(PUBLISH.text)
        pipeline = server.client.pipeline(transaction=False)
        for number in numbers:
            body = event_body(b"%d" % number + b" " * (size - 2))
            keys, arguments = publish_call(NAMES, KEY, body, LONG)
            arguments[0] = channel or arguments[0]
            pipeline.evalsha(PUBLISH.sha1, len(keys), *keys, *arguments)
            if number % 1000 == 999:
                pipeline.execute()
        pipeline.execute()

    return publish


@pytest.fixture
async def node(start_broker: StartBroker) -> Node:
    """A node that hears of events by their messages alone."""
    broker = await start_broker(check_interval=600)
    assert broker._node is not None
    return broker._node


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, bytes]] = []
        self.connected = 0
        self.errors: list[BaseException] = []

    def on_message(self, channel: bytes, payload: bytes) -> None:
        self.messages.append((channel, payload))

    def on_connected(self) -> None:
        self.connected += 1

    def on_disconnected(self, error: BaseException) -> None:
        self.errors.append(error)


StartSubscriber = Callable[..., Awaitable[tuple[Subscriber, Heard]]]


@pytest.fixture
async def start_subscriber(server: OwnServer) -> AsyncIterator[StartSubscriber]:
    """Start a subscriber with a listener."""
    subscribers: list[Subscriber] = []

    async def start(*, seconds: float = 5, **options) -> tuple[Subscriber, Heard]:
        heard = Heard()
        subscriber = Subscriber(
            lambda: Connection(port=server.port, socket_timeout=None, protocol=2), heard, **options
        )
        subscribers.append(subscriber)
        await subscriber.start(seconds)
        return subscriber, heard

    yield start
    for subscriber in subscribers:
        await subscriber.stop()
