"""Histories that are read in pieces, so that the event loop runs in between."""

from __future__ import annotations

import pytest

from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels._core.position import Position
from fastapi_sse_channels.brokers.redis._continuity import read_log
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._scripts import PIECE_ENTRIES

NAMES = Names("sse")
KEY = "note:1:events"
LONG = Retention(16_000, 64 * 1024 * 1024, 300)
COUNT = 3 * PIECE_ENTRIES + 7


async def test_history_is_the_same_in_pieces(start_broker, follow, server, publish_many):
    broker = await start_broker(check_interval=600)
    publish_many(range(COUNT))
    (await follow(broker, KEY, LONG)).leave()
    before = server.calls("evalsha")
    following = await follow(broker, KEY, LONG)

    assert following.numbers() == list(range(COUNT))
    assert server.calls("evalsha") - before == 4


@pytest.mark.parametrize("kept", [PIECE_ENTRIES + 100, 7, 0])
async def test_trimming_between_two_pieces_leaves_no_hole(node, server, publish_many, kept):
    publish_many(range(COUNT))

    async def look_at(since):
        look = await node.commands.look(KEY, since, LONG)
        if since == 0:
            server.client.xtrim(NAMES.log(KEY), maxlen=kept, approximate=False)
        return look

    log = await read_log(LONG, look_at)

    assert [entry.offset for entry in log.entries] == list(range(COUNT - kept + 1, COUNT + 1))
    assert (log.floor.offset, log.top) == (
        COUNT - kept,
        (await node.commands.look(KEY, COUNT, LONG)).top,
    )
    assert log.gap(Position(log.epoch, PIECE_ENTRIES, "x")) is not None


@pytest.mark.parametrize("at", [0, PIECE_ENTRIES, 3 * PIECE_ENTRIES])
@pytest.mark.parametrize("count", [0, 3, COUNT + 5])
async def test_epoch_begun_between_two_pieces_is_read_alone(node, server, publish_many, at, count):
    publish_many(range(COUNT))
    lost = (await node.commands.look(KEY, COUNT, LONG)).top
    is_flushed = False

    async def look_at(since):
        nonlocal is_flushed
        look = await node.commands.look(KEY, since, LONG)
        if since == at and not is_flushed:
            is_flushed = True
            server.client.flushall()
            publish_many(range(count))
        return look

    log = await read_log(LONG, look_at)

    if at == 3 * PIECE_ENTRIES:
        # that was the last piece
        assert (log.top, len(log.entries)) == (lost, COUNT)
    else:
        assert log.gap(lost) == "epoch"
        assert [entry.offset for entry in log.entries] == list(range(1, count + 1))


async def test_pieces_without_our_entries_come_to_an_end(node, server, publish_many):
    publish_many(range(100))
    foreign = server.client.pipeline(transaction=False)
    for part in range(1, 2 * PIECE_ENTRIES):
        foreign.xadd(NAMES.log(KEY), {"d": "x"}, id=f"100-{part}")
    foreign.execute()
    publish_many(range(100, COUNT))
    for offset in (3, *range(PIECE_ENTRIES, 2 * PIECE_ENTRIES + 1)):
        server.client.xdel(NAMES.log(KEY), f"{offset}-0")

    log = await node.following.follow(KEY, LONG, lambda: None)

    assert [entry.offset for entry in log.entries] == list(range(2 * PIECE_ENTRIES + 1, COUNT + 1))
