"""Logs that are brought to the store's state while events keep coming."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from fastapi_sse_channels._core.log import Log, Retention
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._scripts import PIECE_ENTRIES

NAMES = Names("sse")
KEY = "note:1:events"
LONG = Retention(16_000, 64 * 1024 * 1024, 300)
COUNT = 3 * PIECE_ENTRIES + 7


async def test_loop_runs_between_pieces(start_broker, follow, server, publish_many, eventually):
    following = await follow(await start_broker(check_interval=600), KEY, LONG)
    publish_many(range(COUNT), channel="elsewhere")
    incarnation = following.log.incarnation
    tops = [0]

    async def watch():
        while tops[-1] < COUNT:
            await asyncio.sleep(0)
            tops.append(following.log.top.offset)

    watching = asyncio.create_task(watch())
    server.client.client_kill_filter(_type="pubsub")
    await asyncio.wait_for(watching, 20)

    assert following.numbers() == list(range(COUNT))
    assert following.log.incarnation == incarnation
    grown = [later - earlier for earlier, later in pairwise(tops)]
    assert max(grown) <= PIECE_ENTRIES


class Keen:
    """A reader that takes everything in the next turn of the loop."""

    log: Log

    def __init__(self):
        self.taken = 0
        self.overruns = 0
        self._is_marked = False

    def notify(self):
        if not self._is_marked:
            self._is_marked = True
            asyncio.get_running_loop().call_soon(self._take)
        return self.log.top.offset - self.taken > self.log.retention.size // 2

    def _take(self):
        self._is_marked = False
        self.overruns += not self.log.reaches(self.taken)
        self.taken = self.log.top.offset


async def test_arrivals_during_a_repair_overrun_nobody(node, server, eventually):
    """More arrives than the log holds."""
    reader = Keen()
    reader.log = await node.following.follow(KEY, Retention(16, 1024 * 1024, 300), reader.notify)
    [followed] = node.following
    epoch, _, previous = reader.log.top
    server.pause()
    node.following.sync(followed)
    for _ in range(5):
        await asyncio.sleep(0)
    for offset in range(1, 101):
        payload = f"sse1 {epoch} {offset} n{offset} {previous}\ndata: 1\n\n"
        node.on_message(NAMES.channel(KEY).encode(), payload.encode())
        previous = f"n{offset}"
    server.go_on()

    await eventually(lambda: reader.taken == 100)
    assert reader.overruns == 0


async def test_endless_arrivals_are_read_from_the_store(node, server, publish_many, eventually):
    log = await node.following.follow(KEY, LONG, lambda: None)
    [followed] = node.following
    server.pause()
    node.following.sync(followed)
    for _ in range(5):
        await asyncio.sleep(0)
    payload = f"sse1 {log.epoch} 1 n1 {log.top.nonce}\ndata: 1\n\n".encode()
    for _ in range(100_000):
        node.on_message(NAMES.channel(KEY).encode(), payload)
    held = len(followed.arrived)
    server.go_on()
    publish_many(range(5))

    assert held <= 1024
    await eventually(lambda: log.top.offset == 5 and followed.arrived is None)
