"""Followed channels among hostile neighbours: good events arrive, and the log says it once."""

from __future__ import annotations

import asyncio
import random
import time

import pytest

from fastapi_sse_channels import BrokerError, PublishError
from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names

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


async def test_added_poison_costs_one_reset(  # noqa: PLR0917  # fixtures
    channel, server, stored_log, poison, eventually, caplog
):
    """Poison after the top takes the next offset, so a new epoch begins."""
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
async def test_poison_in_a_row_is_survived(start_broker, follow, server, mode, poisons):
    channel = await follow(await start_broker(follow=mode), KEY)
    for number, poison in enumerate(poisons):
        server.client.publish(CHANNEL, poison)
        server.client.publish(channel.broker._node._links.probe_channel(""), poison)
        await channel.publish(number)

    await channel.shows(*range(len(poisons)))
    assert channel.broker.is_healthy


async def test_poison_on_other_channels_is_ignored(channel, server, poisons, caplog):
    others = [b"", b"}", b"note:2:events}", b"\0*\n}", b"no end", b"\xff", b"note:1:events}}"]
    for poison in poisons:
        for other in others:
            server.client.publish(b"sse:ev:{" + other, poison[:1000])
    await channel.publish(1)

    await channel.shows(1)
    assert errors(caplog) == []


async def test_poison_between_events_costs_nothing(channel, follow, server, poisons, caplog):
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


async def test_position_of_another_type_hurts_its_channel_only(
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


async def test_log_of_another_type_hurts_its_channel_only(channel, follow, server):
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


async def test_flood_of_foreign_messages_delays_no_follower(start_broker, follow, server):
    """The messages are well formed and on our channel, but nobody's epoch has them."""
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


async def test_message_of_33_mb_costs_one_connection(channel, server):
    """A subscriber's output buffer may not hold as much, so the server hangs up."""
    await channel.publish(1)
    server.client.publish(CHANNEL, b"x" * 33 * 1024 * 1024)
    await channel.publish(2)

    await channel.shows(1, 2)
    assert channel.log.incarnation == 2


async def test_missing_more_than_is_kept_resets_streams(
    server, make_notes, connect, publish_unheard
):
    notes = make_notes(broker=server.url, history_size=5)
    await notes.manager.start()
    stream = await connect(notes.app, "/notes/1/events")
    [seen] = await notes.publish("seen")
    await stream.until(b'"text":"seen"')
    for _ in range(6):
        publish_unheard(b"1")
    await notes.publish("after")
    await stream.until(b"stream-reset")
    back = await connect(notes.app, "/notes/1/events", last_event_id=seen)

    assert notes.controls(stream) == notes.controls(back) == ["stream-open", "stream-reset trimmed"]
    stopping = asyncio.ensure_future(notes.manager.stop())
    for each in (stream, back):
        await each.until_end()
    await stopping


class TestChannelMode:
    """`follow="channel"`: a node hears of what it has a stream of, and of nothing else."""

    async def test_channel_is_subscribed_while_it_has_sessions(
        self, server, make_notes, connect, eventually
    ):
        broker = RedisBroker(server.url, follow="channel")
        notes = make_notes(broker=broker)
        await notes.manager.start()
        assert server.subscribed() == []

        streams = [await connect(notes.app, f"/notes/{number}/events") for number in (1, 1, 2)]
        one, two = (NAMES.channel(f"note:{number}:events") for number in (1, 2))
        assert server.subscribed() == [one, two]
        assert len(server.subscribers()) == 1
        assert server.client.pubsub_numpat() == 0

        streams[0].disconnect()
        streams[2].disconnect()
        await eventually(lambda: server.subscribed() == [one])
        await notes.publish("hello")
        await streams[1].until(b"hello")
        streams[1].disconnect()
        await eventually(lambda: server.subscribed() == [])
        await notes.manager.stop()

    async def test_churn_of_sessions_loses_nothing(self, server, start_broker, follow, eventually):
        broker = await start_broker(follow="channel")
        keys = [f"note:{number}:events" for number in range(4)]
        published = dict.fromkeys(keys, 0)

        async def churn(key):
            draw = random.Random(key)
            for _ in range(25):
                channel = await follow(broker, key)
                for _ in range(draw.randrange(4)):
                    published[key] += 1
                    await channel.publish(published[key])
                if draw.random() < 0.7:
                    await eventually(lambda log=channel.log: log.top.offset == published[key])
                    assert channel.numbers() == list(range(1, published[key] + 1))
                channel.leave()

        await asyncio.gather(*(churn(key) for key in keys))

        await eventually(lambda: server.subscribed() == [])

    async def test_channel_left_at_any_moment_stays_left(self, server, start_broker, eventually):
        """A client may leave before its channel is subscribed, or in the very turn."""
        broker = await start_broker(follow="channel")
        for turns in range(25):
            await asyncio.wait([await left_after(turns, broker, f"note:{turns}:events")])

        await eventually(lambda: server.subscribed() == [])

    async def test_channel_left_at_any_moment_is_followed_again(
        self, server, start_broker, follow, eventually
    ):
        broker = await start_broker(follow="channel")
        for turns in range(25):
            key = f"note:{turns}:events"
            await left_after(turns, broker, key)
            channel = await follow(broker, key)
            await channel.publish(1)
            await channel.shows(1)
            channel.leave()

        await eventually(lambda: server.subscribed() == [])


async def left_after(turns, broker, key):
    """Begin to follow a channel, and leave it so many turns of the loop later."""
    following = asyncio.create_task(broker.subscribe(key, KEEPING, lambda: None))
    for _ in range(turns):
        await asyncio.sleep(0)
    following.cancel()
    broker.unsubscribe(key)
    return following
