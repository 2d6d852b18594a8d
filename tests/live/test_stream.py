"""One stream from its first byte to its last."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import threading
import weakref
from contextvars import ContextVar
from typing import Any

import pytest
from fastapi import HTTPException

from fastapi_sse_channels import ConfigurationError, Session, StreamResetError
from fastapi_sse_channels._core.log import PIECE, Log
from fastapi_sse_channels._core.position import Position, new_epoch, start_of
from fastapi_sse_channels._live import running

URL = "/notes/1/events"
USER: ContextVar[str] = ContextVar("user")
HELD: ContextVar[object] = ContextVar("held")


@pytest.fixture(params=[False, True], ids=["in its request", "handed off"])
def is_handed_off(request):
    return request.param


class Reloading:
    """An initial event that loads at once when a stream opens, and waits for `gate` later."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.loads: list[int] = []

    async def load(self):
        self.loads.append(0)
        if len(self.loads) > 1:
            await self.gate.wait()
        return {"type": "note", "text": f"initial {len(self.loads)}"}

    async def leaves_nothing_to(self, stream):
        """Let the client leave first, so that nobody gets what is loaded then."""
        stream.disconnect()
        await stream.until_end()
        received = len(stream.messages)
        self.gate.set()
        for _ in range(20):
            await asyncio.sleep(0)

        assert len(stream.messages) == received


@pytest.fixture
def reloading():
    return Reloading()


class TestOpening:
    async def test_first_frame_is_stream_open_with_the_cursor(self, make_notes, connect):
        notes = make_notes(retry=2000)
        [last] = await notes.publish("before")

        stream = await connect(notes.app, URL)

        [opening] = stream.frames
        assert 1000 <= int(opening["retry"]) <= 3000
        assert (
            stream.body
            == (
                f"event: stream-open\nid: {last}\nretry: {opening['retry']}\n"
                'data: {"protocol":1,"resumed":false,"ping_interval":15}\n\n'
            ).encode()
        )

    async def test_retries_are_spread(self, make_notes, connect):
        notes = make_notes()
        streams = [await connect(notes.app, URL) for _ in range(10)]

        assert len({stream.frames[0]["retry"] for stream in streams}) > 1

    async def test_opening_carries_the_replay(self, make_notes, connect):
        notes = make_notes()
        ids = await notes.publish("a", "b", "c")

        stream = await connect(notes.app, URL, last_event_id=ids[0])

        assert len(stream.chunks) == 1
        assert notes.texts(stream) == ["b", "c"]

    async def test_initial_event_is_followed_by_events_published_meanwhile(
        self, make_notes, connect, eventually
    ):
        gate = asyncio.Event()

        async def initial():
            await gate.wait()
            return {"type": "note", "text": "initial"}

        notes = make_notes(router={"initial_event": initial})
        stream = await connect(notes.app, URL, wait=False)
        await eventually(lambda: notes.manager.session_count("1"))
        await notes.publish("a", "b")
        gate.set()
        await stream.until(b'"text":"b"')

        assert notes.texts(stream) == ["initial", "a", "b"]

    async def test_overtaken_initial_event_is_loaded_again(self, make_notes, connect):
        loads: list[int] = []

        async def initial():
            loads.append(len(loads))
            if len(loads) < 3:
                for text in "abcdef":
                    await notes.manager.broker.publish(
                        notes.engine.keys.key("1"),
                        notes.engine.encoder.body({"type": "note", "text": text}),
                        notes.engine.retention,
                    )
            return {"type": "note", "text": f"initial {len(loads)}"}

        notes = make_notes(history_size=5, router={"initial_event": initial})
        stream = await connect(notes.app, URL)
        await notes.publish("live")
        await stream.until(b'"text":"live"')

        assert notes.texts(stream) == ["initial 3", "live"]
        assert notes.controls(stream) == ["stream-open"]

    async def test_initial_event_that_is_always_overtaken_ends_with_503(
        self, make_notes, connect, caplog
    ):
        async def initial():
            for text in "abcdef":
                await notes.manager.broker.publish(
                    notes.engine.keys.key("1"),
                    notes.engine.encoder.body({"type": "note", "text": text}),
                    notes.engine.retention,
                )
            return {"type": "note"}

        notes = make_notes(history_size=5, router={"initial_event": initial})
        stream = await connect(notes.app, URL)

        assert stream.status == 503
        assert stream.answer == {
            "detail": "the current state changes faster than it loads; connect again later"
        }
        [warning] = [record for record in caplog.records if record.levelname != "DEBUG"]
        assert "initial event of note:1:events takes longer than the" in warning.getMessage()
        assert notes.manager.session_count("1") == 0

    async def test_last_of_several_initial_events_carries_the_cursor(self, make_notes, connect):
        async def initial():
            return [{"type": "note", "text": text} for text in "abc"]

        notes = make_notes(router={"initial_event": initial})
        stream = await connect(notes.app, URL)

        opening, a, b, c = stream.frames
        assert opening["id"] == c["id"] + "~"
        assert "id" not in a
        assert "id" not in b

    @pytest.mark.parametrize("nothing", [None, [], ()])
    async def test_opening_without_an_initial_event_carries_the_final_cursor(
        self, make_notes, connect, nothing
    ):
        async def initial():
            return nothing

        notes = make_notes(router={"initial_event": initial})
        stream = await connect(notes.app, URL)

        [opening] = stream.frames
        assert not opening["id"].endswith("~")


class TestPieces:
    """A server keeps each piece that it gets for a client that reads nothing."""

    @pytest.mark.parametrize("is_held", [False, True])
    async def test_pieces_stay_below_what_the_server_should_keep(
        self, make_notes, connect, is_held
    ):
        texts = ["x" * length for length in (10, 40_000, 20_000, 200_000, 30_000, 100_000, 3)]
        notes = make_notes()
        ids = await notes.publish("first", *texts)
        resumed = await connect(notes.app, URL, last_event_id=ids[0])
        live = await connect(notes.app, URL)
        if is_held:
            live.hold()
        await notes.publish(*texts, "last")
        live.release()
        for stream in (resumed, live):
            await stream.until(b'"text":"last"')

        assert notes.texts(live) == [*texts, "last"]
        assert notes.texts(resumed) == [*texts, *texts, "last"]
        assert max(len(chunk) for stream in (resumed, live) for chunk in stream.chunks) <= PIECE

    async def test_large_initial_events_are_sent_in_pieces_too(self, make_notes, connect):
        async def initial():
            return [{"type": "note", "text": "x" * 100_000}] * 2

        notes = make_notes(history_size=2, slow_after=0.01, router={"initial_event": initial})
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish(*"abcdefgh")
        stream.release()
        await stream.until(lambda: stream.body.count(b"x" * 100_000) == 4)
        await notes.publish("live")
        await stream.until(b'"text":"live"')

        assert notes.controls(stream) == ["stream-open", "stream-reset slow"]
        assert max(map(len, stream.chunks)) <= PIECE

    async def test_reset_follows_the_frame_that_was_begun(self, make_notes, connect, eventually):
        notes = make_notes(history_size=2, slow_after=0.01)
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish("x" * 100_000)
        await eventually(lambda: stream.sends_waiting)
        await notes.publish(*"abcdef")
        stream.release()
        await stream.until(b"stream-reset")

        assert notes.texts(stream) == ["x" * 100_000]
        assert notes.controls(stream) == ["stream-open", "stream-reset slow"]


class TestReset:
    async def test_reset_in_mid_stream_brings_the_initial_event_again(self, make_notes, connect):
        loads: list[int] = []

        async def initial():
            loads.append(0)
            return {"type": "note", "text": f"initial {len(loads)}"}

        notes = make_notes(history_size=2, slow_after=0.01, router={"initial_event": initial})
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish(*"abcdefgh")
        stream.release()
        await stream.until(b'"text":"initial 2"')
        cursor = stream.last_event_id
        await notes.publish("live")
        await stream.until(b'"text":"live"')

        resumed = await connect(notes.app, URL, last_event_id=cursor)

        reset = next(frame for frame in stream.frames if frame.get("event") == "stream-reset")
        assert reset["id"] == cursor + "~"
        assert notes.texts(stream)[-2:] == ["initial 2", "live"]
        assert notes.texts(resumed) == ["live"]

    @pytest.mark.parametrize("error", [HTTPException(404), ValueError("away")])
    async def test_initial_event_that_fails_in_mid_stream_asks_for_a_reconnect(
        self, make_notes, connect, caplog, error
    ):
        loads: list[int] = []

        async def initial():
            loads.append(0)
            if len(loads) > 1:
                raise error
            return {"type": "note", "text": "initial"}

        notes = make_notes(history_size=2, slow_after=0.01, router={"initial_event": initial})
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish(*"abcdefgh")
        stream.release()
        await stream.until_end()

        assert [message["type"] for message in stream.messages].count("http.response.start") == 1
        assert notes.controls(stream) == ["stream-open", "stream-close ended"]
        assert json.loads(stream.frames[-1]["data"])["reconnect"] is True
        assert "the initial event after a reset failed" in caplog.text

    async def test_client_that_leaves_during_a_reset_gets_nothing_more(
        self, make_notes, connect, eventually, reloading
    ):
        notes = make_notes(
            history_size=2, slow_after=0.01, router={"initial_event": reloading.load}
        )
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish(*"abcdefgh")
        stream.release()
        await eventually(lambda: len(reloading.loads) == 2)

        await reloading.leaves_nothing_to(stream)


class TestResetAtTheStart:
    """The client comes back with an id from which it cannot go on."""

    @pytest.mark.parametrize("has_initial", [False, True])
    async def test_client_lost_before_the_reset_is_reset_when_it_comes_back(
        self, make_notes, connect, has_initial
    ):
        async def initial():
            return {"type": "note", "text": "initial"}

        notes = make_notes(history_size=2, router={"initial_event": initial} if has_initial else {})
        [old, *_] = await notes.publish(*"abcd")
        stream = await connect(notes.app, URL, last_event_id=old)
        opening, reset, *_ = stream.frames
        assert (opening["event"], reset["event"]) == ("stream-open", "stream-reset")

        # it has read the first frame only, so its last id is the old one
        assert "id" not in opening
        back = await connect(notes.app, URL, last_event_id=old)

        assert notes.controls(back) == ["stream-open", "stream-reset trimmed"]
        assert notes.texts(back) == (["initial"] if has_initial else [])


class TestLostContinuity:
    async def test_resuming_client_that_is_overtaken_before_its_first_byte_is_reset(
        self, make_notes, connect
    ):
        async def on_connect(session):
            assert session.resumed
            for text in "abcdef":
                await session.channel.publish({"type": "note", "text": text})

        notes = make_notes(history_size=5, slow_after=1e-6, router={"on_connect": on_connect})
        [event_id] = await notes.publish("first")
        stream = await connect(notes.app, URL, last_event_id=event_id)

        assert notes.controls(stream) == ["stream-open", "stream-reset slow"]
        assert json.loads(stream.frames[0]["data"])["resumed"] is False
        assert notes.texts(stream) == []

    async def test_log_that_begins_anew_resets_every_stream(self, make_notes, connect):
        notes = make_notes()
        await notes.publish("a", "b")
        stream = await connect(notes.app, URL)
        feed = notes.feed

        feed.log.restart(start_of(new_epoch()))
        feed.notify()
        await stream.until(b"stream-reset")
        await notes.publish("live")
        await stream.until(b'"text":"live"')

        assert notes.controls(stream) == ["stream-open", "stream-reset epoch"]
        assert notes.texts(stream) == ["live"]

    @pytest.mark.parametrize(
        ("top", "before", "reason"),
        [
            (20, "trimmed", "trimmed"),
            (20, "expired", "expired"),
            (1, "trimmed", "ahead"),
            (2, "trimmed", "epoch"),
        ],
    )
    async def test_lost_log_gives_open_and_resuming_streams_the_same_reason(
        self, make_notes, connect, top, before, reason
    ):
        """The store went on, or back, without this process."""
        notes = make_notes()
        [*_, seen] = await notes.publish("a", "b")
        stream = await connect(notes.app, URL)
        feed = notes.feed
        elsewhere = Log(feed.log.retention, feed.log.top)
        elsewhere.restart(Position(feed.log.epoch, top, "other"), before=before)
        async with notes.manager.subscribe("1") as events:
            feed.log.become(elsewhere)
            feed.notify()
            await stream.until(b"stream-reset")
            with pytest.raises(StreamResetError) as in_python:
                await anext(events)
        back = await connect(notes.app, URL, last_event_id=seen)

        assert notes.controls(stream) == ["stream-open", f"stream-reset {reason}"]
        assert notes.controls(back) == ["stream-open", f"stream-reset {reason}"]
        assert in_python.value.reason == reason

    async def test_client_that_leaves_while_its_log_begins_anew_gets_nothing_more(
        self, make_notes, connect, eventually, reloading
    ):
        notes = make_notes(router={"initial_event": reloading.load})
        stream = await connect(notes.app, URL)
        feed = notes.feed
        feed.log.restart(start_of(new_epoch()))
        feed.notify()
        await eventually(lambda: len(reloading.loads) == 2)

        await reloading.leaves_nothing_to(stream)


class TestServers:
    @pytest.fixture(params=["at once", "when awaited"])
    def failing(self, request):
        """Put a client behind a server whose `send` fails for one event."""

        def at_once(_message):
            raise RuntimeError("flow error")

        async def when_awaited(_message):
            raise RuntimeError("flow error")

        fail = at_once if request.param == "at once" else when_awaited

        def around(app, marker):
            async def wrapped(scope, receive, send):
                # this is no coroutine function: granian raises before there is anything to await
                def checked(message):
                    return fail(message) if marker in message.get("body", b"") else send(message)

                await app(scope, receive, checked)

            return wrapped

        return around

    async def test_request_cancelled_as_its_stream_ends_stays_cancelled(self, make_notes, connect):
        async def cancelling(scope, receive, send):
            async def cancel_at_the_end(message):
                await send(message)
                if message["type"] == "http.response.body" and not message["more_body"]:
                    stream.task.cancel()

            await notes.app(scope, receive, cancel_at_the_end)

        notes = make_notes()
        stream = await connect(cancelling, URL)
        notes.manager.channel("1").close()
        await asyncio.wait([stream.task])

        assert stream.task.cancelled()
        assert notes.manager.session_count("1") == 0

    async def test_send_that_fails_ends_its_own_stream_only(self, make_notes, connect, failing):
        notes = make_notes()
        broken = await connect(failing(notes.app, b'"text":"a"'), URL)
        healthy = await connect(notes.app, URL)
        await notes.publish("a")
        await healthy.until(b'"text":"a"')
        await broken.until_end()
        await notes.publish("b")
        await healthy.until(b'"text":"b"')

        assert notes.manager.session_count("1") == 1

    async def test_send_that_fails_after_a_slow_one_ends_the_stream(
        self, make_notes, connect, failing, eventually
    ):
        notes = make_notes()
        stream = await connect(failing(notes.app, b'"text":"b"'), URL)
        stream.hold()
        await notes.publish("a")
        await eventually(lambda: stream.sends_waiting)
        await notes.publish("b")
        stream.release()
        await stream.until_end()

        assert notes.texts(stream) == ["a"]
        assert notes.manager.session_count("1") == 0

    async def test_send_that_fails_with_a_reset_ends_the_stream(self, make_notes, connect, failing):
        notes = make_notes(history_size=2, slow_after=0.01)
        stream = await connect(failing(notes.app, b"stream-reset"), URL)
        stream.hold()
        await notes.publish(*"abcdefgh")
        stream.release()
        await stream.until_end()

        assert notes.controls(stream) == ["stream-open"]
        assert notes.manager.session_count("1") == 0


class TestContext:
    """Publishers' tasks send the events, and have a user, tenant or trace of their own."""

    async def test_initial_event_after_a_reset_loads_in_its_own_request_context(
        self, make_notes, connect
    ):
        loads: list[str] = []

        async def initial():
            loads.append(USER.get())
            return {"type": "note", "text": f"initial {len(loads)}"}

        notes = make_notes(history_size=2, slow_after=0.01, router={"initial_event": initial})
        stream = await connect(as_user("reader", notes.app), URL)
        USER.set("publisher")
        stream.hold()
        await notes.publish(*"abcdefgh")
        stream.release()
        await stream.until(b'"text":"initial 2"')
        feed = notes.feed
        feed.log.restart(start_of(new_epoch()))
        feed.notify()
        await stream.until(b'"text":"initial 3"')

        assert loads == ["reader"] * 3

    async def test_middleware_always_sees_its_own_request_context(
        self, make_notes, connect, eventually
    ):
        notes = make_notes()
        seen: list[str] = []
        stream = await connect(as_user("reader", noting_users(seen, notes.app)), URL)
        USER.set("publisher")
        await notes.publish("a")
        await stream.until(b'"text":"a"')
        stream.hold()
        await notes.publish("b")
        await eventually(lambda: stream.sends_waiting)
        await notes.publish("c")
        stream.release()
        await stream.until(b'"text":"c"')

        assert set(seen) == {"reader"}

    @pytest.mark.parametrize("is_held", [False, True])
    async def test_request_without_context_sees_no_publisher_context(
        self, make_notes, connect, eventually, is_held
    ):
        notes = make_notes()
        seen: list[str] = []
        opened = contextvars.Context().run(
            asyncio.ensure_future, connect(noting_users(seen, notes.app), URL)
        )
        stream = await opened
        USER.set("publisher")
        if is_held:
            stream.hold()
        await notes.publish("a")
        if is_held:
            await eventually(lambda: stream.sends_waiting)
            await notes.publish("b")
            stream.release()
        await stream.until(b'"text":"b"' if is_held else b'"text":"a"')

        assert set(seen) == {"nobody"}

    async def test_context_of_a_request_goes_with_its_stream(self, make_notes, connect, eventually):
        class Value:
            pass

        notes = make_notes(send_timeout=0.3)
        values: list[weakref.ref[Value]] = []

        async def app(scope, receive, send):
            async def request():
                value = Value()
                values.append(weakref.ref(value))
                HELD.set(value)
                await notes.app(scope, receive, send)

            await asyncio.create_task(request())

        first = await connect(app, URL)
        second = await connect(app, URL)
        await notes.publish("a")
        await second.until(b'"text":"a"')
        first.disconnect()
        await first.until_end()

        def is_collected():
            gc.collect()
            return values[0]() is None

        # the loop keeps timers that were cancelled until they would have been due
        await eventually(is_collected)
        assert values[1]() is not None


def noting_users(seen, app):
    async def wrapped(scope, receive, send):
        async def noting(message):
            seen.append(USER.get("nobody"))
            await send(message)
            seen.append(USER.get("nobody"))

        await app(scope, receive, noting)

    return wrapped


def as_user(name, app):
    async def wrapped(scope, receive, send):
        USER.set(name)
        await app(scope, receive, send)

    return wrapped


class TestClosing:
    async def test_close_follows_published_events(self, make_notes, connect):
        notes = make_notes(retry=1000)
        stream = await connect(notes.app, URL)
        opening = stream.body
        [event_id] = await notes.publish("last")

        assert notes.manager.channel("1").close() == 1
        await stream.until_end()

        retry = stream.frames[-1]["retry"]
        assert 500 <= int(retry) <= 1500
        assert (
            stream.body.removeprefix(opening)
            == (
                f'id: {event_id}\ndata: {{"type":"note","text":"last"}}\n\n'
                f"event: stream-close\nretry: {retry}\n"
                'data: {"reason":"ended","reconnect":false}\n\n'
            ).encode()
        )
        assert stream.is_complete

    async def test_close_names_reason_and_whether_to_come_back(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        [session] = notes.manager.sessions("1")

        session.close("revoked", reconnect=True)
        await stream.until_end()

        assert json.loads(stream.frames[-1]["data"]) == {"reason": "revoked", "reconnect": True}

    async def test_unknown_close_reason_is_refused(self, make_notes, connect):
        notes = make_notes()
        unknown: Any = "kicked"
        with pytest.raises(ConfigurationError, match="reason='kicked' is not known; use 'shut"):
            notes.manager.channel("1").close(unknown)
        await connect(notes.app, URL)
        [session] = notes.manager.sessions("1")

        with pytest.raises(ConfigurationError, match="reason='kicked' is not known; use 'shut"):
            session.close(unknown)

    async def test_close_from_another_thread(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)

        await asyncio.to_thread(notes.manager.channel("1").close, "expired")
        await stream.until_end()

        assert notes.controls(stream)[-1] == "stream-close expired"

    async def test_close_waits_for_a_pending_send(self, make_notes, connect, eventually):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish("a")
        await eventually(lambda: stream.sends_waiting)
        notes.manager.channel("1").close()
        await notes.publish("b")
        stream.release()
        await stream.until_end()

        assert notes.texts(stream) == ["a", "b"]
        assert notes.controls(stream)[-1] == "stream-close ended"

    async def test_due_ping_does_not_replace_the_close(self, make_notes, connect, eventually):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        [session] = notes.engine.hub.streams
        stream.hold()
        await notes.publish("a")
        await eventually(lambda: stream.sends_waiting)
        session.close()
        session.ping()
        stream.release()
        await stream.until_end()

        assert notes.controls(stream)[-1] == "stream-close ended"

    async def test_closing_from_a_thread_wakes_an_idle_loop(self, make_notes, connect):
        notes = make_notes(ping_interval=None)
        stream = await connect(notes.app, URL)
        closing = threading.Timer(0.01, notes.manager.channel("1").close)
        closing.start()

        await stream.until_end()
        await asyncio.to_thread(closing.join)

    async def test_closing_twice_is_closing_once(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        notes.manager.channel("1").close("ended")
        notes.manager.channel("1").close("revoked")
        await stream.until_end()

        assert notes.controls(stream) == ["stream-open", "stream-close revoked"]

    @pytest.mark.parametrize("slow_policy", ["reset", "close"])
    async def test_revoked_lagging_client_does_not_see_the_current_state(
        self, make_notes, connect, slow_policy
    ):
        loads: list[int] = []

        async def initial():
            loads.append(0)
            return {"type": "note", "text": f"initial {len(loads)}"}

        notes = make_notes(
            history_size=2,
            slow_after=0.01,
            slow_policy=slow_policy,
            router={"initial_event": initial},
        )
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish(*"abcdefgh")
        notes.manager.channel("1").close("revoked")
        stream.release()
        await stream.until_end()

        assert notes.controls(stream) == ["stream-open", "stream-close revoked"]
        assert json.loads(stream.frames[-1]["data"])["reconnect"] is False
        assert len(loads) == 1

    async def test_client_revoked_during_a_reset_does_not_see_the_current_state(
        self, make_notes, connect, eventually, reloading
    ):
        notes = make_notes(
            history_size=2, slow_after=0.01, router={"initial_event": reloading.load}
        )
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish(*"abcdefgh")
        stream.release()
        await eventually(lambda: len(reloading.loads) == 2)
        notes.manager.channel("1").close("revoked")
        reloading.gate.set()
        await stream.until_end()

        assert notes.controls(stream) == ["stream-open", "stream-close revoked"]

    @pytest.mark.parametrize(("reason", "reconnect"), [("revoked", False), ("expired", True)])
    async def test_client_closed_while_its_state_loads_does_not_see_it(
        self, make_notes, connect, eventually, reason, reconnect
    ):
        gate = asyncio.Event()

        async def initial():
            await gate.wait()
            return {"type": "note", "text": "initial"}

        notes = make_notes(router={"initial_event": initial})
        stream = await connect(notes.app, URL, wait=False)
        [session] = await eventually(lambda: notes.manager.sessions("1"))
        await notes.publish("meanwhile")
        session.close(reason, reconnect=reconnect)
        gate.set()
        await stream.until_end()
        if reconnect:
            back = await connect(notes.app, URL, last_event_id=stream.last_event_id)
            assert notes.texts(back) == ["initial"]

        assert notes.controls(stream) == ["stream-open", f"stream-close {reason}"]
        assert notes.texts(stream) == []

    async def test_session_closed_by_on_connect_sends_only_the_close(self, make_notes, connect):
        notes = make_notes(router={"on_connect": lambda session: session.close("revoked")})
        stream = await connect(notes.app, URL)
        await stream.until_end()

        assert notes.controls(stream) == ["stream-open", "stream-close revoked"]


class TestHooks:
    @pytest.mark.parametrize("is_async", [True, False])
    async def test_hooks_see_the_session_counted_and_no_longer_counted(
        self, make_notes, connect, is_async
    ):
        seen = []

        def note(name):
            def hook(session):
                seen.append((name, session.channel.session_count))

            async def async_hook(session):
                hook(session)

            return async_hook if is_async else hook

        notes = make_notes(router={"on_connect": note("on"), "on_disconnect": note("off")})
        stream = await connect(notes.app, URL)
        stream.disconnect()
        await stream.until_end()

        assert seen == [("on", 1), ("off", 0)]

    async def test_hooks_see_what_the_client_sent(self, make_notes, connect):
        sessions: list[Session[Any]] = []
        notes = make_notes(router={"on_connect": sessions.append})
        [event_id] = await notes.publish("a")
        await connect(notes.app, URL, last_event_id=event_id)
        [session] = sessions

        assert (session.last_event_id, session.resumed) == (event_id, True)
        assert session.channel.resource_id == "1"
        assert repr(session).startswith(f"<Session {session.id} of note:1:events at 1 ")

    async def test_error_of_on_connect_is_the_response(self, make_notes, connect):
        async def on_connect(_session):
            raise HTTPException(403, "not you")

        notes = make_notes(router={"on_connect": on_connect})
        stream = await connect(notes.app, URL)

        assert stream.status == 403
        assert notes.manager.session_count("1") == 0

    async def test_error_of_on_disconnect_is_logged(self, make_notes, connect, caplog):
        async def on_disconnect(_session):
            msg = "boom"
            raise ValueError(msg)

        notes = make_notes(router={"on_disconnect": on_disconnect})
        stream = await connect(notes.app, URL)
        stream.disconnect()
        await stream.until_end()

        assert "on_disconnect failed" in caplog.text

    async def test_on_disconnect_that_hangs_is_given_up_and_named(
        self, make_notes, connect, caplog, monkeypatch
    ):
        monkeypatch.setattr(running, "_DISCONNECT_TIMEOUT", 0.05)
        ended = asyncio.Event()

        async def on_disconnect(_session):
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        notes = make_notes(router={"on_disconnect": on_disconnect})
        stream = await connect(notes.app, URL)
        stream.disconnect()
        await stream.until_end()
        await ended.wait()

        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "on_disconnect took longer than 0.05 s" in caplog.text

    async def test_on_disconnect_that_times_out_by_itself_is_not_called_slow(
        self, make_notes, connect, caplog
    ):
        async def on_disconnect(_session):
            raise TimeoutError("the database")

        notes = make_notes(router={"on_disconnect": on_disconnect})
        stream = await connect(notes.app, URL)
        stream.disconnect()
        await stream.until_end()

        assert "on_disconnect failed" in caplog.text
        assert "the database" in caplog.text
        assert "took longer" not in caplog.text

    async def test_error_of_on_disconnect_is_logged_after_a_cancelled_request(
        self, make_notes, connect, caplog, eventually
    ):
        running, gate = asyncio.Event(), asyncio.Event()

        async def on_disconnect(_session):
            running.set()
            await gate.wait()
            raise ValueError("boom")

        notes = make_notes(router={"on_disconnect": on_disconnect})
        stream = await connect(notes.app, URL)
        stream.disconnect()
        await running.wait()
        stream.task.cancel()
        await asyncio.wait([stream.task])
        gate.set()

        await eventually(lambda: "on_disconnect failed" in caplog.text)

    async def test_on_disconnect_may_publish(self, make_notes, connect):
        async def on_disconnect(session):
            await session.channel.publish({"type": "note", "text": "left"})

        notes = make_notes(router={"on_disconnect": on_disconnect})
        leaving = await connect(notes.app, URL)
        staying = await connect(notes.app, URL)
        leaving.disconnect()

        await staying.until(b'"text":"left"')
