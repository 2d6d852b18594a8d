"""A node that is behind: it asks the store before it resets a client that knows more."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from fastapi_sse_channels import BrokerError
from fastapi_sse_channels._position import Position
from fastapi_sse_channels._wire import event_body
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._scripts import PUBLISH, parse_position, publish_call
from tests.faults.proxy import Proxy

NAMES = Names("sse")
KEY = "note:1:events"
URL = "/notes/1/events"


@pytest.fixture
async def proxy(server):
    relay = Proxy(server.port)
    await relay.start()
    yield relay
    await relay.stop()


@pytest.fixture
async def behind(start_broker, follow, proxy):
    """A channel of a node that finds by itself only what is announced to it."""
    broker = await start_broker(f"redis://127.0.0.1:{proxy.port}", check_interval=600)
    return await follow(broker, KEY)


@pytest.fixture
def publish_unheard(server, behind):
    """Store an event as if its message were still on the way, and return its position."""

    def publish(body):
        keys, arguments = publish_call(NAMES, KEY, event_body(body), behind.retention, None)
        arguments[0] = "elsewhere"
        return parse_position(server.client.eval(PUBLISH.text, len(keys), *keys, *arguments))

    return publish


@contextlib.asynccontextmanager
async def questions_without_end(channel):
    """Ask again while the last question is not answered yet."""
    asked = []

    async def ask():
        while True:
            asked.append(asyncio.create_task(channel.broker.refresh(channel.key)))
            await asyncio.sleep(0.01)

    asking = asyncio.create_task(ask())
    yield
    asking.cancel()
    await asyncio.gather(*asked)


def looks(server):
    return server.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]


class TestRefresh:
    async def test_log_goes_on_with_what_was_stored(self, behind, publish_unheard):
        await behind.publish(1)
        await behind.shows(1)
        incarnation = behind.log.incarnation
        position = publish_unheard(b"2")
        await behind.broker.refresh(KEY)

        assert behind.log.top == position
        assert behind.numbers() == [1, 2]
        assert behind.log.incarnation == incarnation

    async def test_log_of_another_epoch_is_started_over(self, behind, publish_unheard, server):
        await behind.publish(1)
        await behind.shows(1)
        server.client.flushall()
        position = publish_unheard(b"2")
        await behind.broker.refresh(KEY)

        assert behind.log.top == position
        assert behind.numbers() == [2]

    async def test_any_number_of_questions_at_once_is_one_look(self, behind, server):
        before = looks(server)
        await asyncio.gather(*(behind.broker.refresh(KEY) for _ in range(100)))

        assert looks(server) == before + 1

    async def test_look_that_began_before_does_not_answer(
        self, behind, publish_unheard, server, proxy, eventually
    ):
        proxy.stall_replies()
        before = looks(server)
        early = asyncio.create_task(behind.broker.refresh(KEY))
        await eventually(lambda: looks(server) > before)
        publish_unheard(b"1")
        late = [asyncio.create_task(behind.broker.refresh(KEY)) for _ in range(100)]
        await asyncio.sleep(0)
        proxy.heal()
        await asyncio.gather(early, *late)

        assert behind.numbers() == [1]
        assert looks(server) == before + 2

    async def test_questions_without_end_are_answered_one_by_one(
        self, behind, publish_unheard, proxy
    ):
        proxy.slow_down(0.05)
        async with questions_without_end(behind):
            for number in (1, 2, 3):
                position = publish_unheard(b"%d" % number)
                await behind.broker.refresh(KEY)
                assert behind.log.top == position

    async def test_readers_are_told_while_questions_go_on(
        self, behind, publish_unheard, server, proxy, eventually
    ):
        behind.leave()
        told: list[Position] = []
        behind.log = await behind.broker.subscribe(
            KEY, behind.retention, lambda: told.append(behind.log.top)
        )
        server.client.flushall()
        position = publish_unheard(b"1")
        proxy.slow_down(0.05)
        async with questions_without_end(behind):
            await eventually(lambda: position in told)

    async def test_repair_goes_on_without_the_one_who_gave_up(self, behind, publish_unheard, proxy):
        publish_unheard(b"1")
        proxy.stall_replies()
        given_up, other = (asyncio.create_task(behind.broker.refresh(KEY)) for _ in range(2))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait([given_up])
        proxy.heal()
        await other

        assert behind.numbers() == [1]

    async def test_store_that_does_not_answer_ends_the_wait(self, start_broker, follow, proxy):
        broker = await start_broker(f"redis://127.0.0.1:{proxy.port}", publish_timeout=0.8)
        await follow(broker, KEY)
        proxy.black_hole()

        async with asyncio.timeout(5):
            with pytest.raises(BrokerError, match="does not answer in time"):
                await broker.refresh(KEY)

    async def test_store_that_refuses_is_quoted(self, behind, server):
        await behind.publish(1)
        server.client.delete(NAMES.position(KEY))
        server.client.set(NAMES.position(KEY), "mine")

        with pytest.raises(BrokerError, match="give each application a namespace of its own"):
            await behind.broker.refresh(KEY)

    @pytest.mark.parametrize("has_begun", [True, False])
    async def test_channel_that_is_left_ends_the_wait(
        self, behind, server, proxy, eventually, has_begun
    ):
        proxy.stall_replies()
        before = looks(server)
        waiting = asyncio.create_task(behind.broker.refresh(KEY))
        if has_begun:
            await eventually(lambda: looks(server) > before)
        else:
            await asyncio.sleep(0)
        behind.leave()

        with pytest.raises(BrokerError, match="no longer followed"):
            await waiting
        proxy.heal()


class TestClientThatComesFromANodeThatIsAhead:
    """Streams of two applications on one server; the client's cursor is from the first."""

    @pytest.fixture
    async def ahead(self, make_notes, server):
        notes = make_notes(broker=server.url)
        async with started(notes):
            yield notes

    @pytest.fixture
    def make_behind(self, make_notes, proxy):
        """Build an application whose node hears of the server through the proxy."""

        def make(user="", **options):
            url = f"redis://{user}127.0.0.1:{proxy.port}"
            return make_notes(broker=RedisBroker(url, check_interval=600, **options))

        return make

    @pytest.mark.parametrize("mode", ["pattern", "channel"])
    async def test_goes_on_where_messages_are_late(self, ahead, make_behind, connect, proxy, mode):
        notes = make_behind(follow=mode)
        async with started(notes):
            staying = await connect(notes.app, URL)
            proxy.slow_down(0.2)
            *_, seen = await ahead.publish("a", "b")
            coming = await connect(notes.app, URL, last_event_id=seen)
            await ahead.publish("c")
            proxy.heal()
            for stream in (staying, coming):
                await stream.until(b'"text":"c"')
                assert notes.controls(stream) == ["stream-open"]
            assert (notes.texts(staying), notes.texts(coming)) == (["a", "b", "c"], ["c"])

    async def test_goes_on_in_an_epoch_that_is_new_to_the_node(
        self, ahead, make_behind, connect, server, proxy
    ):
        notes = make_behind()
        async with started(notes):
            staying = await connect(notes.app, URL)
            await ahead.publish("a")
            await staying.until(b'"text":"a"')
            proxy.slow_down(0.2)
            server.client.flushall()
            [seen] = await ahead.publish("b")
            coming = await connect(notes.app, URL, last_event_id=seen)
            await ahead.publish("c")
            proxy.heal()
            await coming.until(b'"text":"c"')
            await staying.until(b'"text":"c"')

            assert (notes.controls(coming), notes.texts(coming)) == (["stream-open"], ["c"])
            assert notes.controls(staying) == ["stream-open", "stream-reset epoch"]

    async def test_is_refused_until_the_subscription_is_back(
        self, ahead, make_behind, connect, server, eventually
    ):
        """Commands work all the time; without the subscription, events would come late."""
        rights = ["on", "nopass", "+@all", "~*"]
        server.client.execute_command("ACL", "SETUSER", "b", *rights, "&*")
        notes = make_behind("b:any@", publish_timeout=0.8)
        async with started(notes):
            staying = await connect(notes.app, URL)
            await ahead.publish("a")
            await staying.until(b'"text":"a"')
            server.client.execute_command("ACL", "SETUSER", "b", "resetchannels")
            await eventually(lambda: not notes.manager.broker.is_healthy)
            *_, seen = await ahead.publish("b", "c")
            refused = await connect(notes.app, URL, last_event_id=seen)
            assert (refused.status, refused.headers["retry-after"]) == (503, "2")
            with pytest.raises(BrokerError, match="does not answer in time"):
                async with notes.manager.subscribe("1", last_event_id=seen):
                    pass

            server.client.execute_command("ACL", "SETUSER", "b", "&*")
            await staying.until(b'"text":"c"')
            coming = await connect(notes.app, URL, last_event_id=seen)
            await ahead.publish("d")
            for stream in (staying, coming):
                await stream.until(b'"text":"d"')
                assert notes.controls(stream) == ["stream-open"]
            assert (notes.texts(staying), notes.texts(coming)) == (list("abcd"), ["d"])


@contextlib.asynccontextmanager
async def started(notes):
    await notes.manager.start()
    try:
        yield
    finally:
        await notes.manager.stop()
