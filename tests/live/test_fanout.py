"""The fan-out: no reader waits for another, and order is kept."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise

import anyio
import pytest

from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels._live.fanout import Fanout, Linger

URL = "/notes/1/events"


@pytest.fixture(params=[False, True], ids=["in its request", "handed off"])
def is_handed_off(request):
    return request.param


class TestSharing:
    async def test_sessions_at_one_position_share_one_bytes_object(self, make_notes, connect):
        notes = make_notes()
        streams = [await connect(notes.app, URL) for _ in range(3)]
        await notes.publish("a", "b")
        for stream in streams:
            await stream.until(b'"text":"b"')

        first, *others = [stream.chunks[-1] for stream in streams]
        assert all(chunk is first for chunk in others)

    async def test_events_of_one_loop_turn_share_one_send(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        opening = len(stream.chunks)

        await notes.publish("a", "b", "c")
        await stream.until(b'"text":"c"')

        assert len(stream.chunks) == opening + 1


class TestBackPressure:
    async def test_send_that_waits_does_not_delay_others(self, make_notes, connect):
        notes = make_notes()
        streams = [await connect(notes.app, URL) for _ in range(5)]
        streams[0].hold()
        streams[3].hold()

        await notes.publish("a")
        for at in (1, 2, 4):
            await streams[at].until(b'"text":"a"')
        await notes.publish("b")
        for at in (1, 2, 4):
            await streams[at].until(b'"text":"b"')

        assert notes.texts(streams[0]) == notes.texts(streams[3]) == []

    async def test_order_is_kept_after_a_slow_send(self, make_notes, connect, eventually):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish("a")
        await eventually(lambda: stream.sends_waiting)
        await notes.publish("b", "c")
        stream.release()
        await stream.until(b'"text":"c"')
        await notes.publish("d")
        await stream.until(b'"text":"d"')

        assert notes.texts(stream) == ["a", "b", "c", "d"]

    async def test_only_one_send_of_a_session_waits_at_a_time(self, make_notes, connect):
        notes = make_notes()
        stream = await connect(notes.app, URL)
        stream.hold()
        for text in "abcde":
            await notes.publish(text)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert stream.sends_waiting <= 1

    async def test_session_that_takes_nothing_in_time_ends(self, make_notes, connect):
        notes = make_notes(send_timeout=0.05)
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish("a")

        await stream.until_end()

        assert notes.manager.session_count("1") == 0

    async def test_dropped_connection_is_aborted_behind_middlewares(self, make_notes, connect):
        class Transport:
            aborted = False

            def abort(self):
                Transport.aborted = True
                stream.disconnect()

        notes = make_notes(send_timeout=0.05)
        stream = await connect(notes.app, URL, transport=Transport())
        stream.hold()
        await notes.publish("a")

        await stream.until_end()

        assert Transport.aborted


class TestBursts:
    async def test_burst_overruns_no_healthy_reader(self, make_notes, connect):
        notes = make_notes(history_size=10)
        streams = [await connect(notes.app, URL) for _ in range(20)]

        await notes.publish(*map(str, range(1000)))
        for stream in streams:
            await stream.until(b'"text":"999"')

        for stream in streams:
            assert notes.texts(stream) == list(map(str, range(1000)))

    async def test_burst_of_concurrent_publishers_overruns_no_healthy_reader(
        self, make_notes, connect
    ):
        notes = make_notes(history_size=10)
        streams = [await connect(notes.app, URL) for _ in range(20)]

        await asyncio.gather(*(notes.publish(str(number)) for number in range(1000)))
        for stream in streams:
            await stream.until(lambda stream=stream: stream.body.count(b"data: {") >= 1001)

        for stream in streams:
            assert sorted(map(int, notes.texts(stream))) == list(range(1000))
            assert notes.controls(stream) == ["stream-open"]

    async def test_burst_bounded_by_bytes_overruns_no_healthy_reader(self, make_notes, connect):
        notes = make_notes(history_bytes=2000)
        stream = await connect(notes.app, URL)

        await notes.publish(*(str(number) * (number % 300 + 1) for number in range(500)))
        await stream.until(lambda: stream.body.count(b"data: {") == 501)

        assert notes.controls(stream) == ["stream-open"]

    async def test_publisher_goes_on_as_soon_as_a_stuck_reader_does(
        self, make_notes, connect, eventually
    ):
        """The publisher does not wait until it looks again by itself."""
        notes = make_notes(history_size=3, slow_after=1000)
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish("first")
        await eventually(lambda: stream.sends_waiting)
        publishing = asyncio.ensure_future(notes.publish(*"abcdef"))
        await eventually(lambda: notes.feed.log.top.offset == 4)
        stream.release()
        await stream.until(b'"text":"f"')

        await publishing
        assert notes.controls(stream) == ["stream-open"]

    async def test_stuck_reader_turns_slow_and_no_longer_holds_publishers(
        self, make_notes, connect
    ):
        notes = make_notes(history_size=5, slow_after=0.1)
        stuck = await connect(notes.app, URL)
        healthy = await connect(notes.app, URL)
        stuck.hold()
        loop = asyncio.get_running_loop()

        started = loop.time()
        async with asyncio.timeout(5):
            await notes.publish(*map(str, range(100)))
        waited = loop.time() - started
        await healthy.until(b'"text":"99"')
        stuck.release()
        await stuck.until(b"stream-reset")
        await notes.publish("live")
        await stuck.until(b'"text":"live"')
        await healthy.until(b'"text":"live"')

        # a tenth of the longest wait, for a client that never showed that it reads
        assert waited >= 0.01
        assert notes.texts(healthy) == [*map(str, range(100)), "live"]
        assert notes.controls(healthy) == ["stream-open"]
        assert notes.controls(stuck) == ["stream-open", "stream-reset slow"]
        *sent_before, live = notes.texts(stuck)
        assert sent_before == list(map(str, range(len(sent_before))))
        assert live == "live"

    async def test_slow_reader_is_reset_any_number_of_times(self, make_notes, connect):
        notes = make_notes(history_size=2)
        key, broker = notes.engine.keys.key("1"), notes.manager.broker
        body = event_body(b'{"type":"note","text":"overrun"}')

        class Overrunning(_WithTimeout):
            remaining = 1100

            async def __call__(self, scope, receive, send):
                async def wrapped(message):
                    await asyncio.sleep(0)
                    if message["type"] == "http.response.body" and self.remaining:
                        Overrunning.remaining -= 1
                        for _ in range(4):
                            await broker.publish(key, body, notes.engine.retention)
                    await send(message)

                await self.app(scope, receive, wrapped)

        stream = await connect(Overrunning(notes.app), URL)
        await stream.until(lambda: not Overrunning.remaining)
        await notes.publish("live")
        await stream.until(b'"text":"live"')

        assert notes.controls(stream) == ["stream-open", *["stream-reset slow"] * 1100]

    async def test_subscription_that_stalls_frees_publishers_in_time(self, make_notes, eventually):
        """The subscription stalls with room for small events, but none for the next, large one."""
        notes = make_notes(history_bytes=1000, slow_after=0.1)
        async with notes.manager.subscribe("1") as events:
            await notes.publish(*("x" * 20 for _ in range(8)))
            [reader] = notes.engine.hub.subscribers
            await eventually(lambda: reader.stuck_since is not None)
            async with asyncio.timeout(5):
                await anext(events)
                await notes.publish("y" * 700)

    async def test_slow_policy_close_ends_the_stream(self, make_notes, connect):
        notes = make_notes(history_size=5, slow_after=0.05, slow_policy="close")
        stuck = await connect(notes.app, URL)
        stuck.hold()
        await notes.publish(*map(str, range(50)))

        stuck.release()
        await stuck.until_end()

        assert notes.controls(stuck) == ["stream-open", "stream-close ended"]


class TestPublishers:
    """No client may hold up a publisher."""

    @pytest.fixture
    def coming(self, connect):
        """Open fifty new streams a second."""
        tasks: list[asyncio.Task[None]] = []

        async def coming(app, **options):
            async def come():
                while True:
                    stream = await connect(app, URL, wait=False, **options)
                    await asyncio.sleep(0.02)
                    stream.disconnect()

            tasks.append(asyncio.ensure_future(come()))

        yield coming
        for task in tasks:
            task.cancel()

    @pytest.mark.parametrize("history_size", [16, 256])
    async def test_reconnecting_clients_hold_no_publisher(
        self, make_notes, coming, eventually, history_size
    ):
        """Each client resumes from the oldest position, which the next event drops."""
        opening: list[float] = []

        async def on_connect(session):
            opening.append(0)
            await asyncio.sleep(0.02)
            await session.channel.publish({"type": "note", "text": "on_connect"})

        notes = make_notes(history_size=history_size, router={"on_connect": on_connect})
        [oldest, *_] = await notes.publish(*map(str, range(history_size)))
        await coming(notes.app, last_event_id=oldest)
        await eventually(lambda: len(opening) > 3)
        feed = notes.feed

        async with asyncio.timeout(5):
            for number in range(200):
                await notes.publish(str(number))

        assert feed is notes.feed

    async def test_slow_opening_still_replays_what_the_client_missed(
        self, make_notes, connect, eventually
    ):
        gate = asyncio.Event()
        notes = make_notes(history_size=4, router={"on_connect": lambda _session: gate.wait()})
        ids = await notes.publish(*"abcd")
        stream = await connect(notes.app, URL, last_event_id=ids[0], wait=False)
        await eventually(lambda: notes.manager.session_count("1"))
        async with asyncio.timeout(0.5):
            await notes.publish(*"efgh")
        gate.set()
        await stream.until(b'"text":"h"')

        assert notes.texts(stream) == list("bcdefgh")
        assert notes.controls(stream) == ["stream-open"]
        assert stream.frames[0]["id"] == ids[0]

    @pytest.mark.parametrize("last", [0, -1])
    async def test_uniterated_subscription_holds_a_publisher_for_a_moment(self, make_notes, last):
        notes = make_notes(history_size=4, slow_after=10)
        ids = await notes.publish(*"abcd")
        async with notes.manager.subscribe("1", last_event_id=ids[last]):
            async with asyncio.timeout(5):
                await notes.publish(*"efghijkl")

    async def test_slow_initial_events_do_not_slow_a_burst(self, make_notes, coming, eventually):
        loads: list[float] = []
        over = asyncio.Event()

        async def initial():
            loads.append(0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await over.wait()

        notes = make_notes(slow_after=4, router={"initial_event": initial})
        await coming(notes.app)
        await eventually(lambda: len(loads) > 3)

        async with asyncio.timeout(6):
            await notes.publish(*map(str, range(1500)))
        over.set()


class _WithTimeout:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def wrapped(message):
            async with asyncio.timeout(10):
                await send(message)

        await self.app(scope, receive, wrapped)


class _WithCancelScope(_WithTimeout):
    async def __call__(self, scope, receive, send):
        async def wrapped(message):
            with anyio.fail_after(10):
                await send(message)

        await self.app(scope, receive, wrapped)


class _WithTaskGroup(_WithTimeout):
    async def __call__(self, scope, receive, send):
        async def wrapped(message):
            async with anyio.create_task_group() as group:
                group.start_soon(send, message)

        await self.app(scope, receive, wrapped)


class _AlwaysSuspending(_WithTimeout):
    async def __call__(self, scope, receive, send):
        async def wrapped(message):
            await asyncio.sleep(0)
            await send(message)
            await asyncio.sleep(0)

        await self.app(scope, receive, wrapped)


class _WithAwaitable(_WithTimeout):
    """Its `send` returns an awaitable that is no coroutine, as that of compiled servers does."""

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, lambda message: asyncio.ensure_future(send(message)))


MIDDLEWARES = [_WithTimeout, _WithCancelScope, _WithTaskGroup, _AlwaysSuspending, _WithAwaitable]


class TestMiddlewares:
    @pytest.mark.parametrize("middleware", MIDDLEWARES)
    async def test_wrapped_send_delivers_whole_and_in_order(self, make_notes, connect, middleware):
        notes = make_notes(history_size=20)
        notes.app.add_middleware(middleware)
        streams = [await connect(notes.app, URL) for _ in range(5)]

        await notes.publish(*map(str, range(100)))
        for stream in streams:
            await stream.until(b'"text":"99"')

        for stream in streams:
            assert notes.texts(stream) == list(map(str, range(100)))

    @pytest.mark.parametrize("middleware", MIDDLEWARES)
    async def test_wrapped_send_that_waits_goes_on(self, make_notes, connect, middleware):
        notes = make_notes()
        notes.app.add_middleware(middleware)
        streams = [await connect(notes.app, URL) for _ in range(3)]
        streams[1].hold()
        await notes.publish("a")
        await streams[0].until(b'"text":"a"')
        await streams[2].until(b'"text":"a"')
        await notes.publish("b")
        streams[1].release()

        await streams[1].until(b'"text":"b"')

        assert notes.texts(streams[1]) == ["a", "b"]

    @pytest.mark.parametrize("middleware", MIDDLEWARES)
    async def test_wrapped_send_that_waits_too_long_ends_the_stream(
        self, make_notes, connect, middleware
    ):
        # the healthy client's sends take turns of the loop too, under the same limit
        notes = make_notes(send_timeout=0.5)
        notes.app.add_middleware(middleware)
        stuck = await connect(notes.app, URL)
        healthy = await connect(notes.app, URL)
        stuck.hold()
        await notes.publish("a")

        await stuck.until_end()
        await notes.publish("b")
        await healthy.until(b'"text":"b"')

        assert notes.texts(healthy) == ["a", "b"]

    async def test_own_timeout_of_a_middleware_ends_its_stream_only(self, make_notes, connect):
        class Impatient(_WithTimeout):
            async def __call__(self, scope, receive, send):
                async def wrapped(message):
                    async with asyncio.timeout(0.05):
                        await send(message)

                await self.app(scope, receive, wrapped)

        notes = make_notes()
        notes.app.add_middleware(Impatient)
        stuck = await connect(notes.app, URL)
        healthy = await connect(notes.app, URL)
        stuck.hold()
        await notes.publish("a")

        await stuck.until_end()
        await notes.publish("b")
        await healthy.until(b'"text":"b"')

        assert notes.manager.session_count("1") == 1


class _Failing:
    """A middleware whose `send` fails from a moment on."""

    def __init__(self, app, failure):
        self.app = app
        self.failure = failure
        self.is_failing = False

    async def __call__(self, scope, receive, send):
        async def wrapped(message):
            if self.is_failing:
                raise self.failure
            await send(message)

        await self.app(scope, receive, wrapped)


class TestFailures:
    @pytest.mark.parametrize(
        "failure", [OSError("gone"), RuntimeError("sent after close"), asyncio.CancelledError()]
    )
    async def test_send_that_fails_ends_its_stream_only(self, make_notes, connect, failure):
        notes = make_notes()
        failing_app = _Failing(notes.app, failure)
        failing = await connect(failing_app, URL)
        healthy = await connect(notes.app, URL)
        failing_app.is_failing = True

        await notes.publish("a")
        await failing.until_end()
        await notes.publish("b")
        await healthy.until(b'"text":"b"')

        assert notes.texts(healthy) == ["a", "b"]
        assert notes.manager.session_count("1") == 1

    async def test_send_that_fails_at_the_first_byte_ends_the_stream(self, make_notes, connect):
        notes = make_notes()
        failing_app = _Failing(notes.app, OSError("gone"))
        failing_app.is_failing = True

        failing = await connect(failing_app, URL, wait=False)
        await failing.until_end()

        assert notes.manager.session_count("1") == 0

    async def test_request_cancelled_by_the_server_leaves_nothing_behind(self, make_notes, connect):
        notes = make_notes()
        cancelled = await connect(notes.app, URL)
        other = await connect(notes.app, URL)
        cancelled.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await cancelled.task

        await notes.publish("a")
        await other.until(b'"text":"a"')

        assert notes.manager.session_count("1") == 1


class TestTurns:
    async def test_flush_of_many_readers_lets_the_loop_turn_in_between(self):
        class Ready:
            """A reader whose send completes at once."""

            offset = 0
            stuck_since = None
            credit = 0.0
            is_guest = False

            def flush(self, now):
                flushed_at.append(now)

        flushed_at: list[float] = []
        loop = asyncio.get_running_loop()
        fanout = Fanout(loop)
        for _ in range(2000):
            fanout.mark_reader(Ready())

        done_by_turn = [0]
        while done_by_turn[-1] < 2000:
            await asyncio.sleep(0)
            done_by_turn.append(len(flushed_at))

        assert max(later - earlier for earlier, later in pairwise(done_by_turn)) <= 256
        # each reader gets the time of its own turn
        assert len(set(flushed_at)) > 2000 // 256


class TestPings:
    async def test_idle_session_is_pinged_again_and_again(self, make_notes, connect):
        notes = make_notes(ping_interval=0.05)
        stream = await connect(notes.app, URL)

        await stream.until(lambda: stream.chunks[1:] == [b":\n"] * 3)

    async def test_session_that_is_sent_events_is_not_pinged(self, make_notes, connect):
        notes = make_notes(ping_interval=1)
        stream = await connect(notes.app, URL)
        for number in range(65):
            await notes.publish(str(number))
            await asyncio.sleep(0.02)
        await stream.until(b'"text":"64"')

        assert b"\n:\n" not in stream.body

    async def test_ping_interval_none_sends_no_pings(self, make_notes, connect):
        notes = make_notes(ping_interval=None)
        other = make_notes(ping_interval=0.01, key_suffix="other")
        stream = await connect(notes.app, URL)
        pinged = await connect(other.app, URL)
        await pinged.until(b":\n:\n:\n")

        assert len(stream.chunks) == 1
        assert '"ping_interval":null' in stream.frames[0]["data"]

    async def test_ended_session_is_no_longer_pinged(self, make_notes, connect):
        notes = make_notes(ping_interval=0.02)
        left = await connect(notes.app, URL)
        stays = await connect(notes.app, URL)
        left.disconnect()
        await left.until_end()
        received = len(left.chunks)

        await stays.until(lambda: len(stays.chunks) > 5)

        assert len(left.chunks) == received


class TestLinger:
    """Times are in seconds; a flush of 16 ms makes the next one wait for 2.5 of at most 10 ms."""

    @staticmethod
    def flushed(linger, at, seconds):
        """Let a flush pass that begins at once."""
        assert linger.delay(at) == 0
        linger.ended(at + seconds)
        return at + seconds

    def test_first_flush_begins_at_once(self):
        assert Linger().delay(100.0) == 0

    def test_late_event_is_flushed_at_once(self):
        linger = Linger()
        now = self.flushed(linger, 100.0, 0.016)

        assert linger.delay(now + 0.0025) == 0

    def test_event_right_after_a_long_flush_waits_for_others(self):
        linger = Linger()
        now = self.flushed(linger, 100.0, 0.016)

        assert linger.delay(now) == pytest.approx(0.0025)

    def test_short_flush_makes_no_event_wait(self):
        linger = Linger()
        now = self.flushed(linger, 100.0, 0.0004)

        assert linger.delay(now) == 0

    def test_wait_goes_on_while_it_gains_events_and_ends_with_the_flush_time(self):
        linger = Linger()
        began = now = self.flushed(linger, 100.0, 0.004)
        waits = []
        while wait := linger.delay(now):
            waits.append(wait)
            now += wait
            linger.gained()

        assert waits == pytest.approx([0.001, 0.001, 0.001, 0.001])
        assert now - began == pytest.approx(0.004)

    def test_wait_ends_as_soon_as_it_gains_nothing(self):
        linger = Linger()
        now = self.flushed(linger, 100.0, 0.004)
        linger.delay(now)
        linger.gained()
        linger.delay(now + 0.001)

        assert linger.delay(now + 0.002) == 0

    def test_waits_that_gain_nothing_become_rare(self):
        linger = Linger()
        now = self.flushed(linger, 100.0, 0.004)
        waited = []
        for number in range(200):
            if wait := linger.delay(now):
                waited.append(number)
                now += wait
                assert linger.delay(now) == 0
            now += 0.004
            linger.ended(now)

        assert waited == [0, 2, 5, 10, 19, 36, 69, 134, 199]

    def test_wait_that_gains_makes_the_next_flush_wait(self):
        linger = Linger()
        now = self.flushed(linger, 100.0, 0.004)
        for _ in range(2):
            now += linger.delay(now)
            linger.gained()
            while wait := linger.delay(now):
                now += wait
            now += 0.004
            linger.ended(now)

        assert linger.delay(now) > 0

    @pytest.mark.parametrize("has_more", [False, True])
    def test_events_during_a_flush_make_the_next_one_wait(self, *, has_more):
        linger = Linger()
        now = self.flushed(linger, 100.0, 0.004)
        waited = []
        for number in range(4):
            wait = linger.delay(now)
            if wait:
                waited.append(number)
                assert linger.delay(now + wait) == 0
            now += wait + 0.004
            linger.ended(now, has_more=has_more and number == 3)

        assert waited == [0, 2]
        assert bool(linger.delay(now)) is has_more
