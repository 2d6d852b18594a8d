"""What others take a process for alive by."""

from __future__ import annotations

import pytest

from fastapi_sse_channels.brokers.redis._names import Names

NAMES = Names("sse")
KEY = "note:1:events"


@pytest.mark.parametrize("is_lost", [False, True])
async def test_full_server_counts_as_healthy(start_broker, server, is_lost, eventually, caplog):
    broker = await start_broker(probe_interval=0.05)
    [listening] = server.subscribers()
    server.client.config_set("maxmemory", 1)
    if is_lost:
        server.client.delete(NAMES.lease(broker._node.lease.id))
    enough = server.calls("publish") + 10
    await eventually(lambda: server.calls("publish") > enough)

    assert broker.is_healthy
    assert [one["id"] for one in server.subscribers()] == [listening["id"]]
    assert caplog.text == ""


async def test_count_deleted_by_another_is_written_again(start_broker, server, eventually):
    """Another process saw no lease, and deletes the count once the lease is back."""
    broker = await start_broker(probe_interval=600)
    broker.report_sessions(KEY, 1)
    name, lease = NAMES.counts(KEY), broker._node.lease

    async def is_counted():
        return server.client.hexists(name, lease.id)

    await eventually(is_counted)
    server.client.delete(name, NAMES.lease(lease.id))
    await lease.renew()
    assert server.client.exists(NAMES.lease(lease.id))
    await eventually(is_counted)
    server.client.hdel(name, lease.id)
    await lease.renew()

    await eventually(is_counted)
