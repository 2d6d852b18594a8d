"""Where a reader begins, and when publishing waits for it."""

from __future__ import annotations

import asyncio

import pytest

from fastapi_sse_channels._feed import Feed
from fastapi_sse_channels._log import Retention, new_log
from fastapi_sse_channels._position import Position, awaiting_initial

FRAME = len(b"id: epoch.1.n\ndata: x\n\n")


class Reader:
    def __init__(self, offset, *, slow=False):
        self.offset = offset
        self.slow = slow

    def is_slow(self, _now):
        return self.slow

    def flush(self, _now):
        return None


@pytest.fixture
def feed():
    feed = Feed("key", lambda _feed: None)
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

    def test_client_whose_initial_event_is_to_come_begins_at_the_top(self, feed):
        first, *_, top = publish(feed, 3)

        assert feed.start(awaiting_initial(first.event_id)) == (top, False, None)

    def test_client_whose_initial_event_is_to_come_is_reset_where_there_is_a_gap(self, feed):
        first, *_, top = publish(feed, 10)

        assert feed.start(awaiting_initial(first.event_id)) == (top, False, "trimmed")

    @pytest.mark.parametrize(
        ("last_event_id", "reason"),
        [("?", "epoch"), ("other.1.n", "epoch"), ("epoch.99.n", "ahead"), ("epoch.1.n", "trimmed")],
    )
    def test_client_that_cannot_go_on_is_reset_to_the_top(self, feed, last_event_id, reason):
        *_, top = publish(feed, 10)

        assert feed.start(last_event_id) == (top, False, reason)

    def test_empty_log_has_a_position_to_resume_from(self, feed):
        start = feed.start(None)
        publish(feed, 2)

        assert feed.start(start.position.event_id) == (Position("epoch", 0, "0"), True, None)


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
    def test_is_possible_where_another_log_may_know_the_position(
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

    def test_entries_that_were_shown_need_none(self, feed):
        publish(feed, 9)
        feed.shown()

        assert not feed.notify()

    def test_new_entries_may_be_as_many_as_are_held_of_those_shown(self, feed):
        publish(feed, 50)
        feed.shown()
        publish(feed, 50)
        assert not feed.notify()
        publish(feed, 1)
        assert feed.notify()

    def test_feed_is_marked_at_every_change(self):
        marked: list[Feed] = []
        feed = Feed("key", marked.append)
        feed.log = new_log(Retention(5, 10**9, 10**9), "epoch")
        feed.notify()

        assert marked == [feed]


class TestMakeRoom:
    @pytest.fixture
    def reader(self, feed):
        """The next event would overrun it."""
        reader = Reader(0)
        feed.place(reader)
        publish(feed, 5)
        return reader

    @pytest.fixture
    def wait_for_room(self, feed):
        """Begin publishers that have to wait."""

        async def wait_for_room(*, patience=100.0):
            waiting = asyncio.ensure_future(feed.make_room(FRAME, patience=patience))
            for _ in range(2):
                await asyncio.sleep(0)
            assert not waiting.done()
            return waiting

        return wait_for_room

    async def test_nobody_is_waited_for_where_there_is_room(self, feed):
        feed.place(Reader(0))
        publish(feed, 4)

        async with asyncio.timeout(5):
            await feed.make_room(FRAME, patience=100)

    async def test_nobody_is_waited_for_without_readers(self, feed):
        publish(feed, 20)

        async with asyncio.timeout(5):
            await feed.make_room(FRAME, patience=100)

    async def test_reader_that_comes_later_with_an_older_position_is_waited_for(
        self, feed, wait_for_room
    ):
        feed.place(Reader(5))
        publish(feed, 5)
        await feed.make_room(FRAME, patience=100)
        feed.place(Reader(0))

        waiting = await wait_for_room()

        waiting.cancel()

    async def test_reader_at_the_edge_is_waited_for_until_it_moves(
        self, feed, reader, wait_for_room
    ):
        waiting = await wait_for_room()

        reader.offset = 1
        feed.progressed()

        async with asyncio.timeout(5):
            await waiting

    async def test_publisher_goes_on_once_every_reader_was_shown_the_log(
        self, feed, reader, wait_for_room
    ):
        waiting = await wait_for_room()

        reader.offset = 5
        feed.shown()

        async with asyncio.timeout(5):
            await waiting

    async def test_reader_that_leaves_is_no_longer_waited_for(self, feed, reader, wait_for_room):
        waiting = await wait_for_room()

        feed.discard(reader)

        async with asyncio.timeout(5):
            await waiting

    async def test_slow_reader_is_not_waited_for(self, feed, reader):
        reader.slow = True

        async with asyncio.timeout(5):
            await feed.make_room(FRAME, patience=100)

    async def test_reader_that_turns_slow_is_noticed_without_progress(self, reader, wait_for_room):
        waiting = await wait_for_room(patience=0.04)
        reader.slow = True

        async with asyncio.timeout(5):
            await waiting

    async def test_every_waiting_publisher_goes_on(self, feed, reader, wait_for_room):
        waiting = [await wait_for_room() for _ in range(10)]
        reader.offset = 5
        feed.progressed()

        async with asyncio.timeout(5):
            await asyncio.gather(*waiting)

    async def test_waiting_publisher_may_be_cancelled(self, feed, reader, wait_for_room):
        cancelled, other = [await wait_for_room() for _ in range(2)]
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
