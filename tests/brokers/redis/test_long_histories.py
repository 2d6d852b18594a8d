"""Histories that are read in pieces, so that the event loop runs in between."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from fastapi_sse_channels._core.log import Log, Retention
from fastapi_sse_channels._core.position import Position
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels.brokers.redis._continuity import read_log
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._scripts import PIECE_ENTRIES, PUBLISH, publish_call

NAMES = Names("sse")
KEY = "note:1:events"
LONG = Retention(16_000, 64 * 1024 * 1024, 300)
COUNT = 3 * PIECE_ENTRIES + 7


@pytest.fixture
def publish_many(server):
    """Publish numbers as another process would, a thousand at a time."""

    def publish(numbers, *, channel=None, size=2):
        server.client.script_load(PUBLISH.text)
        pipeline = server.client.pipeline(transaction=False)
        for number in numbers:
            body = event_body(b"%d" % number + b" " * (size - 2))
            keys, arguments = publish_call(NAMES, KEY, body, LONG, None)
            arguments[0] = channel or arguments[0]
            pipeline.evalsha(PUBLISH.sha1, len(keys), *keys, *arguments)
            if number % 1000 == 999:
                pipeline.execute()
        pipeline.execute()

    return publish


@pytest.fixture
async def node(start_broker):
    broker = await start_broker(check_interval=600)
    return broker._node


def looks(server):
    return server.client.info("commandstats")["cmdstat_evalsha"]["calls"]


async def test_look_ends_after_so_many_entries_and_says_where(node, publish_many):
    publish_many(range(COUNT))
    found = [await node.look(KEY, since, LONG) for since in range(0, COUNT, PIECE_ENTRIES)]

    assert [len(look.entries) for look in found] == [PIECE_ENTRIES] * 3 + [7]
    assert [look.read for look in found] == [PIECE_ENTRIES * n for n in (1, 2, 3)] + [COUNT]
    assert [look.is_last for look in found] == [False, False, False, True]


async def test_look_ends_after_so_many_bytes(node, publish_many):
    publish_many(range(50), size=256 * 1024)
    look = await node.look(KEY, 0, LONG)

    assert 4 <= len(look.entries) <= 16
    assert look.read == len(look.entries)


async def test_history_is_the_same_in_pieces(start_broker, follow, server, publish_many):
    broker = await start_broker(check_interval=600)
    publish_many(range(COUNT))
    (await follow(broker, KEY, LONG)).leave()
    before = looks(server)
    following = await follow(broker, KEY, LONG)

    assert following.numbers() == list(range(COUNT))
    assert looks(server) - before == 4


async def test_repair_lets_the_loop_run_between_pieces(
    start_broker, follow, server, publish_many, eventually
):
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


@pytest.mark.parametrize("kept", [PIECE_ENTRIES + 100, 7, 0])
async def test_what_is_trimmed_between_two_pieces_leaves_no_hole(node, server, publish_many, kept):
    publish_many(range(COUNT))

    async def look_at(since):
        look = await node.look(KEY, since, LONG)
        if since == 0:
            server.client.xtrim(NAMES.log(KEY), maxlen=kept, approximate=False)
        return look

    log = await read_log(LONG, look_at)

    assert [entry.offset for entry in log.entries] == list(range(COUNT - kept + 1, COUNT + 1))
    assert (log.floor.offset, log.top) == (COUNT - kept, (await node.look(KEY, COUNT, LONG)).top)
    assert log.gap(Position(log.epoch, PIECE_ENTRIES, "x")) is not None


@pytest.mark.parametrize("at", [0, PIECE_ENTRIES, 3 * PIECE_ENTRIES])
@pytest.mark.parametrize("count", [0, 3, COUNT + 5])
async def test_epoch_that_begins_between_two_pieces_is_read_alone(
    node, server, publish_many, at, count
):
    publish_many(range(COUNT))
    lost = (await node.look(KEY, COUNT, LONG)).top
    is_flushed = False

    async def look_at(since):
        nonlocal is_flushed
        look = await node.look(KEY, since, LONG)
        if since == at and not is_flushed:
            is_flushed = True
            server.client.flushall()
            publish_many(range(count))
        return look

    log = await read_log(LONG, look_at)

    if at == 3 * PIECE_ENTRIES:
        # that was the last piece
        assert (log.top, len(log)) == (lost, COUNT)
    else:
        assert log.gap(lost) == "epoch"
        assert [entry.offset for entry in log.entries] == list(range(1, count + 1))


async def test_pieces_that_hold_nothing_of_ours_do_not_keep_a_reader_for_ever(
    node, server, publish_many
):
    publish_many(range(100))
    foreign = server.client.pipeline(transaction=False)
    for part in range(1, 2 * PIECE_ENTRIES):
        foreign.xadd(NAMES.log(KEY), {"d": "x"}, id=f"100-{part}")
    foreign.execute()
    publish_many(range(100, COUNT))
    for offset in (3, *range(PIECE_ENTRIES, 2 * PIECE_ENTRIES + 1)):
        server.client.xdel(NAMES.log(KEY), f"{offset}-0")

    log = await node.follow(KEY, LONG, lambda: None)

    assert [entry.offset for entry in log.entries] == list(range(2 * PIECE_ENTRIES + 1, COUNT + 1))


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


async def test_what_arrives_during_a_repair_overruns_nobody(node, server, eventually):
    """It is more than the log holds."""
    reader = Keen()
    reader.log = await node.follow(KEY, Retention(16, 1024 * 1024, 300), reader.notify)
    [followed] = node._followed.values()
    epoch, _, previous = reader.log.top
    server.pause()
    node._sync(followed)
    for _ in range(5):
        await asyncio.sleep(0)
    for offset in range(1, 101):
        payload = f"sse1 {epoch} {offset} n{offset} {previous}\ndata: 1\n\n"
        node.on_message(NAMES.channel(KEY).encode(), payload.encode())
        previous = f"n{offset}"
    server.go_on()

    await eventually(lambda: reader.taken == 100)
    assert reader.overruns == 0


async def test_what_arrives_without_end_during_a_repair_is_read_from_the_store(
    node, server, publish_many, eventually
):
    log = await node.follow(KEY, LONG, lambda: None)
    [followed] = node._followed.values()
    server.pause()
    node._sync(followed)
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
