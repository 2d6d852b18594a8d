"""Clients lose their node, and all resume at another at once."""

from __future__ import annotations

import asyncio

from fastapi_sse_channels import SyncPublisher
from tests.faults.events import HISTORY_BYTES, HISTORY_SIZE, KEY_PREFIX, NAMESPACE, Numbered
from tests.faults.processes import NodeProcess, RedisServer, until
from tests.faults.traffic import Client
from tests.faults.verdict import Got, Opened

CHANNELS = ("a", "b", "c", "d")
CLIENTS = 2_000
MISSED = 25


async def history_reads(redis: RedisServer) -> int:
    # publishing, the only other script that reads a position, is over
    stats = await redis.client.info("commandstats")
    return int(stats["cmdstat_hmget"]["calls"])


async def test_two_thousand_resuming_clients_cost_one_history_read_a_channel(
    tmp_path,
):
    redis = RedisServer(tmp_path)
    await redis.start()
    # looks at positions by itself now and then, which is not what is counted here
    nodes = [NodeProcess(tmp_path, redis.port, CHECK_INTERVAL="3600") for _ in range(2)]
    await asyncio.gather(*(node.start() for node in nodes))
    publisher = SyncPublisher(
        Numbered,
        broker=f"redis://127.0.0.1:{redis.port}/0",
        namespace=NAMESPACE,
        key_prefix=KEY_PREFIX,
        history_size=HISTORY_SIZE,
        history_bytes=HISTORY_BYTES,
    )

    def publish(*numbers: int) -> list[str]:
        return [
            publisher.publish(channel, Numbered(publisher="p", number=number))
            for number in numbers
            for channel in CHANNELS
        ]

    clients = [Client(CHANNELS[n % len(CHANNELS)], nodes, 0) for n in range(CLIENTS)]
    try:
        for client in clients:
            client.come()
        await until(lambda: all(client.heard for client in clients), "every client listens", 60)
        publish(0)
        await until(lambda: all(len(c.heard) == 2 for c in clients), "every client gets one", 60)
        await asyncio.gather(*(client.leave() for client in clients))
        publish(*range(1, MISSED))
        before = await history_reads(redis)

        nodes[0].reap()
        for client in clients:
            client.come()
        await until(
            lambda: all(len(client.heard) >= 2 + MISSED for client in clients),
            "every client got what it missed",
            60,
        )
        after = await history_reads(redis)
    finally:
        publisher.close()
        await asyncio.gather(*(client.leave() for client in clients))
        for node in nodes:
            await node.close()
        await redis.close()

    assert after - before == len(CHANNELS)
    for client in clients:
        _, zero, back, *missed = client.heard
        assert isinstance(back, Opened)
        assert (back.event_id, back.resumed, back.had_id) == (zero.event_id, True, True)
        numbers = [event.number if isinstance(event, Got) else None for event in missed]
        assert numbers == list(range(1, MISSED))
