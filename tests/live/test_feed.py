"""Where a reader begins, and when publishing waits for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fastapi_sse_channels._core.log import Retention, new_log
from fastapi_sse_channels._core.position import awaiting_initial
from fastapi_sse_channels._live.feed import Feed

FRAME = len(b"id: epoch.1.n\ndata: x\n\n")


class Reader:
    def __init__(self, offset, *, stuck_since=None, credit=0.0, is_guest=False):
        self.offset = offset
        self.stuck_since = stuck_since
        self.credit = credit
        self.is_guest = is_guest

    def flush(self, _now):
        return None


@pytest.fixture
def feed():
    feed = Feed("key", lambda _feed: None, patience=100)
    feed.log = new_log(Retention(5, 10**9, 10**9), "epoch")
    return feed


def publish(feed, count):
    return [feed.log.append(b"data: x\n\n", "n", 0) for _ in range(count)]


class TestStart:
    @pytest.mark.parametrize("last_event_id", [None, ""])
    def test_client_without_an_id_begins_at_the_top(self, feed, last_event_id):
        *_, top = publish(feed, 3)

        assert feed.start(last_event_id) == (top, False, None)

    def test_client_with_a_known_id_resumes_after_it(self, feed):
        first, *_ = publish(feed, 3)

        assert feed.start(first.event_id) == (first, True, None)

    def test_client_with_an_initial_event_begins_at_the_top(self, feed):
        first, *_, top = publish(feed, 3)

        assert feed.start(awaiting_initial(first.event_id)) == (top, False, None)

    def test_client_with_an_initial_event_is_reset_at_a_gap(self, feed):
        first, *_, top = publish(feed, 10)

        assert feed.start(awaiting_initial(first.event_id)) == (top, False, "trimmed")

    @pytest.mark.parametrize(
        ("last_event_id", "reason"),
        [("?", "epoch"), ("other.1.n", "epoch"), ("epoch.99.n", "ahead"), ("epoch.1.n", "trimmed")],
    )
    def test_client_that_cannot_go_on_is_reset_to_the_top(self, feed, last_event_id, reason):
        *_, top = publish(feed, 10)

        assert feed.start(last_event_id) == (top, False, reason)

    def test_quiet_channel_does_not_replay_expired_events(self, feed):
        now = 0.0
        feed.log = new_log(Retention(5, 10**9, ttl=10), "epoch", clock=lambda: now)
        first, _, top = publish(feed, 3)
        now = 11.0

        assert feed.start(first.event_id) == (top, False, "expired")
        assert feed.start(top.event_id) == (top, True, None)

    def test_empty_log_has_a_position_to_resume_from(self, feed):
        start = feed.start(None)
        publish(feed, 2)

        assert feed.start(start.position.event_id) == (start.position, True, None)


class TestBeingBehind:
    @pytest.mark.parametrize(
        ("last_event_id", "may_be_behind"),
        [
            ("epoch.99.n", True),
            (awaiting_initial("epoch.99.n"), True),
            ("other.1.n", True),
            ("epoch.9.m", True),
            ("epoch.9.n", False),
            ("epoch.1.n", False),
            ("epoch.99.n.", False),
            ("?", False),
            ("", False),
            (None, False),
        ],
    )
    def test_may_be_behind_where_another_log_may_know_the_position(
        self, feed, last_event_id, may_be_behind
    ):
        publish(feed, 10)

        assert feed.may_be_behind(last_event_id) is may_be_behind


class TestNotify:
    @pytest.fixture
    def feed(self, feed):
        feed.log = new_log(Retention(100, 10**9, 10**9), "epoch")
        return feed

    def test_a_few_new_entries_need_no_pause(self, feed):
        publish(feed, 8)
        assert not feed.notify()
        publish(feed, 1)
        assert feed.notify()

    def test_entries_that_were_shown_need_no_pause(self, feed):
        publish(feed, 9)
        feed.shown()

        assert not feed.notify()

    def test_pause_comes_before_new_entries_push_out_shown_ones(self, feed):
        publish(feed, 50)
        feed.shown()
        publish(feed, 50)
        assert not feed.notify()
        publish(feed, 1)
        assert feed.notify()

    def test_feed_is_marked_at_every_change(self):
        marked: list[Feed] = []
        feed = Feed("key", marked.append, patience=100)
        feed.log = new_log(Retention(5, 10**9, 10**9), "epoch")
        feed.notify()

        assert marked == [feed]


class TestMakeRoom:
    @pytest.fixture
    def feed(self):
        """Make a feed whose publishers wait for so long."""

        def feed(*, patience=100.0):
            feed = Feed("key", lambda _feed: None, patience=patience)
            feed.log = new_log(Retention(5, 10**9, 10**9), "epoch")
            return feed

        return feed

    @pytest.fixture
    def overrun(self, feed):
        """Place a reader that the next event would overrun."""

        def overrun(*, patience=100.0, **state):
            crowded = feed(patience=patience)
            reader = Reader(0, **state)
            crowded.place(reader)
            publish(crowded, 5)
            return crowded, reader

        return overrun

    async def wait_for_room(self, feed):
        """Begin to wait."""
        waiting = asyncio.ensure_future(feed.make_room(FRAME))
        for _ in range(2):
            await asyncio.sleep(0)
        assert not waiting.done()
        return waiting

    async def test_publisher_waits_for_nobody_where_there_is_room(self, feed):
        roomy = feed()
        roomy.place(Reader(0))
        publish(roomy, 4)

        async with asyncio.timeout(5):
            await roomy.make_room(FRAME)

    async def test_publisher_waits_for_nobody_without_readers(self, feed):
        empty = feed()
        publish(empty, 20)

        async with asyncio.timeout(5):
            await empty.make_room(FRAME)

    async def test_publisher_waits_for_a_later_reader_with_an_older_position(self, feed):
        crowded = feed()
        crowded.place(Reader(5))
        publish(crowded, 5)
        await crowded.make_room(FRAME)
        crowded.place(Reader(0))

        waiting = await self.wait_for_room(crowded)

        waiting.cancel()

    async def test_publisher_waits_for_a_reader_at_the_edge(self, overrun):
        feed, reader = overrun()
        waiting = await self.wait_for_room(feed)

        reader.offset = 1
        feed.progressed()

        async with asyncio.timeout(5):
            await waiting

    async def test_publisher_goes_on_once_every_reader_was_shown_the_log(self, overrun):
        feed, reader = overrun()
        waiting = await self.wait_for_room(feed)

        reader.offset = 5
        feed.shown()

        async with asyncio.timeout(5):
            await waiting

    async def test_publisher_stops_waiting_for_a_reader_that_leaves(self, overrun):
        feed, reader = overrun()
        waiting = await self.wait_for_room(feed)

        feed.discard(reader)

        async with asyncio.timeout(5):
            await waiting

    @pytest.mark.parametrize("is_guest", [False, True])
    async def test_publisher_does_not_wait_for_a_long_stuck_reader(self, overrun, is_guest):
        long_ago = asyncio.get_running_loop().time() - 101
        feed, _ = overrun(stuck_since=long_ago, is_guest=is_guest)

        async with asyncio.timeout(5):
            await feed.make_room(FRAME)

    async def test_publisher_waits_for_a_guest_a_twentieth_as_long(self, overrun):
        lately = asyncio.get_running_loop().time() - 6
        feed, _ = overrun(stuck_since=lately, is_guest=True)
        async with asyncio.timeout(5):
            await feed.make_room(FRAME)

        feed, _ = overrun(stuck_since=lately, is_guest=False)
        waiting = await self.wait_for_room(feed)
        waiting.cancel()

    async def test_reader_that_turns_slow_is_noticed_without_progress(self, overrun):
        feed, reader = overrun(patience=0.1)
        waiting = await self.wait_for_room(feed)
        reader.stuck_since = 0.0

        async with asyncio.timeout(5):
            await waiting

    async def test_one_publish_waits_no_longer_than_its_patience_whoever_takes_turns(self, overrun):
        now = asyncio.get_running_loop().time()
        feed, reader = overrun(patience=0.2, stuck_since=now, credit=1)
        loop = asyncio.get_running_loop()
        publishing = asyncio.ensure_future(feed.make_room(FRAME))
        began = loop.time()

        async with asyncio.timeout(5):
            while not publishing.done():
                feed.discard(reader)
                reader = Reader(0, stuck_since=loop.time(), credit=1)
                feed.place(reader)
                await asyncio.sleep(0)

        assert loop.time() - began >= 0.1

    async def test_readers_that_take_turns_hardly_ever_hold_publishers(self, overrun):
        feed, reader = overrun(patience=0.1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        waited = 0.0
        while (elapsed := loop.time() - began) < 0.5:
            feed.discard(reader)
            reader = Reader(0, stuck_since=loop.time(), is_guest=True)
            feed.place(reader)
            before = loop.time()
            await feed.make_room(FRAME)
            # one look takes 5 ms, of which a machine whose CPU is taken away makes more
            waited += 0.005 * (loop.time() - before > 0.004)
            await asyncio.sleep(0)

        # without a budget it is all of the time
        assert waited <= 0.03 + 0.1 * elapsed

    async def test_reader_that_goes_on_reading_is_waited_for_beyond_the_budget(self, overrun):
        feed, reader = overrun(patience=0.02, stuck_since=0.0, credit=1)
        loop = asyncio.get_running_loop()
        waits = 0
        async with asyncio.timeout(5):
            while waits < 100:
                publish(feed, 5)
                reader.offset = feed.log.floor.offset
                reader.stuck_since = loop.time()
                waiting = await self.wait_for_room(feed)
                reader.offset = feed.log.top.offset
                feed.progressed()
                await waiting
                waits += 1

    async def test_events_on_their_way_to_the_store_take_room(self, feed: Any):
        crowded = feed()
        reader = Reader(0)
        crowded.place(reader)
        for _ in range(5):
            await crowded.make_room(FRAME)
        waiting = await self.wait_for_room(crowded)

        # refused, say
        crowded.end_publish(FRAME)

        async with asyncio.timeout(5):
            await waiting

    async def test_silent_store_holds_publishers_for_their_patience_only(self, feed: Any):
        crowded = feed(patience=0.05)
        crowded.place(Reader(0))
        async with asyncio.timeout(5):
            for _ in range(7):
                await crowded.make_room(FRAME)

    async def test_every_waiting_publisher_goes_on(self, overrun):
        feed, reader = overrun()

        async def publish_one():
            await feed.make_room(FRAME)
            feed.end_publish(FRAME)

        waiting = [asyncio.ensure_future(publish_one()) for _ in range(10)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        reader.offset = 5
        feed.progressed()

        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)

    async def test_waiting_publisher_may_be_cancelled(self, overrun):
        feed, reader = overrun()
        cancelled, other = [await self.wait_for_room(feed) for _ in range(2)]
        cancelled.cancel()
        reader.offset = 5
        await asyncio.sleep(0)
        feed.progressed()

        async with asyncio.timeout(5):
            await other
        assert cancelled.cancelled()


@pytest.mark.parametrize("error", [OSError("the store is away"), asyncio.CancelledError()])
async def test_failed_attempt_to_follow_is_not_taken_for_a_log(feed, error):
    async def fail():
        raise error

    feed.ready = asyncio.ensure_future(fail())
    assert not feed.is_ready
    await asyncio.wait([feed.ready])

    assert not feed.is_ready
