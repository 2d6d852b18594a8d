"""The start of a broker tells what the server would refuse later."""

from __future__ import annotations

import functools
import time
from typing import Any

import pytest
from redis import Redis

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
        ("-evalsha",),
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
        r"lacks rights \(.+\); grant the user `~sse:\* resetchannels &sse:\* &sse:ev:{\* \+@.+`",
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


async def test_follow_is_named_where_it_does_without_the_right(server):
    grant(server, *Names("sse").rights.split(), "-psubscribe")

    await refused(RedisBroker(as_user(server)), r'lacks rights .*`; follow="channel" does without')
    broker = RedisBroker(as_user(server), follow="channel")
    await broker.start()
    await broker.stop()


class TestMissingCommand:
    """A hosted server may leave out commands, and an administrator may take them away."""

    @pytest.fixture
    def serve_without(self, servers, unused_ports):
        def serve(*commands, **config):
            [port] = unused_ports(1)
            lines = [f'rename-command {command} ""' for command in commands]
            lines += [f"{name.replace('_', '-')} {value}" for name, value in config.items()]
            servers.start(port, "--save", "", config="\n".join(lines))
            return f"redis://127.0.0.1:{port}"

        return serve

    async def test_names_the_option_that_does_without(self, serve_without):
        url = serve_without("PSUBSCRIBE")

        await refused(
            RedisBroker(url),
            r"needed: unknown command .PSUBSCRIBE.; follow=\"channel\" does without PSUBSCRIBE$",
        )
        broker = RedisBroker(url, follow="channel")
        await broker.start()
        await broker.stop()

    @pytest.mark.usefixtures("since_redis_7")
    async def test_names_the_option_that_does_without_sharded_pubsub(
        self, serve_without, eventually
    ):
        url = serve_without("SSUBSCRIBE", cluster_enabled="yes")
        port = int(url.rpartition(":")[2])
        with Redis(port=port) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            info: Any = functools.partial(client.execute_command, "CLUSTER INFO")
            await eventually(lambda: info()["cluster_state"] == "ok")

        await refused(
            RedisBroker.cluster(url, follow="channel"),
            r"unknown command .SSUBSCRIBE.; follow=\"pattern\" does without SSUBSCRIBE, which came",
        )

    @pytest.mark.parametrize("command", ["SUBSCRIBE", "UNSUBSCRIBE", "EVAL", "EVALSHA"])
    async def test_comes_with_the_way_out(self, serve_without, command):
        await refused(
            RedisBroker(serve_without(command), follow="channel"),
            rf"needed: unknown command .{command}.; allow it .*`rename-command`.*Redis from 6\.2",
        )

    async def test_is_found_inside_the_scripts(self, serve_without):
        used = ["DEL", "EXISTS", "HDEL", "HGETALL", "HMGET", "HSET", "PEXPIRE", "SET", "TIME"]
        used += ["XADD", "XLEN", "XRANGE", "PUBLISH"]

        await refused(
            RedisBroker(serve_without(*used)), f"unknown command {', '.join(used)}; allow it"
        )

    @pytest.mark.parametrize("mode", ["pattern", "channel"])
    async def test_is_one_that_the_start_runs(self, server, start_broker, follow, eventually, mode):
        """What is used later would fail later."""
        broker = await start_broker(follow=mode)
        rehearsed = server.commands_run()
        channel = await follow(broker, KEY, Retention(2, 1024 * 1024, 300))
        await channel.publish(1, 2, 3, 4)
        await channel.publish(5, idempotency_key="once")
        await channel.shows(4, 5)
        await broker.refresh(KEY)
        counts = Names("sse").counts(KEY)
        for sessions in (1, 0):
            broker.report_sessions(KEY, sessions)
            await eventually(lambda there=sessions: server.client.exists(counts) == there)
        await broker.total_sessions(KEY)
        await broker.compare("note", "{}")
        channel.leave()
        await eventually(lambda: not server.subscribed() or mode == "pattern")
        await broker.stop()

        assert server.commands_run() - rehearsed == set()


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
