"""The one connection that listens: what is subscribed on it, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import random

import pytest
from redis.asyncio import Connection
from redis.exceptions import NoPermissionError, RedisError

from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._reader import Reader

NAMES = Names("sse")
KEEPING = Retention(256, 1024 * 1024, 300)


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self):
        self.messages = []
        self.connected = 0
        self.errors = []

    def on_message(self, channel, payload):
        self.messages.append((channel, payload))

    def on_connected(self):
        self.connected += 1

    def on_disconnected(self, error):
        self.errors.append(error)


@pytest.fixture
async def start_reader(server):
    readers = []

    async def start(*, seconds=5, **options):
        heard = Heard()
        reader = Reader(
            lambda: Connection(port=server.port, socket_timeout=None, protocol=2), heard, **options
        )
        readers.append(reader)
        await reader.start(seconds)
        return reader, heard

    yield start
    for reader in readers:
        await reader.stop()


def subscribed(server):
    return sorted(name.decode() for name in server.client.pubsub_channels() if b"probe" not in name)


class TestConnections:
    async def test_channels_and_patterns_share_one(self, server, start_reader, eventually):
        _, heard = await start_reader(patterns=["p*"], channels=["a", "b"])
        for channel in ("p1", "a", "b", "other"):
            server.client.publish(channel, channel)

        assert len(server.subscribers()) == 1
        await eventually(lambda: len(heard.messages) == 3)
        assert heard.messages == [(b"p1", b"p1"), (b"a", b"a"), (b"b", b"b")]

    async def test_each_new_one_is_announced_and_listens_to_everything(
        self, server, start_reader, eventually
    ):
        reader, heard = await start_reader(patterns=["p*"])
        await reader.subscribe("a")
        for round_number in range(2, 5):
            server.client.client_kill_filter(_type="pubsub")
            await eventually(lambda number=round_number: heard.connected == number)
            assert len(server.subscribers()) == 1
            assert server.client.publish("a", "x") == server.client.publish("p1", "x") == 1
        assert len(heard.errors) == 3

    async def test_more_channels_than_one_command_takes(self, server, start_reader):
        names = [f"channel-{number}" for number in range(2500)]
        await start_reader(channels=names)

        assert subscribed(server) == sorted(names)

    async def test_stopped_reader_leaves_none(self, server, start_reader, eventually):
        reader, _ = await start_reader(patterns=["p*"])
        await reader.stop()

        await eventually(lambda: server.subscribers() == [])


class TestChurn:
    async def test_channel_is_subscribed_while_it_is_wanted(self, server, start_reader, eventually):
        """Whatever the order in which commands and answers pass each other."""
        reader, _ = await start_reader()
        draw = random.Random(7)
        wanted: set[str] = set()
        subscribing: dict[str, asyncio.Task[None]] = {}
        for _ in range(2000):
            name = f"channel-{draw.randrange(5)}"
            if name in wanted:
                wanted.discard(name)
                # who gives up waiting leaves as well
                subscribing[name].cancel()
                reader.unsubscribe(name)
            else:
                wanted.add(name)
                subscribing[name] = asyncio.create_task(reader.subscribe(name))
                await asyncio.sleep(0)
            for _ in range(draw.randrange(3)):
                await asyncio.sleep(0 if draw.random() < 0.95 else 0.001)
        await asyncio.wait(subscribing.values(), timeout=5)

        await eventually(lambda: subscribed(server) == sorted(wanted))
        # the server's last answers may still be on their way
        await eventually(lambda: reader._confirmations == {})

    async def test_channel_let_go_twice_in_a_row_costs_no_connection(
        self, server, start_reader, eventually
    ):
        reader, heard = await start_reader()
        await reader.subscribe("a")
        reader.unsubscribe("a")
        await asyncio.sleep(0)
        again = asyncio.create_task(reader.subscribe("a"))
        await asyncio.sleep(0)
        reader.unsubscribe("a")
        await again
        await reader.subscribe("b")

        await eventually(lambda: subscribed(server) == ["b"])
        await eventually(lambda: reader._let_go.total() == 0)
        assert (heard.connected, heard.errors) == (1, [])

    async def test_confirmation_is_that_of_the_own_command(self, server, start_reader):
        """One of an earlier subscriber comes before the unsubscription in between."""
        reader, _ = await start_reader()
        first = asyncio.create_task(reader.subscribe("a"))
        await asyncio.sleep(0)
        first.cancel()
        reader.unsubscribe("a")
        await asyncio.sleep(0)
        second = asyncio.create_task(reader.subscribe("a"))
        await asyncio.sleep(0)

        assert len(reader._confirmations[b"a"]) == 2
        await second
        assert subscribed(server) == ["a"]

    async def test_channel_left_during_a_reconnection_is_left(
        self, server, start_reader, eventually
    ):
        reader, heard = await start_reader()
        for number in range(20):
            name = f"channel-{number}"
            await reader.subscribe(name)
            server.client.client_kill_filter(_type="pubsub")
            for _ in range(number):
                await asyncio.sleep(0)
            reader.unsubscribe(name)
            await eventually(lambda number=number: heard.connected == number + 2)
            await eventually(lambda: subscribed(server) == [])

    async def test_subscribing_on_a_connection_just_lost_makes_none_of_its_own(
        self, server, start_reader, eventually
    ):
        reader, heard = await start_reader(channels=["a"])
        await reader._connection.disconnect(nowait=True)

        with pytest.raises(RedisError, match="cannot be reached"):
            await reader.subscribe("b")
        await eventually(lambda: heard.connected == 2)
        await eventually(lambda: len(server.subscribers()) == 1)
        assert subscribed(server) == ["a", "b"]


class TestFollowingChannels:
    """`follow="channel"`: a node hears of what it has a stream of, and of nothing else."""

    async def test_channel_is_subscribed_while_it_has_sessions(
        self, server, make_notes, connect, eventually
    ):
        broker = RedisBroker(server.url, follow="channel")
        notes = make_notes(broker=broker)
        await notes.manager.start()
        assert subscribed(server) == []

        streams = [await connect(notes.app, f"/notes/{number}/events") for number in (1, 1, 2)]
        one, two = (NAMES.channel(f"note:{number}:events") for number in (1, 2))
        assert subscribed(server) == [one, two]
        assert len(server.subscribers()) == 1
        assert server.client.pubsub_numpat() == 0

        streams[0].disconnect()
        streams[2].disconnect()
        await eventually(lambda: subscribed(server) == [one])
        await notes.publish("hello")
        await streams[1].until(b"hello")
        streams[1].disconnect()
        await eventually(lambda: subscribed(server) == [])
        await notes.manager.stop()

    async def test_churn_of_sessions_loses_nothing_and_leaves_nothing(
        self, server, start_broker, follow, eventually
    ):
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

        await eventually(lambda: subscribed(server) == [])

    async def test_channel_let_go_at_any_moment_stays_let_go(
        self, server, start_broker, eventually
    ):
        """A client may leave before its channel is subscribed, or in the very turn."""
        broker = await start_broker(follow="channel")
        for turns in range(25):
            await asyncio.wait([await let_go_after(turns, broker, f"note:{turns}:events")])

        await eventually(lambda: subscribed(server) == [])

    async def test_channel_let_go_at_any_moment_can_be_followed_at_once(
        self, server, start_broker, follow, eventually
    ):
        broker = await start_broker(follow="channel")
        for turns in range(25):
            key = f"note:{turns}:events"
            await let_go_after(turns, broker, key)
            channel = await follow(broker, key)
            await channel.publish(1)
            await channel.shows(1)
            channel.leave()

        await eventually(lambda: subscribed(server) == [])


async def let_go_after(turns, broker, key):
    """Begin to follow a channel, and let it go so many turns of the loop later."""
    following = asyncio.create_task(broker.subscribe(key, KEEPING, lambda: None))
    for _ in range(turns):
        await asyncio.sleep(0)
    following.cancel()
    broker.unsubscribe(key)
    return following


class TestRefusals:
    async def test_right_taken_away_is_logged_once_and_hurts_until_it_is_back(
        self, server, start_reader, eventually, caplog
    ):
        reader, heard = await start_reader(channels=["a"])
        server.client.execute_command("ACL", "SETUSER", "default", "resetchannels")
        await eventually(lambda: "Redis refuses the subscription" in caplog.text)
        server.client.client_kill_filter(_type="pubsub")
        server.client.execute_command("ACL", "SETUSER", "default", "allchannels")

        await eventually(lambda: heard.connected == 2)
        assert caplog.text.count("Redis refuses the subscription") == 1
        await reader.subscribe("b")

    async def test_right_missing_at_the_start_is_raised(self, server, start_reader):
        server.client.execute_command("ACL", "SETUSER", "default", "resetchannels")

        with pytest.raises(NoPermissionError):
            await start_reader(channels=["a"])

    async def test_channel_refused_later_is_an_error_to_whoever_asks(
        self, server, start_reader, eventually
    ):
        reader, heard = await start_reader()
        server.client.execute_command("ACL", "SETUSER", "default", "resetchannels")

        with pytest.raises(RedisError, match="the connection was lost"):
            await reader.subscribe("a")
        [error] = heard.errors
        assert isinstance(error, NoPermissionError)
        server.client.execute_command("ACL", "SETUSER", "default", "allchannels")
        await eventually(lambda: subscribed(server) == ["a"])
