"""What a caller sees of a Redis that is away, slow, or damaged."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis

from fastapi_sse_channels import BrokerError, PublishError, SyncPublisher
from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels.brokers.redis import RedisBroker
from tests.faults.events import Numbered
from tests.faults.proxy import Proxy

RETENTION = Retention(256, 1024 * 1024, 300)
BODY = event_body(b"1")


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
async def proxy(redis_url):
    relay = Proxy(urlsplit(redis_url).port)
    await relay.start()
    yield relay
    await relay.stop()


@pytest.fixture
async def broker(proxy, new_resource):
    broker = RedisBroker(f"redis://127.0.0.1:{proxy.port}/0", namespace=f"outage-{new_resource()}")
    await broker.start()
    yield broker
    await broker.stop()


async def test_connection_closed_while_opening_fails_a_publish(proxy, broker, unused_ports):
    [proxy.upstream] = unused_ports(1)
    await proxy.reset()

    for _ in range(300):
        with pytest.raises(PublishError):
            await broker.publish("note", BODY, RETENTION)


async def disconnect(pool):
    await pool.disconnect(inuse_connections=True)


async def close_sockets(pool):
    for connection in pool._in_use_connections:
        if connection._writer is not None:
            connection._writer.close()


@pytest.mark.parametrize("close", [disconnect, close_sockets])
async def test_connection_closed_under_a_publish_fails_it(broker, close):
    """A cluster's client closes the connections of servers that have left, used or not."""
    pool = broker._node._connector.client.connection_pool
    failed = 0
    for turns in range(20):
        publishing = asyncio.create_task(broker.publish("note", BODY, RETENTION))
        for _ in range(turns):
            await asyncio.sleep(0)
        await close(pool)
        try:
            await publishing
        except PublishError:
            failed += 1

    assert failed
    assert await broker.publish("note", BODY, RETENTION)


async def test_publishes_to_a_hung_server_end_in_time(proxy, broker):
    async def seconds_until_error() -> float:
        began = time.monotonic()
        with pytest.raises(PublishError):
            await broker.publish("note", BODY, RETENTION)
        return time.monotonic() - began

    proxy.black_hole()
    took = await asyncio.gather(*(seconds_until_error() for _ in range(200)))

    # the two seconds that the contract allows, and two for a machine that is busy
    assert max(took) < 4


async def test_following_on_a_lost_connection_opens_no_other(proxy, new_resource, eventually):
    namespace = f"outage-{new_resource()}"
    broker = RedisBroker(f"redis://127.0.0.1:{proxy.port}/0", namespace=namespace, follow="channel")
    await broker.start()
    node: Any = broker._node
    [link] = node._links
    connection = link._subscriber._subscriptions.connection
    with Redis(port=proxy.upstream) as redis:
        # lost, and the subscriber did not get a turn since
        await connection.disconnect(nowait=True)
        with pytest.raises(BrokerError):
            await broker.subscribe("note", RETENTION, lambda: None)

        log = await broker.subscribe("note", RETENTION, lambda: None)
        await broker.publish("note", BODY, RETENTION)
        await eventually(lambda: len(log.entries) == 1)
        assert not connection.is_connected
        await broker.stop()
        await eventually(lambda: redis.client_list(_type="pubsub") == [])


async def test_script_over_a_slow_link_ends_in_time(proxy):
    """The link takes longer for a handshake and a command than a publish may."""
    proxy.slow_down(0.45)
    publisher = SyncPublisher(
        Numbered,
        broker=f"redis://127.0.0.1:{proxy.port}/1",
        key_prefix="slow",
        publish_timeout=1.2,
    )
    began = time.monotonic()

    with pytest.raises(PublishError, match="does not answer in time"):
        await asyncio.to_thread(publisher.publish, "1", Numbered(publisher="p", number=1))

    assert time.monotonic() - began < 1.8
    publisher.close()
