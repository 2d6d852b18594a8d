"""Starting, refusing and failing: what a user of the broker is told, and how soon."""

from __future__ import annotations

import asyncio
import gc
import math
import time
import traceback
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from fastapi_sse_channels import (
    BrokerError,
    BrokerNotStartedError,
    ChannelManager,
    ConfigurationError,
    PublishError,
)
from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names

KEY = "note:1:events"
KEEPING = Retention(256, 1024 * 1024, 300)
BODY = event_body(b"1")


def publish(broker, **options):
    return broker.publish(KEY, BODY, KEEPING, **options)


def by_sentinel(**options):
    return RedisBroker.sentinel([("127.0.0.1", 1)], "main", **options)


class TestNotStarted:
    """The message says where to put the hook."""

    HOOK = r"Include the router .* in the application itself .* FastAPI\(lifespan=sse_lifespan"

    @pytest.mark.parametrize(
        "use",
        [
            lambda broker: broker.publish(KEY, BODY, KEEPING),
            lambda broker: broker.subscribe(KEY, KEEPING, lambda: None),
            lambda broker: broker.refresh(KEY),
            lambda broker: broker.total_sessions(KEY),
        ],
        ids=["publish", "subscribe", "refresh", "total_sessions"],
    )
    async def test_every_use_is_refused(self, redis_url, use):
        with pytest.raises(BrokerNotStartedError, match=self.HOOK):
            await use(RedisBroker(redis_url))

    async def test_python_subscription_is_refused(self, make_notes, redis_url):
        notes = make_notes(broker=redis_url)

        with pytest.raises(BrokerNotStartedError, match=self.HOOK):
            async with notes.manager.channel("1").subscribe():
                pass

    def test_router_in_a_mounted_application_is_refused(self, make_notes, redis_url, caplog):
        """Starlette does not run the lifespan of a mounted application."""
        app = FastAPI()
        app.mount("/mounted", make_notes(broker=redis_url).app)

        with TestClient(app) as client:
            response = client.get("/mounted/notes/1/events")

        assert response.status_code == 503
        assert "use FastAPI(lifespan=sse_lifespan(manager))" in caplog.text
        # anybody may ask
        assert response.json() == {
            "detail": "events are not available at present; the server's log says why"
        }

    def test_local_calls_never_fail(self, redis_url):
        broker = RedisBroker(redis_url)
        broker.unsubscribe(KEY)
        broker.report_sessions(KEY, 1)

        assert broker.forget(KEY) is False
        assert broker.is_healthy is False
        assert repr(broker).endswith("stopped>")


class TestStarting:
    async def refused(self, broker, match):
        began = time.monotonic()
        with pytest.raises(BrokerError, match=match):
            await broker.start()
        assert time.monotonic() - began < 4
        with pytest.raises(BrokerNotStartedError):
            await publish(broker)

    async def test_address_where_nobody_listens_is_named(self, unused_ports):
        [port] = unused_ports(1)
        broker = RedisBroker(f"redis://127.0.0.1:{port}", start_timeout=0.5)

        await self.refused(broker, rf"^Redis at 127.0.0.1:{port} cannot be used: Error 111 connect")

    async def test_host_that_does_not_exist_is_named(self):
        broker = RedisBroker("redis://no-such-host.invalid", start_timeout=2)

        await self.refused(broker, r"^Redis at no-such-host.invalid:6379 cannot be used: Error")

    async def test_hanging_server_is_given_up_in_time(self, server):
        server.pause()
        broker = RedisBroker(server.url, start_timeout=0.5)

        await self.refused(broker, "does not answer in time")
        server.go_on()

    @pytest.mark.parametrize("url", ["//", "//:wrong@", "//nobody:wrong@"])
    async def test_wrong_password_is_told_from_an_outage(self, server, url):
        server.client.config_set("requirepass", "secret")
        broker = RedisBroker(server.url.replace("//", url))

        await self.refused(broker, r"refuses the password or user: (Auth|WRONGPASS|invalid|user)")

    async def test_server_of_something_else_is_refused(self, unused_ports):
        [port] = unused_ports(1)
        async with await asyncio.start_server(answer_http, "127.0.0.1", port):
            broker = RedisBroker(f"redis://127.0.0.1:{port}", start_timeout=0.5)

            await self.refused(broker, "cannot be used: ")

    async def test_replica_is_refused(self, server):
        server.client.replicaof("127.0.0.1", 1)

        await self.refused(RedisBroker(server.url), "is a replica, or was demoted to one")

    async def test_server_that_is_no_cluster_is_refused(self, server):
        await self.refused(RedisBroker.cluster(server.url), "cannot be used: .*[Cc]luster")

    async def test_starts_at_the_same_time_are_one(self, server):
        broker = RedisBroker(server.url)
        await asyncio.gather(broker.start(), broker.start(), broker.start())

        assert len(server.subscribers()) == 1
        for _ in range(3):
            await publish(broker)
            await broker.stop()
        assert server.subscribers() == []

    async def test_start_that_failed_may_be_tried_again(self, server):
        server.client.config_set("requirepass", "secret")
        broker = RedisBroker(server.url)
        with pytest.raises(BrokerError):
            await broker.start()
        server.client.config_set("requirepass", "")

        await broker.start()
        await publish(broker)
        await broker.stop()

    @pytest.mark.parametrize("url", ["http://localhost", "localhost:6379", ""])
    def test_url_of_something_else_is_refused(self, url):
        with pytest.raises(
            ConfigurationError, match=r"is not a Redis URL .* use redis://host:port"
        ):
            RedisBroker(url)

    def test_empty_namespace_is_refused(self):
        with pytest.raises(ConfigurationError, match="name the application"):
            RedisBroker(namespace="")

    @pytest.mark.parametrize("follow", ["channels", "Pattern", None])
    def test_unknown_way_to_follow_is_refused(self, follow):
        with pytest.raises(ConfigurationError, match="use 'pattern' or 'channel'"):
            RedisBroker(follow=follow)

    @pytest.mark.parametrize("make", [RedisBroker, RedisBroker.cluster, by_sentinel])
    def test_numbers_are_checked(self, make):
        refused = {
            "publish_timeout": (0, math.inf),
            "start_timeout": (0,),
            "probe_interval": (0, math.inf),
            "check_interval": (0,),
            "max_connections": (2.5,),
        }
        for option, values in refused.items():
            for value in values:
                with pytest.raises(ConfigurationError, match=f"^{option}={value} must be"):
                    make(**{option: value})

    @pytest.mark.parametrize(
        ("broker", "shown"),
        [
            (RedisBroker("redis://user:secret@example.com:1/2"), "Redis at example.com:1"),
            (RedisBroker("redis://example.com:1?password=secret"), "Redis at example.com:1"),
            (
                RedisBroker.cluster("redis://user:secret@example.com:1"),
                "Redis Cluster at example.com:1",
            ),
            (
                RedisBroker.cluster("redis://example.com:1?password=secret"),
                "Redis Cluster at example.com:1",
            ),
        ],
    )
    def test_password_is_never_shown(self, broker, shown):
        assert repr(broker) == f"<RedisBroker {shown} stopped>"

    @pytest.mark.parametrize("make", [RedisBroker, RedisBroker.cluster])
    @pytest.mark.parametrize(
        "url",
        [
            "redis://user:secret@example.com:port/0",
            "redis://:secret/more@example.com:1",
            "redis://:secret?more@example.com:1",
            "redis://:secret//more@example.com:1",
            "redis://example.com:port?password=secret@",
        ],
    )
    def test_password_in_a_bad_url_is_never_shown(self, make, url):
        with pytest.raises(ConfigurationError, match="is not a Redis URL") as refused:
            make(url)

        assert "secret" not in "".join(traceback.format_exception(refused.value))


class TestFailing:
    """`publish` fails within two seconds, and the event is stored once at most."""

    async def fails(self, broker, match="in time", **options):
        began = time.monotonic()
        with pytest.raises(PublishError, match=match):
            await publish(broker, **options)
        assert time.monotonic() - began < 2.2

    async def test_when_the_server_is_gone(self, start_broker, server):
        broker = await start_broker()
        server.kill()

        await self.fails(broker, "cannot be used: ")

    async def test_when_the_server_hangs_and_each_runs_once(self, start_broker, server):
        broker = await start_broker()
        await publish(broker)
        server.client.config_resetstat()
        server.pause()
        await asyncio.gather(*(self.fails(broker, "in time") for _ in range(50)))
        server.go_on()

        # whatever reached the server while it hung has been run before this
        top = await publish(broker)
        server_side = server.client.xrange(Names("sse").log(KEY))
        assert len(server_side) == top.offset
        assert top.offset <= 52
        # the first was published before the calls were counted
        assert server.calls("evalsha") + server.calls("eval") == top.offset - 1

    async def test_retry_with_the_same_key_stores_once(self, start_broker, server):
        broker = await start_broker(publish_timeout=0.3)
        server.pause()
        for _ in range(5):
            await self.fails(broker, idempotency_key="once")
        server.go_on()
        await publish(broker, idempotency_key="once")

        assert server.client.xlen(Names("sse").log(KEY)) == 1

    async def test_other_calls_fail_as_soon(self, start_broker, server):
        broker = await start_broker(publish_timeout=0.3)
        server.pause()
        began = time.monotonic()
        for call in (
            broker.subscribe(KEY, KEEPING, lambda: None),
            broker.total_sessions(KEY),
        ):
            with pytest.raises(BrokerError, match="in time"):
                await call
        assert time.monotonic() - began < 2
        server.go_on()

    async def test_stop_ends_while_the_server_hangs(self, server):
        broker = RedisBroker(server.url)
        await broker.start()
        server.pause()
        began = time.monotonic()
        await broker.stop()

        assert time.monotonic() - began < 3
        server.go_on()

    async def test_publishes_wait_for_a_free_connection(self, start_broker, server):
        broker = await start_broker(max_connections=2)

        positions = await asyncio.gather(*(publish(broker) for _ in range(200)))

        assert sorted(position.offset for position in positions) == list(range(1, 201))
        assert len(server.client.client_list()) <= 4  # two, the reader, and this one


class TestOptionsOfTheUrl:
    OPTIONS = (
        "decode_responses=True",
        "socket_timeout=600&retry_on_timeout=True&health_check_interval=1",
        "protocol=3",
        "encoding=utf-16",
        "max_connections=3",
        "client_name=shop",
    )

    @pytest.mark.parametrize("options", OPTIONS)
    async def test_none_of_them_breaks_us(self, start_broker, server, follow, options, eventually):
        broker = await start_broker(f"{server.url}?{options}", publish_timeout=0.8)
        channel = await follow(broker)
        await channel.publish(1)
        server.client.publish(Names("sse").channel(KEY), b"\xff\xfe")
        await channel.publish(2)
        await eventually(lambda: channel.numbers() == [1, 2])

        server.pause()
        began = time.monotonic()
        with pytest.raises(PublishError):
            await publish(broker)
        assert time.monotonic() - began < 1.6
        server.go_on()


class TestIsolation:
    async def test_two_namespaces_never_hear_each_other(self, start_broker, follow, eventually):
        brokers = [await start_broker(namespace=name) for name in ("a", "ab", "a:ev", "*", "b")]
        await self.check(brokers, follow, eventually)

    async def test_two_databases_never_hear_each_other(
        self, start_broker, follow, eventually, server, caplog
    ):
        brokers = [await start_broker(f"{server.url}/{number}") for number in (0, 1, 11)]
        await self.check(brokers, follow, eventually)

        assert caplog.text == ""

    async def check(self, brokers, follow, eventually):
        channels = [await follow(broker) for broker in brokers]
        for _ in range(3):
            for number, channel in enumerate(channels):
                await channel.publish(number, idempotency_key=None)
        for number, channel in enumerate(channels):
            await eventually(lambda channel=channel: channel.log.top.offset == 3)
            assert channel.numbers() == [number] * 3
            channel.broker.report_sessions(channel.key, number + 1)
        assert [await channel.broker.total_sessions(channel.key) for channel in channels] == [
            number + 1 for number in range(len(channels))
        ]

    async def test_two_managers_never_hear_each_other(self, start_broker, make_notes, eventually):
        broker = await start_broker()
        names = [("note", "events"), ("note", "a"), ("note:1", "events"), ("no", "te:events")]
        managers = [
            make_notes(broker=broker, key_prefix=prefix, key_suffix=suffix).manager
            for prefix, suffix in names
        ]
        heard: list[list[str]] = [[] for _ in managers]

        async def listen(number):
            async with managers[number].channel("1").subscribe() as events:
                ready.append(number)
                async for event in events:
                    heard[number].append(event.text)

        ready: list[int] = []
        listening = [asyncio.create_task(listen(number)) for number in range(len(managers))]
        await eventually(lambda: len(ready) == len(managers))
        for number, manager in enumerate(managers):
            await manager.publish("1", {"type": "note", "text": str(number)})
        await eventually(lambda: all(heard))
        for task in listening:
            task.cancel()

        assert heard == [[str(number)] for number in range(len(managers))]

    def test_managers_of_one_broker_may_not_share_keys(self, make_notes, redis_url):
        broker = RedisBroker(redis_url)
        make_notes(broker=broker)

        with pytest.raises(ConfigurationError, match="two managers on one broker use the keys"):
            make_notes(broker=broker)


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("follow", ["pattern", "channel"])
def test_loop_closed_without_a_stop_harms_no_later_one(make_notes, redis_url, follow):
    broker = RedisBroker(redis_url, namespace=f"closed-{follow}", follow=follow)
    notes = make_notes(broker=broker)
    left_open = []

    async def use():
        await notes.manager.start()
        async with notes.manager.subscribe("1") as events:
            await notes.publish("a")
            text = (await anext(events)).text
        await notes.manager.stop()
        return text

    async def leave_open():
        await notes.manager.start()
        subscription = notes.manager.subscribe("1")
        await subscription.__aenter__()
        left_open.append(subscription)

    asyncio.run(leave_open())

    assert [asyncio.run(use()) for _ in range(2)] == ["a"] * 2
    assert broker.is_healthy is False
    left_open.clear()
    # what redis-py says of its connections on the closed loop belongs to this test
    gc.collect()


async def test_managers_of_one_broker_share_a_subscription(server, make_notes, eventually):
    broker = RedisBroker(server.url)
    managers: list[ChannelManager[Any]] = [
        make_notes(broker=broker, key_suffix=suffix).manager for suffix in "abc"
    ]
    for manager in managers:
        await manager.start()
    subscriptions = [manager.channel("1").subscribe() for manager in managers]
    for subscription in subscriptions:
        await subscription.__aenter__()

    assert len(server.subscribers()) == 1

    for subscription in subscriptions:
        await subscription.__aexit__(None, None, None)
    for manager in managers:
        await manager.stop()
    assert server.subscribers() == []
    await eventually(lambda: len(server.client.client_list()) == 1)


async def answer_http(reader, writer):
    await reader.readline()
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()
