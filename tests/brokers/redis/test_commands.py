"""What one look at the store returns."""

from __future__ import annotations

from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels.brokers.redis._scripts import PIECE_ENTRIES

KEY = "note:1:events"
LONG = Retention(16_000, 64 * 1024 * 1024, 300)
COUNT = 3 * PIECE_ENTRIES + 7


async def test_look_ends_after_so_many_entries(node, publish_many):
    publish_many(range(COUNT))
    found = [await node.commands.look(KEY, since, LONG) for since in range(0, COUNT, PIECE_ENTRIES)]

    assert [len(look.entries) for look in found] == [PIECE_ENTRIES] * 3 + [7]
    assert [look.read for look in found] == [PIECE_ENTRIES * n for n in (1, 2, 3)] + [COUNT]
    assert [look.is_last for look in found] == [False, False, False, True]


async def test_look_ends_after_so_many_bytes(node, publish_many):
    publish_many(range(50), size=256 * 1024)
    look = await node.commands.look(KEY, 0, LONG)

    assert 4 <= len(look.entries) <= 16
    assert look.read == len(look.entries)
