"""A manager publishes from anywhere, counts, limits, and binds to event loops."""

from __future__ import annotations

import asyncio
import math
import re
import threading
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

import pytest
from fastapi import Depends, FastAPI
from pydantic import BaseModel, field_serializer, field_validator

from fastapi_sse_channels import (
    BrokerClosedError,
    BrokerError,
    Channel,
    ChannelManager,
    ConfigurationError,
    InvalidEventError,
    InvalidResourceIdError,
    MemoryBroker,
    Publisher,
    WrongThreadError,
    create_sse_router,
    sse_lifespan,
)

URL = "/notes/1/events"


class TestConfiguration:
    def test_numbers_are_checked(self, make_notes):
        refused = {
            "history_size": (2.5,),
            "history_bytes": (2.5,),
            "history_ttl": (0,),
            "max_event_bytes": (2.5,),
            "retry": (2.5,),
            "send_timeout": (0,),
            "slow_after": (0,),
            "ping_interval": (0, math.inf),
            "max_sessions": (0, 2.5),
            "drain_spread": (math.inf,),
        }
        for option, values in refused.items():
            for value in values:
                with pytest.raises(ConfigurationError, match=f"^{option}={value} must be"):
                    make_notes(**{option: value})

    async def test_event_that_refers_to_what_is_not_defined_is_refused_when_anything_starts(
        self, connect
    ):
        class Placed(BaseModel):
            type: Literal["placed"] = "placed"
            item: Item  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

        manager = ChannelManager(Placed, key_prefix="shop")
        app = FastAPI()
        app.include_router(create_sse_router(manager, "/shops/{shop_id}/events"))

        async def stream() -> None:
            await (await connect(app, "/shops/1/events")).until_end()

        for use in (
            manager.start,
            sse_lifespan(manager).__aenter__,
            lambda: manager.publish("1", {"type": "placed", "item": 1}),
            lambda: manager.subscribe("1").__aenter__(),
            stream,
        ):
            with pytest.raises(ConfigurationError, match=r"Placed, .* refers to 'Item'"):
                await use()

    def test_event_loop_that_is_not_of_asyncio_is_told(self, make_notes):
        manager = make_notes().manager

        for use in (manager.start(), manager.publish("1", {"type": "note"}), manager.publisher()):
            with pytest.raises(ConfigurationError, match="worker-class asyncio or uvloop"):
                use.send(None)

    def test_clients_may_all_be_told_to_come_back_at_once(self, make_notes):
        make_notes(drain_spread=0)

    def test_choices_are_checked(self, make_notes):
        for option in ("event_names", "slow_policy"):
            with pytest.raises(ConfigurationError, match=f"^{option}='all' is not known; use"):
                make_notes(**{option: "all"})

    # None is what os.environ.get("REDIS_URL") returns where it is not set
    @pytest.mark.parametrize("broker", ["kafka://", None, MemoryBroker])
    def test_unknown_broker_names_the_known_ones(self, make_notes, broker):
        with pytest.raises(ConfigurationError, match="is not known; use 'memory://', 'redis://"):
            make_notes(broker=broker)

    @pytest.mark.parametrize("address", ["kafka://me:secret@host", "Redis://:secret@host/0"])
    def test_password_for_an_unknown_broker_is_never_shown(self, make_notes, address):
        with pytest.raises(
            ConfigurationError, match=r"broker='\w+://host(/0)?' is not known"
        ) as error:
            make_notes(broker=address)

        assert "secret" not in str(error.value)

    def test_two_managers_cannot_share_keys_on_one_broker(self, make_notes):
        broker = MemoryBroker()
        make_notes(broker=broker)

        with pytest.raises(ConfigurationError, match=r"use the keys note:\*:events; give them"):
            make_notes(broker=broker)

    def test_managers_with_keys_of_their_own_share_a_broker(self, make_notes):
        broker = MemoryBroker()
        make_notes(broker=broker)
        make_notes(broker=broker, key_suffix="other")
        make_notes(broker=broker, key_prefix="other")

    @pytest.mark.parametrize(
        ("parts", "name"),
        [
            (("chat-room", "x"), r"ChatRoom-XEvent"),
            (("chat", "room-x"), r"Chat-RoomXEvent"),
            (("chat_room", "x"), r"Chat_room-XEvent"),
            (("chatRoom", "x"), r"ChatRoom-XEvent-[0-9a-f]{8}"),
            (("чат", "x"), r"XEvent-[0-9a-f]{8}"),
            (("чат", "комната"), r"Event-[0-9a-f]{8}"),
        ],
    )
    def test_name_comes_from_the_key_parts(self, make_notes, parts, name):
        def made(prefix: str, suffix: str) -> str:
            return str(make_notes(key_prefix=prefix, key_suffix=suffix).engine.declaration.name)

        assert re.fullmatch(name, made(*parts))
        assert made(*parts) == made(*parts)
        assert made(*parts) != made(*reversed(parts))

    def test_name_may_be_given(self, make_notes):
        assert make_notes(name="Given").engine.declaration.name == "Given"

    def test_repr_says_what_is_open(self, make_notes):
        notes = make_notes()

        assert repr(notes.manager) == "<ChannelManager note:*:events sessions=0>"
        assert repr(notes.manager.channel("a:b")) == "<Channel note:a%3Ab:events sessions=0>"


class TestPublish:
    async def test_returned_id_is_the_one_on_the_wire(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)

        [event_id] = await notes.publish("a")
        await stream.until(b'"text":"a"')

        assert stream.last_event_id == event_id

    async def test_mapping_is_published_as_the_model_it_validates_as(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)

        await notes.manager.publish("1", {"type": "note", "text": "a", "ignored": 1})
        await stream.until(b'{"type":"note","text":"a"}\n\n')

    @pytest.mark.parametrize("event", [{"type": "other"}, {"text": 1}, None, "note", object()])
    async def test_invalid_event_stores_nothing(self, make_notes, event):
        notes = make_notes()
        [before] = await notes.publish("a")

        with pytest.raises(InvalidEventError):
            await notes.manager.publish("1", event)

        [after] = await notes.publish("b")
        assert (before.split(".")[1], after.split(".")[1]) == ("1", "2")

    @pytest.mark.parametrize("resource_id", ["", "x" * 256, "\ud800"])
    async def test_hostile_resource_id_is_refused(self, make_notes, resource_id):
        with pytest.raises(InvalidResourceIdError):
            await make_notes().manager.publish(resource_id, {"type": "note"})

    @pytest.mark.parametrize("resource_id", [1, UUID(int=1), "a"])
    async def test_resource_id_of_every_kind_is_one_channel(self, make_notes, connect, resource_id):
        notes = make_notes()
        stream = await connect(notes.app, f"/notes/{resource_id}/events")

        await notes.manager.publish(resource_id, {"type": "note", "text": "a"})

        await stream.until(b'"text":"a"')

    async def test_channels_do_not_receive_each_others_events(self, make_notes, connect):
        notes = make_notes()
        ids = ["1", "2", ":", "*", "1:events", "%2A", "e\u0301", "\xe9"]
        streams = {name: await connect(notes.app, f"/notes/{_quoted(name)}/events") for name in ids}
        for name in ids:
            await notes.publish(f"for {name}", to=name)
        for name, stream in streams.items():
            await stream.until(b"for ")
            assert notes.texts(stream) == [f"for {name}"]

    async def test_idempotency_key_stores_once(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        event = {"type": "note", "text": "a"}

        ids = {await notes.manager.publish("1", event, idempotency_key="k") for _ in range(3)}
        other = await notes.manager.publish("1", event, idempotency_key="k2")
        elsewhere = await notes.manager.publish("2", event, idempotency_key="k")
        await stream.until(other.encode())

        assert len(ids) == 1
        assert notes.texts(stream) == ["a", "a"]
        assert len({*ids, other, elsewhere}) == 3

    # with an empty key, from a missing header, all events of five minutes would be one
    async def test_empty_idempotency_key_is_refused_before_the_event_is_stored(self, make_notes):
        notes = make_notes()

        with pytest.raises(ConfigurationError, match=r"idempotency_key='' must be"):
            await notes.manager.publish("1", {"type": "note"}, idempotency_key="")

        [event_id] = await notes.publish("a")
        assert event_id.split(".")[1] == "1"

    async def test_event_is_validated_and_encoded_once(self, connect):
        seen: list[str] = []

        class Seen(BaseModel):
            type: Literal["seen"] = "seen"
            text: str

            @field_validator("text")
            @classmethod
            def validated(cls, text: str) -> str:
                seen.append(f"validated {text}")
                return text

            @field_serializer("text")
            def encoded(self, text: str) -> str:
                seen.append(f"encoded {text}")
                return text

        manager = ChannelManager(Seen, key_prefix="seen")
        app = FastAPI()
        app.include_router(create_sse_router(manager, "/seen/{seen_id}/events"))
        streams = [await connect(app, "/seen/1/events") for _ in range(20)]

        await manager.publish("1", {"type": "seen", "text": "a"})
        for stream in streams:
            await stream.until(b'"text":"a"')
        resumed = await connect(app, "/seen/1/events", last_event_id=streams[0].frames[0]["id"])
        await resumed.until(b'"text":"a"')

        assert seen == ["validated a", "encoded a"]

    async def test_stopped_manager_refuses_to_publish(self, make_notes):
        notes = make_notes()
        await notes.manager.start()
        await notes.manager.stop()

        with pytest.raises(BrokerClosedError, match="start it again"):
            await notes.publish("a")


class TestChannelFor:
    """The channel provider works in a user's own handlers."""

    @pytest.fixture
    def app(self, make_notes):
        notes = make_notes()
        provided = Depends(notes.manager.channel_for("note_id"))

        @notes.app.post("/notes/{note_id}")
        async def publish(channel: Channel[Any] = provided) -> str:
            await channel.publish({"type": "note", "text": channel.resource_id})
            return channel.resource_id

        return notes.app

    async def test_path_parameter_names_the_channel(self, app, connect):
        stream = await connect(app, "/notes/a%3Ab/events")

        answer = await connect(app, "/notes/a%3Ab", method="POST")
        await stream.until(b'"text":"a:b"')

        assert (answer.status, answer.body) == (200, b'"a:b"')

    async def test_channel_of_a_typed_id_is_the_same_in_any_spelling(self, make_notes, connect):
        notes = make_notes(resource_id_type=int)
        provided = Depends(notes.manager.channel_for("note_id"))

        @notes.app.post("/notes/{note_id}")
        async def channel_of(channel: Channel[Any] = provided) -> str:
            return channel.resource_id

        assert (await connect(notes.app, "/notes/007", method="POST")).body == b'"7"'
        assert (await connect(notes.app, "/notes/seven", method="POST")).status == 422

    async def test_id_that_names_no_channel_is_a_client_error(self, app, connect):
        assert (await connect(app, f"/notes/{'x' * 256}", method="POST")).status == 422


class TestThreads:
    async def test_publish_from_another_threads_loop_reaches_the_stream(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)

        await asyncio.to_thread(lambda: asyncio.run(notes.publish("a", "b")))

        await stream.until(b'"text":"b"')
        assert notes.texts(stream) == ["a", "b"]

    async def test_publish_sync_from_threads_reaches_the_stream_once_each(
        self, make_notes, connect
    ):
        notes = make_notes()
        await notes.manager.start()
        stream = await connect(notes.app, URL)

        def publish(thread):
            for number in range(100):
                text = f"{thread}-{number}"
                notes.manager.publish_sync("1", {"type": "note", "text": text})

        await asyncio.gather(*(asyncio.to_thread(publish, thread) for thread in range(4)))
        await stream.until(lambda: stream.body.count(b'"text"') == 400)

        for thread in range(4):
            own = [text for text in notes.texts(stream) if text.startswith(f"{thread}-")]
            assert own == [f"{thread}-{number}" for number in range(100)]
        stream.disconnect()
        await stream.until_end()
        await notes.manager.stop()

    async def test_publish_sync_wakes_an_idle_loop_at_once(self, make_notes, connect):
        notes = make_notes(ping_interval=None)
        stream = await connect(notes.app, URL)
        thread = threading.Timer(
            0.01, notes.manager.publish_sync, args=("1", {"type": "note", "text": "a"})
        )
        thread.start()

        await stream.until(b'"text":"a"', timeout=1)
        await asyncio.to_thread(thread.join)

    async def test_publish_sync_on_the_loops_own_thread_is_refused(self, make_notes):
        notes = make_notes()
        await notes.publish("a")

        with pytest.raises(WrongThreadError, match=r"use `await publisher\.publish"):
            notes.manager.publish_sync("1", {"type": "note"})
        publisher = await notes.manager.publisher()
        with pytest.raises(WrongThreadError):
            publisher.publish_sync("1", {"type": "note"})

    def test_publish_sync_without_a_running_loop_is_refused(self, make_notes):
        notes = make_notes()
        with pytest.raises(BrokerError, match="no event loop runs this manager"):
            notes.manager.publish_sync("1", {"type": "note"})

        asyncio.run(notes.publish("a"))

        with pytest.raises(BrokerError, match="no event loop runs this manager"):
            notes.manager.publish_sync("1", {"type": "note"})

    async def test_publish_sync_raises_what_publish_raises(self, make_notes):
        notes = make_notes()
        await notes.publish("a")

        with pytest.raises(InvalidEventError):
            await asyncio.to_thread(notes.manager.publish_sync, "1", {"type": "other"})

    async def test_def_and_async_endpoints_publish_alike(self, make_notes, connect):
        notes = make_notes()
        provided = Depends(notes.manager.publisher)

        @notes.app.post("/async")
        async def publish(publisher: Publisher[Any] = provided) -> str:
            assert isinstance(publisher, Publisher)
            return await publisher.publish("1", {"type": "note", "text": "async"})

        @notes.app.post("/def")
        def publish_sync(publisher: Publisher[Any] = provided) -> str:
            return publisher.publish_sync("1", {"type": "note", "text": "def"})

        first, second = [
            (await connect(notes.app, path, method="POST")).answer for path in ("/async", "/def")
        ]
        stream = await connect(notes.app, URL, last_event_id=first)

        assert notes.texts(stream) == ["def"]
        assert stream.last_event_id == second


class TestLoops:
    def test_manager_works_on_a_second_loop_after_the_first_is_closed(self, make_notes):
        notes = make_notes()

        async def use():
            async with notes.manager.subscribe("1") as events:
                await notes.publish("a")
                async with asyncio.timeout(5):
                    return (await anext(events)).text

        assert [asyncio.run(use()) for _ in range(3)] == ["a"] * 3

    def test_history_survives_from_loop_to_loop(self, make_notes):
        notes = make_notes()
        first, *_ = asyncio.run(notes.publish("a", "b"))

        async def use():
            async with notes.manager.subscribe("1", last_event_id=first) as events:
                return (await anext(events)).text

        assert asyncio.run(use()) == "b"

    def test_loop_closed_with_open_streams_harms_nothing_later(self, make_notes):
        notes = make_notes()
        left_open = []

        async def leave_open():
            subscription = notes.manager.subscribe("1")
            await subscription.__aenter__()
            left_open.append(subscription)
            return await notes.publish("a")

        [event_id] = asyncio.run(leave_open())
        [second] = asyncio.run(notes.publish("b"))

        assert second.split(".")[:2] == [event_id.split(".")[0], "2"]

    def test_loop_closed_without_a_stop_leaves_no_start_behind(self, make_notes):
        notes = make_notes()
        asyncio.run(notes.manager.start())

        async def use():
            await notes.manager.start()
            async with notes.manager.subscribe("1") as events, asyncio.timeout(5):
                await notes.manager.stop()
                return [event async for event in events]

        assert asyncio.run(use()) == []

    async def test_streams_on_two_running_loops_are_refused_with_the_way_out(
        self, make_notes, connect
    ):
        notes = make_notes()
        await connect(notes.app, URL)

        async def subscribe():
            async with notes.manager.subscribe("1"):
                pass

        with pytest.raises(BrokerError, match="open streams on another event loop; use one loop"):
            await asyncio.to_thread(asyncio.run, subscribe())

    async def test_failed_start_counts_for_nothing(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)

        with pytest.raises(BrokerError):
            await asyncio.to_thread(asyncio.run, notes.manager.start())
        await notes.manager.start()
        stopping = asyncio.ensure_future(notes.manager.stop())
        await stream.until_end()
        await stopping

        with pytest.raises(BrokerClosedError):
            await notes.publish("a")

    async def test_start_stop_start_serves_again(self, make_notes, connect):
        notes = make_notes()
        for text in "ab":
            await notes.manager.start()
            stream = await connect(notes.app, URL)
            await notes.publish(text)
            await stream.until(f'"text":"{text}"'.encode())
            await notes.manager.stop()
            assert notes.controls(stream) == ["stream-open", "stream-close shutdown"]

    async def test_starts_are_counted(self, make_notes, connect):
        notes = make_notes()
        await notes.manager.start()
        await notes.manager.start()
        stream = await connect(notes.app, URL)
        await notes.manager.stop()
        await notes.publish("a")
        await stream.until(b'"text":"a"')

        await notes.manager.stop()

        await stream.until_end()


class TestCounting:
    async def test_sessions_are_counted_by_resource(self, make_notes, connect):
        notes = make_notes()
        streams = [await connect(notes.app, f"/notes/{name}/events") for name in "112"]

        assert [notes.manager.session_count(name) for name in "123"] == [2, 1, 0]
        assert await notes.manager.total_session_count("1") == 2
        assert len(notes.manager.sessions("1")) == notes.manager.channel("1").session_count == 2

        streams[0].disconnect()
        await streams[0].until_end()

        assert [notes.manager.session_count(name) for name in "123"] == [1, 1, 0]
        assert await notes.manager.total_session_count("1") == 1

    async def test_sessions_may_be_listed_in_a_thread_while_streams_come_and_go(
        self, make_notes, connect
    ):
        notes = make_notes()
        for number in range(300):
            await connect(notes.app, f"/notes/{number}/events")
        stop = threading.Event()

        def list_sessions():
            listed = 0
            while not stop.is_set():
                listed += len(notes.manager.sessions("1"))
            return listed

        listing = asyncio.ensure_future(asyncio.to_thread(list_sessions))
        for _ in range(300):
            stream = await connect(notes.app, "/notes/2/events")
            stream.disconnect()
            await stream.until_end()
        stop.set()

        assert await listing > 0

    async def test_counts_are_zero_before_the_start(self, make_notes):
        notes = make_notes()

        assert notes.manager.session_count("1") == 0
        assert notes.manager.sessions("1") == ()

    async def test_cleanup_frees_an_empty_channel_with_its_history(self, make_notes):
        notes = make_notes()
        [event_id] = await notes.publish("a")

        assert notes.manager.cleanup_if_empty("1") is True
        assert notes.manager.cleanup_if_empty("1") is False
        [after] = await notes.publish("b")
        assert after.split(".")[0] != event_id.split(".")[0]

    async def test_cleanup_leaves_a_channel_with_streams_alone(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)

        assert notes.manager.cleanup_if_empty("1") is False
        await notes.publish("a")
        await stream.until(b'"text":"a"')

    async def test_thousand_streams_leave_nothing_behind(self, make_notes, connect):
        notes = make_notes()
        for batch in range(10):
            streams = [await connect(notes.app, f"/notes/{batch}/events") for _ in range(100)]
            for stream in streams:
                stream.disconnect()
            for stream in streams:
                await stream.until_end()

        hub = notes.engine.hub
        assert not hub.streams
        assert all(hub.feed(f"note:{batch}:events") is None for batch in range(10))

    async def test_flood_of_random_ids_leaves_a_bounded_number_of_channels(
        self, make_notes, connect
    ):
        broker = MemoryBroker(max_idle_channels=50)
        notes = make_notes(broker=broker)
        for number in range(500):
            stream = await connect(notes.app, f"/notes/{number}/events", last_event_id="a.1.b")
            stream.disconnect()
            await stream.until_end()
            await connect(notes.app, f"/notes/{number}/events", method="HEAD")
            await notes.publish("a", to=f"published to {number}")
            assert notes.manager.session_count(f"counted {number}") == 0

        assert repr(broker) == "<MemoryBroker followed=0 idle=50>"
        assert repr(notes.manager) == "<ChannelManager note:*:events sessions=0>"


class TestLimits:
    async def test_stream_beyond_the_limit_gets_503(self, make_notes, connect, caplog):
        notes = make_notes(max_sessions=2)
        first, _second = [await connect(notes.app, URL) for _ in range(2)]

        refused = await connect(notes.app, URL)
        first.disconnect()
        await first.until_end()
        admitted = await connect(notes.app, URL)

        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert refused.answer == {"detail": "too many streams are open; connect again later"}
        assert admitted.status == 200
        [warning] = [record for record in caplog.records if record.levelname != "DEBUG"]
        assert warning.levelname == "WARNING"
        assert (
            "'note:1:events' refused: max_sessions=2 streams of this manager are"
            in warning.getMessage()
        )

    async def test_each_manager_counts_its_own_streams(self, make_notes, connect):
        broker = MemoryBroker()
        full, other = (
            make_notes(max_sessions=1, key_prefix=prefix, broker=broker) for prefix in ("a", "b")
        )

        statuses = [(await connect(notes.app, URL)).status for notes in (full, full, other)]

        assert statuses == [200, 503, 200]

    async def test_limit_holds_for_simultaneous_streams(self, make_notes, connect):
        notes = make_notes(max_sessions=3)
        streams = [await connect(notes.app, URL, wait=False) for _ in range(10)]
        for stream in streams:
            await stream.until(lambda stream=stream: stream.body or stream.is_complete)

        assert sorted(stream.status for stream in streams) == [200] * 3 + [503] * 7
        assert notes.manager.session_count("1") == 3
        for stream in streams:
            stream.disconnect()
            await stream.until_end()
        assert notes.engine.hub.feed("note:1:events") is None


class TestStoreThatIsAway:
    async def test_stream_gets_503_and_only_the_log_says_why(self, make_notes, connect, caplog):
        class Away(MemoryBroker):
            async def subscribe(self, *_args, **_kwargs):
                raise BrokerError("Redis at 10.1.2.3:6379 lacks rights")

        notes = make_notes(broker=Away())
        refused = await connect(notes.app, URL)

        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert refused.answer == {
            "detail": "events are not available at present; the server's log says why"
        }
        assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
            (
                "WARNING",
                "stream of 'note:1:events' refused: Redis at 10.1.2.3:6379 lacks rights",
            )
        ]
        assert notes.manager.session_count("1") == 0


class TestPositionThatIsUnknownHere:
    @pytest.mark.parametrize(
        ("unknown", "reason"), [("0123456789ab.1.n", "epoch"), (None, "ahead")]
    )
    async def test_resets_a_stream_once_where_the_log_is_the_store(
        self, make_notes, connect, unknown, reason
    ):
        notes = make_notes()
        [seen] = await notes.publish("a")
        await connect(notes.app, URL)
        epoch = seen.split(".")[0]
        stream = await connect(notes.app, URL, last_event_id=unknown or f"{epoch}.9.n")
        await notes.publish("b")
        await stream.until(b'"text":"b"')

        assert notes.controls(stream) == ["stream-open", f"stream-reset {reason}"]
        assert notes.texts(stream) == ["b"]

    async def test_is_refused_where_the_store_cannot_be_asked(self, make_notes, connect):
        class Away(MemoryBroker):
            async def refresh(self, *_args, **_kwargs):
                raise BrokerError("Redis does not answer in time")

        notes = make_notes(broker=Away())
        [seen] = await notes.publish("a")
        staying = await connect(notes.app, URL)
        refused = await connect(notes.app, URL, last_event_id="0123456789ab.1.n")
        with pytest.raises(BrokerError, match="does not answer"):
            async with notes.manager.subscribe("1", last_event_id="0123456789ab.1.n"):
                pass
        known = await connect(notes.app, URL, last_event_id=seen)

        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert notes.controls(known) == ["stream-open"]
        for stream in (staying, known):
            stream.disconnect()
            await stream.until_end()
        assert notes.engine.hub.feed("note:1:events") is None


class TestFollowing:
    """Several streams of a channel share one wait for the broker."""

    @pytest.fixture
    def gate(self):
        return asyncio.Event()

    @pytest.fixture
    def broker(self, gate):
        class Slow(MemoryBroker):
            async def subscribe(self, key, retention, notify):
                await gate.wait()
                return await super().subscribe(key, retention, notify)

        return Slow()

    async def test_client_that_leaves_meanwhile_leaves_others_waiting(
        self, make_notes, connect, broker, gate, eventually
    ):
        notes = make_notes(broker=broker)
        leaving = await connect(notes.app, URL, wait=False)
        staying = await connect(notes.app, URL, wait=False)
        await eventually(
            lambda: (feed := notes.engine.hub.feed("note:1:events")) and feed.users == 2
        )
        leaving.task.cancel()
        await asyncio.wait([leaving.task])
        gate.set()

        await staying.until(b"stream-open")
        assert notes.manager.session_count("1") == 1

    async def test_abandoned_channel_is_not_followed(
        self, make_notes, connect, broker, gate, eventually
    ):
        notes = make_notes(broker=broker)
        leaving = await connect(notes.app, URL, wait=False)
        feed = await eventually(lambda: notes.engine.hub.feed("note:1:events"))
        leaving.task.cancel()
        await asyncio.wait([leaving.task])
        gate.set()
        await eventually(feed.ready.done)

        assert repr(broker) == "<MemoryBroker followed=0 idle=0>"


class TestDrain:
    async def test_drain_ends_every_stream_and_refuses_new_ones(self, make_notes, connect, caplog):
        notes = make_notes(drain_spread=1)
        streams = [await connect(notes.app, f"/notes/{name}/events") for name in "123"]

        await notes.manager.drain()
        refused = await connect(notes.app, URL)

        for stream in streams:
            await stream.until_end()
            assert notes.controls(stream) == ["stream-open", "stream-close shutdown"]
            assert 500 <= int(stream.frames[-1]["retry"]) <= 1500
        assert (refused.status, refused.headers["retry-after"]) == (503, "2")
        assert refused.answer == {"detail": "this server is ending its streams; connect again"}
        # a deploy logs no warning
        assert [record for record in caplog.records if record.levelname != "DEBUG"] == []

    async def test_drain_does_not_wait_for_a_client_that_reads_nothing(
        self, make_notes, connect, eventually
    ):
        notes = make_notes()
        stuck = await connect(notes.app, URL)
        stuck.hold()
        await notes.publish("a")
        await eventually(lambda: stuck.sends_waiting)

        async with asyncio.timeout(5):
            await notes.manager.drain()

        assert notes.manager.session_count("1") == 0

    async def test_drain_waits_for_streams_after_a_client_left(
        self, make_notes, connect, eventually
    ):
        notes = make_notes()
        gone = await connect(notes.app, URL)
        gone.disconnect()
        await gone.until_end()
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish("a")
        await eventually(lambda: stream.sends_waiting)

        await notes.manager.drain()

        assert notes.manager.session_count("1") == 0

    async def test_second_drain_ends_the_streams_that_came_after_another_start(
        self, make_notes, connect
    ):
        notes = make_notes()
        await notes.manager.drain()
        await notes.manager.start()
        stream = await connect(notes.app, URL)

        await notes.manager.drain()
        await stream.until_end()

        assert notes.controls(stream) == ["stream-open", "stream-close shutdown"]
        await notes.manager.stop()

    async def test_stream_that_opens_during_the_drain_is_refused(
        self, make_notes, connect, eventually
    ):
        gate = asyncio.Event()

        async def initial():
            await gate.wait()
            return {"type": "note"}

        notes = make_notes(router={"initial_event": initial})
        stream = await connect(notes.app, URL, wait=False)
        await eventually(lambda: notes.manager.session_count("1"))
        draining = asyncio.ensure_future(notes.manager.drain())
        await asyncio.sleep(0)
        gate.set()
        await draining
        await stream.until_end()

        assert stream.status == 503

    async def test_simultaneous_drains_are_one(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        await asyncio.gather(notes.manager.drain(), notes.manager.drain())
        await stream.until_end()

        assert notes.controls(stream) == ["stream-open", "stream-close shutdown"]


def _quoted(name):
    return quote(name, safe="")
