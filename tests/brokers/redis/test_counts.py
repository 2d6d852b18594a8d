"""Sessions counted over several processes."""

from __future__ import annotations

import random

import pytest
from redis.asyncio import Redis

from fastapi_sse_channels import BrokerError
from fastapi_sse_channels.brokers.redis._counts import SessionCounts
from fastapi_sse_channels.brokers.redis._names import Names

NAMES = Names("sse")
KEY = "note:1:events"


@pytest.fixture(params=["pattern", "channel"])
async def nodes(request, start_broker):
    """Three processes' brokers, whose leases run out soon."""
    return [await start_broker(follow=request.param, probe_interval=0.2) for _ in range(3)]


@pytest.fixture
def totals(nodes, eventually):
    async def are(*expected, key=KEY):
        async def agree():
            try:
                return [await node.total_sessions(key) for node in nodes] == list(expected)
            except BrokerError:
                return False  # just restarted

        await eventually(agree)

    return are


async def test_every_process_counts_the_sessions_of_all(nodes, totals):
    for number, node in enumerate(nodes, 1):
        node.report_sessions(KEY, number)
        node.report_sessions("note:2:events", 1)

    await totals(6, 6, 6)
    await totals(3, 3, 3, key="note:2:events")
    await totals(0, 0, 0, key="note:3:events")
    nodes[0].report_sessions(KEY, 0)
    nodes[1].report_sessions(KEY, 7)
    await totals(10, 10, 10)


async def test_own_sessions_are_exact_at_once(nodes):
    nodes[0].report_sessions(KEY, 5)

    assert await nodes[0].total_sessions(KEY) == 5


async def test_stopped_process_is_not_counted(nodes, totals):
    nodes[0].report_sessions(KEY, 1)
    nodes[1].report_sessions(KEY, 2)
    await totals(3, 3, 3)
    await nodes[1].stop()

    assert await nodes[2].total_sessions(KEY) == 1
    assert await nodes[0].total_sessions(KEY) == 1
    await nodes[1].start()


async def test_counts_come_back_after_a_flush(nodes, totals, server):
    for node in nodes:
        node.report_sessions(KEY, 1)
    await totals(3, 3, 3)
    server.client.flushall()

    await totals(3, 3, 3)


async def test_ended_sessions_stay_ended_after_lost_writes(nodes, totals, server):
    nodes[0].report_sessions(KEY, 1)
    nodes[0].report_sessions("note:2:events", 1)
    nodes[1].report_sessions(KEY, 2)
    await totals(3, 3, 3)
    await totals(1, 1, 1, key="note:2:events")
    server.client.save()
    nodes[0].report_sessions(KEY, 0)
    nodes[0].report_sessions("note:2:events", 0)
    await totals(2, 2, 2)
    await totals(0, 0, 0, key="note:2:events")
    server.kill()
    server.servers.start(server.port, "--save", "")
    assert server.client.hgetall(NAMES.counts("note:2:events"))

    await totals(0, 0, 0, key="note:2:events")
    await totals(2, 2, 2)


async def test_process_taken_for_dead_is_counted_again(nodes, totals, server):
    """An event loop may be blocked for longer than the lease lives."""
    for node in nodes:
        node.report_sessions(KEY, 1)
    await totals(3, 3, 3)
    server.client.hdel(NAMES.counts(KEY), nodes[0]._node.lease.id)
    server.client.delete(NAMES.lease(nodes[0]._node.lease.id))

    await totals(3, 3, 3)


async def test_counts_are_written_once_redis_is_back(nodes, totals, server, eventually):
    server.client.config_set("maxmemory", 1)
    for node in nodes:
        node.report_sessions(KEY, 2)
    await totals(2, 2, 2)
    server.client.config_set("maxmemory", 0)

    await totals(6, 6, 6)


async def test_damaged_counts_hurt_their_channel_only(nodes, totals, server, caplog):
    """A count that cannot be written does not hold up those behind it."""
    spoiled = [f"spoiled:{number}:events" for number in range(40)]
    for key in spoiled:
        server.client.set(NAMES.counts(key), "mine")
        nodes[0].report_sessions(key, 1)
    for node in nodes:
        node.report_sessions(KEY, 1)

    await totals(3, 3, 3)
    with pytest.raises(BrokerError, match="a namespace of its own"):
        await nodes[0].total_sessions(spoiled[0])
    assert caplog.text.count("cannot be counted across processes") == 1


async def test_fields_of_others_are_not_counted(nodes, totals, server):
    nodes[0].report_sessions(KEY, 1)
    await totals(1, 1, 1)
    server.client.hset(
        NAMES.counts(KEY),
        mapping={b"\xff": "1", "node": "9", "": "1", "0" * 16: "9", nodes[1]._node.lease.id: "x"},
    )

    await totals(1, 1, 1)


async def test_every_key_expires(nodes, totals, server):
    for node in nodes:
        node.report_sessions(KEY, 1)
    await totals(3, 3, 3)

    ttl = {name: server.client.ttl(name) for name in server.names() if "cnt" in name}
    assert list(ttl) == [NAMES.counts(KEY)]
    assert 86_390 < ttl[NAMES.counts(KEY)] <= 86_400


async def test_count_that_never_changes_is_written_again(server, eventually):
    """A stream may stay open for longer than the count of its channel is kept."""
    client = Redis(port=server.port)
    counts = SessionCounts(client, NAMES, "0123456789abcdef", ttl=1)
    name = NAMES.counts(KEY)
    counts.start()
    counts.set(KEY, 3)
    await eventually(lambda: server.client.exists(name))
    server.client.delete(name)

    def is_back():
        # what happens on other channels does not put it off
        counts.set("note:2:events", random.randrange(9))
        return server.client.exists(name)

    await eventually(is_back)
    await counts.stop()
    await client.aclose()
