"""The start of a broker tells what the server would refuse later."""

from __future__ import annotations

import time

import pytest

from fastapi_sse_channels import BrokerError, BrokerNotStartedError
from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names

KEY = "note:1:events"
KEEPING = Retention(256, 1024 * 1024, 300)


@pytest.mark.parametrize(
    "missing",
    [
        ("resetkeys",),
        ("resetkeys", "~other:*"),
        ("resetchannels",),
        ("resetchannels", "&sse:ev:{*"),
        ("-@scripting",),
        ("-@pubsub",),
        ("-publish",),
        ("-@write",),
        ("-@read",),
        ("-xadd",),
        ("-time",),
        ("-hgetall",),
        ("-xrange",),
        ("-xlen",),
        ("-hmget",),
        ("-hset",),
        ("-pexpire",),
        ("-exists",),
        ("-del",),
        ("-hdel",),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("follow", ["pattern", "channel"])
async def test_missing_right_comes_with_its_grant(server, missing, follow):
    grant(server, *Names("sse").rights.split(), *missing)
    broker = RedisBroker(as_user(server), follow=follow)

    await refused(
        broker,
        r"lacks rights \(.+\); grant the user `~sse:\* &sse:\* &sse:ev:{\* \+@read .+`",
    )


async def test_glob_does_not_grant_the_pattern(server):
    """Redis compares a subscribed pattern with what was granted letter by letter."""
    grant(server, *Names("sse").rights.split(), "resetchannels", "&sse:*")

    await refused(RedisBroker(as_user(server)), "lacks rights")


@pytest.mark.parametrize("mode", ["pattern", "channel"])
@pytest.mark.parametrize(("namespace", "database"), [("sse", 0), ("ä shop*", 0), ("sse", 3)])
async def test_named_rights_are_enough(server, eventually, mode, namespace, database):
    grant(server, *Names(namespace, database).rights.split())
    url = f"{as_user(server)}/{database}"
    broker = RedisBroker(url, namespace=namespace, follow=mode)
    await broker.start()
    log = await broker.subscribe(KEY, KEEPING, lambda: None)
    position = await broker.publish(KEY, event_body(b"1"), KEEPING, idempotency_key="once")
    await eventually(lambda: log.top == position)
    broker.report_sessions(KEY, 2)
    assert await broker.total_sessions(KEY) == 2
    broker.unsubscribe(KEY)
    assert broker.is_healthy
    await broker.stop()
    denied = server.client.acl_log()
    assert [entry for entry in denied if entry["username"] == "app"] == []


async def test_full_server_starts_with_a_warning(server, start_broker, caplog):
    """A full server can still be read."""
    server.client.config_set("maxmemory", 1)
    await start_broker()

    assert "Redis takes no events at present: " in caplog.text


async def refused(broker, match):
    began = time.monotonic()
    with pytest.raises(BrokerError, match=match):
        await broker.start()
    assert time.monotonic() - began < 4
    with pytest.raises(BrokerNotStartedError):
        await broker.total_sessions(KEY)


def grant(server, *rules):
    server.client.execute_command("ACL", "SETUSER", "app", "on", ">secret", *rules)


def as_user(server):
    return server.url.replace("//", "//app:secret@")
