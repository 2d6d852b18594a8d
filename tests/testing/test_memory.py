"""Managers run on memory while they are tested."""

from __future__ import annotations

import pytest

from fastapi_sse_channels import ConfigurationError, MemoryBroker
from fastapi_sse_channels.testing import SSETestClient, in_memory

UNREACHABLE = "redis://127.0.0.1:1/0"


async def test_application_declared_with_redis_runs_without_it(make_application):
    application = make_application(broker=UNREACHABLE)
    declared = application.manager.broker

    with in_memory(application.manager):
        async with (
            SSETestClient(application.app) as client,
            client.stream("/notes/1/events", application.Event) as stream,
        ):
            await client.post("/notes/1", json={"text": "a"})
            assert await stream.next() == application.Note(text="a")

    assert application.manager.broker is declared


async def test_each_time_begins_without_history(application):
    ids = []
    for _ in range(2):
        with in_memory(application.manager):
            async with SSETestClient(application.app):
                ids.append(await application.manager.publish("1", application.Gone()))

    assert [event_id.split(".")[1] for event_id in ids] == ["1", "1"]


def test_managers_of_one_store_share_a_broker(make_application):
    own = MemoryBroker()
    first, second, other = (
        make_application(key_prefix=prefix, broker=broker).manager
        for prefix, broker in (("a", UNREACHABLE), ("b", UNREACHABLE), ("a", own))
    )

    with in_memory(first, second, other):
        assert first.broker is second.broker is not other.broker
        assert other.broker is not own


async def test_running_manager_is_refused(client, application):
    with (
        pytest.raises(ConfigurationError, match="change its broker while it is stopped"),
        in_memory(application.manager),
    ):
        pytest.fail("the manager was moved")
