"""A process among hostile neighbours: it lives, good events arrive, the log says it once."""

from __future__ import annotations

import asyncio
import time

import pytest

from fastapi_sse_channels import BrokerError, PublishError
from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._scripts import PUBLISH, publish_call

NAMES = Names("sse")
KEY = "note:1:events"
CHANNEL, LOG, POSITION = NAMES.channel(KEY), NAMES.log(KEY), NAMES.position(KEY)
KEEPING = Retention(256, 1024 * 1024, 300)


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]


@pytest.fixture
async def channel(start_broker, follow):
    return await follow(await start_broker(), KEY)


async def test_published_poison_is_skipped(channel, server, poison, caplog):
    await channel.publish(1)
    incarnation = channel.log.incarnation
    for _ in range(3):
        server.client.publish(CHANNEL, poison)
    await channel.publish(2)

    await channel.shows(1, 2)
    assert channel.log.incarnation == incarnation
    [error] = errors(caplog)
    assert "did not write is published to b'sse:ev:{note:1:events}'" in error
    assert "a namespace of its own" in error
    assert len(error) < 500


async def test_added_poison_costs_one_reset_and_no_more(
    channel, server, stored_log, poison, caplog
):
    """It has a place after ours, so the next offsets cannot be given out."""
    [seen] = await channel.publish(1)
    server.client.xadd(LOG, {"d": poison, "n": "n", "p": "p", "t": "1"})
    assert (await stored_log()).gap(seen) is None
    incarnation = channel.log.incarnation

    await channel.publish(2)
    await channel.publish(3)

    await channel.shows(2, 3)
    assert channel.log.incarnation == incarnation + 1
    assert errors(caplog) == []


@pytest.mark.parametrize("mode", ["pattern", "channel"])
async def test_every_poison_in_a_row_is_survived(start_broker, follow, server, mode, poisons):
    channel = await follow(await start_broker(follow=mode), KEY)
    for number, poison in enumerate(poisons):
        server.client.publish(CHANNEL, poison)
        server.client.publish(channel.broker._node._probe_channel(""), poison)
        await channel.publish(number)

    await channel.shows(*range(len(poisons)))
    assert channel.broker.is_healthy


async def test_poison_on_other_channels_of_the_pattern_is_nobodys(channel, server, poisons, caplog):
    others = [b"", b"}", b"note:2:events}", b"\0*\n}", b"no end", b"\xff", b"note:1:events}}"]
    for poison in poisons:
        for other in others:
            server.client.publish(b"sse:ev:{" + other, poison[:1000])
    await channel.publish(1)

    await channel.shows(1)
    assert errors(caplog) == []


async def test_poison_between_stored_events_costs_nothing(channel, follow, server, poisons, caplog):
    seen = await channel.publish(0)
    for number, poison in enumerate(poisons, 1):
        field = "dnptx"[number % 5]
        fields = {"d": "data: 1\n\n", "n": "n", "p": "p", "t": "1"} | {field: poison}
        server.client.xadd(LOG, fields, id=f"{number}-1")
        await channel.publish(number)
    channel.leave()
    again = await follow(channel.broker, KEY)

    assert again.numbers() == list(range(len(poisons) + 1))
    assert again.log.gap(*seen) is None
    [error] = errors(caplog)
    assert "did not write is stored in b'note:1:events'" in error


async def test_each_kind_of_trouble_is_logged_once(channel, follow, server, caplog):
    await channel.publish(1)
    server.client.xadd(LOG, {"d": "x"}, id="1-1")
    await channel.publish(2)
    for _ in range(3):
        server.client.publish(CHANNEL, b"x")
        channel.leave()
        channel = await follow(channel.broker, KEY)
        await channel.shows(1, 2)
        server.client.publish(CHANNEL, b"x")
    await channel.publish(3)
    await channel.shows(1, 2, 3)

    assert sorted(error.split(" is ")[1].split()[0] for error in errors(caplog)) == [
        "published",
        "stored",
    ]


async def test_position_of_another_type_hurts_its_own_channel_only(
    channel, follow, server, eventually, caplog
):
    other = await follow(channel.broker, "note:2:events")
    await channel.publish(1)
    await replaced(server, POSITION)

    with pytest.raises(PublishError, match="give each application a namespace of its own"):
        await channel.publish(2)
    with pytest.raises(BrokerError, match="WRONGTYPE"):
        await channel.broker.refresh(KEY)
    await eventually(lambda: "did not write is stored in" in caplog.text)
    await other.publish(1)
    await other.shows(1)
    server.client.delete(POSITION)
    await channel.publish(3)
    await channel.shows(3)
    assert len(errors(caplog)) == 1


async def test_log_of_another_type_hurts_its_own_channel_only(channel, follow, server):
    other = await follow(channel.broker, "note:2:events")
    await channel.publish(1)
    await replaced(server, LOG)

    with pytest.raises(PublishError, match="give each application a namespace of its own"):
        await channel.publish(2)
    await other.publish(1)
    await other.shows(1)
    server.client.delete(LOG)
    await channel.publish(3)
    await channel.shows(1, 3)


async def replaced(server, key):
    """Put something else in a key's place, and let every process look at it."""
    server.client.delete(key)
    server.client.set(key, "mine")
    server.client.client_kill_filter(_type="pubsub")


async def test_messages_of_another_log_never_keep_a_subscriber_waiting(
    start_broker, follow, server
):
    """Well formed and on our channel, but of nobody's epoch, and without end."""
    broker = await start_broker()
    flooding = asyncio.create_task(asyncio.to_thread(flood, server, stop := asyncio.Event()))
    began = time.monotonic()
    channel = await follow(broker, KEY)
    await channel.publish(1, 2, 3)
    await channel.shows(1, 2, 3)

    assert time.monotonic() - began < 2
    stop.set()
    await flooding


def flood(server, stop):
    number = 0
    while not stop.is_set():
        number += 1
        server.client.publish(CHANNEL, b"sse1 other %d n p\ndata: 0\n\n" % number)


async def test_message_of_33_mb_costs_the_subscription_and_nothing_else(channel, server):
    """It is more than a subscriber's output buffer may hold, so the server hangs up."""
    await channel.publish(1)
    server.client.publish(CHANNEL, b"x" * 33 * 1024 * 1024)
    await channel.publish(2)

    await channel.shows(1, 2)
    assert channel.log.incarnation == 2


@pytest.mark.parametrize("is_lost", [False, True])
async def test_full_server_is_not_taken_for_a_silent_one(
    start_broker, server, is_lost, eventually, caplog
):
    broker = await start_broker(probe_interval=0.05)
    [listening] = server.subscribers()
    server.client.config_set("maxmemory", 1)
    if is_lost:
        server.client.delete(NAMES.lease(broker._node.id))
    enough = probes(server) + 10
    await eventually(lambda: probes(server) > enough)

    assert broker.is_healthy
    assert [one["id"] for one in server.subscribers()] == [listening["id"]]
    assert caplog.text == ""


def probes(server):
    return server.client.info("commandstats")["cmdstat_publish"]["calls"]


async def test_made_up_channels_leave_no_key_without_an_end(start_broker, follow, server):
    broker = await start_broker()

    async def visit(number):
        channel = await follow(broker, f"note:{number}:events")
        broker.report_sessions(channel.key, 1)
        if number % 10 == 0:
            await channel.publish(1, idempotency_key="once")
        await broker.total_sessions(channel.key)
        broker.report_sessions(channel.key, 0)
        channel.leave()

    for start in range(0, 1000, 50):
        await asyncio.gather(*(visit(start + at) for at in range(50)))
    await broker.stop()
    await broker.start()

    names = server.names()
    assert len([name for name in names if ":pos:" in name]) >= 1000
    assert [name for name in names if server.client.pttl(name) <= 0] == []
    made_up = [name for name in names if ":pos:" in name and not name.endswith("0:events}")]
    assert all(server.client.ttl(name) <= 3600 for name in made_up if "start" not in name)


async def test_event_stored_without_being_announced_is_found(start_broker, follow, server):
    channel = await follow(await start_broker(check_interval=0.2), KEY)
    keys, arguments = publish_call(NAMES, KEY, event_body(b"1"), KEEPING, None)
    server.client.eval(PUBLISH.text, len(keys), *keys, "elsewhere", *arguments[1:])

    await channel.shows(1)


async def test_node_that_missed_more_than_is_kept_says_so_to_its_streams(
    server, make_notes, connect
):
    notes = make_notes(broker=server.url, history_size=5)
    await notes.manager.start()
    stream = await connect(notes.app, "/notes/1/events")
    [seen] = await notes.publish("seen")
    await stream.until(b'"text":"seen"')
    for _ in range(6):
        keys, arguments = publish_call(NAMES, KEY, event_body(b"1"), KEEPING, None)
        server.client.eval(PUBLISH.text, len(keys), *keys, "elsewhere", *arguments[1:])
    await notes.publish("after")
    await stream.until(b"stream-reset")
    back = await connect(notes.app, "/notes/1/events", last_event_id=seen)

    assert notes.controls(stream) == notes.controls(back) == ["stream-open", "stream-reset trimmed"]
    stopping = asyncio.ensure_future(notes.manager.stop())
    for each in (stream, back):
        await each.until_end()
    await stopping


async def test_channel_that_is_left_while_positions_are_checked_stays_left(
    start_broker, follow, server, eventually
):
    broker = await start_broker(follow="channel", check_interval=0.2)
    channels = [await follow(broker, f"left:{number}:events") for number in range(3)]
    looks = script_calls(server)
    await eventually(lambda: script_calls(server) > looks)
    for channel in channels:
        channel.leave()
        await channel.publish(1)
    later = await follow(broker, KEY)
    keys, arguments = publish_call(NAMES, KEY, event_body(b"1"), KEEPING, None)
    server.client.eval(PUBLISH.text, len(keys), *keys, "elsewhere", *arguments[1:])
    await later.shows(1)
    later.leave()

    await eventually(lambda: len(server.client.pubsub_channels()) == 1)
    assert list(broker._node._links[""]._reader._channels) == [broker._node._probe_channel("")]


def script_calls(server):
    return server.client.info("commandstats")["cmdstat_evalsha"]["calls"]


async def test_event_that_took_the_place_of_a_lost_one_unannounced_is_found(
    start_broker, follow, server
):
    """As after a failover to a replica that was behind: the same offset, another event."""
    channel = await follow(await start_broker(check_interval=0.2), KEY)
    await channel.publish(1)
    before = {key: server.client.dump(key) for key in (POSITION, LOG)}
    await channel.publish(2)
    await channel.shows(1, 2)
    for key, value in before.items():
        server.client.restore(key, 0, value, replace=True)
    keys, arguments = publish_call(NAMES, KEY, event_body(b"3"), KEEPING, None)
    server.client.eval(PUBLISH.text, len(keys), *keys, "elsewhere", *arguments[1:])

    await channel.shows(1, 3)
