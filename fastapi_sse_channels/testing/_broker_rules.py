"""What `Broker` promises, one test for each rule."""

# ruff: noqa: PLR2004  # expected values

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import pytest

from .._core.log import Entry, Log, Retention
from .._core.position import Position
from .._core.wire import ResetReason, data_of, event_body
from .._errors import BrokerClosedError, ConfigurationError
from ..brokers import Broker

KEY = "note:1:events"
OTHER = "note:2:events"
KEEPING = Retention(100, 1_000_000, 300)

# seconds; a broker may be told of another's sessions by a heartbeat
_SOON = 5.0
_POLL_INTERVAL = 0.01


def _body(number: int) -> bytes:
    return event_body(b'{"number":%d}' % number)


async def _publish(
    broker: Broker,
    numbers: Iterable[int],
    *,
    key: str = KEY,
    retention: Retention = KEEPING,
) -> list[Position]:
    return [await broker.publish(key, _body(number), retention) for number in numbers]


async def _kept(broker: Broker, key: str = KEY, retention: Retention = KEEPING) -> Log:
    """Return the log that a new subscriber gets."""
    log = await broker.subscribe(key, retention, lambda: None)
    broker.unsubscribe(key)
    return log


def _numbers(entries: Iterable[Entry]) -> list[int]:
    return [int(data_of(entry.frame)[len(b'{"number":') : -1]) for entry in entries]


def _offsets(entries: Iterable[Entry]) -> list[int]:
    return [entry.offset for entry in entries]


async def _eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a condition holds."""
    deadline = asyncio.get_running_loop().time() + _SOON
    while not await holds():
        if asyncio.get_running_loop().time() > deadline:
            msg = f"{holds.__qualname__} did not hold within {_SOON} s"
            raise AssertionError(msg)
        await asyncio.sleep(_POLL_INTERVAL)


class _Follower:
    """Follows a key as the library does: one subscriber for each key of a broker."""

    log: Log

    def __init__(self, broker: Broker, key: str = KEY, retention: Retention = KEEPING) -> None:
        self.notified = 0
        self._broker = broker
        self._key = key
        self._retention = retention

    def _notify(self) -> None:
        self.notified += 1

    async def follow(self) -> _Follower:
        self.log = await self._broker.subscribe(self._key, self._retention, self._notify)
        return self

    def leave(self) -> None:
        self._broker.unsubscribe(self._key)

    async def reaches(self, offset: int) -> None:
        """Wait until the log has an offset."""

        async def has_offset() -> bool:
            return self.log.top.offset == offset

        await _eventually(has_offset)


class _Fixtures:
    @pytest.fixture
    def anyio_backend(self) -> str:
        """Run on asyncio alone where anyio's plugin runs the tests."""
        return "asyncio"

    @pytest.fixture
    def new_broker(self) -> Broker:
        """Make a broker that was not started; override this.

        No other test may have used its store, or the names that it uses in the store.
        """
        msg = f"{type(self).__name__} needs a fixture new_broker that returns a broker"
        raise NotImplementedError(msg)

    @pytest.fixture
    async def broker(self, new_broker: Broker) -> AsyncIterator[Broker]:
        """Start the broker, and stop it after the test."""
        await new_broker.start()
        yield new_broker
        await new_broker.stop()


class _Storing(_Fixtures):
    async def test_offsets_are_contiguous_from_one_within_an_epoch(self, broker: Broker) -> None:
        positions = await _publish(broker, range(5))

        assert [position.offset for position in positions] == [1, 2, 3, 4, 5]
        assert len({position.epoch for position in positions}) == 1
        assert len({position.nonce for position in positions}) == 5

    async def test_concurrent_publishers_get_contiguous_offsets(self, broker: Broker) -> None:
        positions = await asyncio.gather(
            *(broker.publish(KEY, _body(number), KEEPING) for number in range(50))
        )

        assert sorted(position.offset for position in positions) == list(range(1, 51))

    async def test_keys_do_not_influence_each_other(self, broker: Broker) -> None:
        await _publish(broker, range(3))
        [other] = await _publish(broker, [7], key=OTHER)

        assert other.offset == 1
        assert _numbers((await _kept(broker, OTHER)).entries) == [7]

    async def test_stored_bytes_come_back_unchanged(self, broker: Broker) -> None:
        stored = event_body('{"text":"\u2028\ufeff\\u0000 \U0001f4a9"}'.encode(), "näme")
        position = await broker.publish(KEY, stored, KEEPING)

        [entry] = (await _kept(broker)).entries
        assert entry.frame == f"id: {position.event_id}\n".encode() + stored
        assert (entry.offset, entry.nonce) == (position.offset, position.nonce)

    async def test_retention_bounds_the_count(self, broker: Broker) -> None:
        retention = Retention(10, 1_000_000, 300)
        positions = await _publish(broker, range(25), retention=retention)

        log = await _kept(broker, retention=retention)
        assert _numbers(log.entries) == list(range(15, 25))
        assert log.top == positions[-1]

    async def test_retention_bounds_the_bytes_and_spares_the_newest_event(
        self, broker: Broker
    ) -> None:
        retention = Retention(100, 1000, 300)
        for _ in range(5):
            await broker.publish(KEY, event_body(b"x" * 300), retention)
        assert 1 <= len(await _kept(broker, retention=retention)) <= 3

        await broker.publish(KEY, event_body(b"x" * 3000), retention)
        assert _offsets((await _kept(broker, retention=retention)).entries) == [6]

    async def test_retention_bounds_the_age_and_the_position_outlives_the_events(
        self, broker: Broker
    ) -> None:
        retention = Retention(10, 1_000_000, 0.2)
        first, last = await _publish(broker, range(2), retention=retention)

        async def is_gone() -> bool:
            return not len(await _kept(broker, retention=retention))

        await _eventually(is_gone)
        log = await _kept(broker, retention=retention)
        assert (log.top, log.gap(first), log.gap(last)) == (last, "expired", None)
        [third] = await _publish(broker, [3], retention=retention)
        assert third == Position(last.epoch, 3, third.nonce)

    async def test_idempotency_key_stores_once_and_returns_the_first_position(
        self, broker: Broker
    ) -> None:
        positions = [
            await broker.publish(KEY, _body(number), KEEPING, idempotency_key="same")
            for number in range(3)
        ]
        other = await broker.publish(KEY, _body(9), KEEPING, idempotency_key="other")

        assert len(set(positions)) == 1
        assert other.offset == 2
        assert _numbers((await _kept(broker)).entries) == [0, 9]

    async def test_long_idempotency_keys_are_told_apart(self, broker: Broker) -> None:
        keys = ["k" * 10_000 + end for end in ("a", "b", "a", "\ud800", "b")]
        positions = [
            await broker.publish(KEY, _body(1), KEEPING, idempotency_key=key) for key in keys
        ]

        assert [position.offset for position in positions] == [1, 2, 1, 3, 2]

    async def test_concurrent_publishers_of_one_idempotency_key_store_once(
        self, broker: Broker
    ) -> None:
        positions = await asyncio.gather(
            *(broker.publish(KEY, _body(1), KEEPING, idempotency_key="k") for _ in range(10))
        )

        assert len(set(positions)) == 1
        assert len(await _kept(broker)) == 1

    async def test_idempotency_key_belongs_to_its_channel(self, broker: Broker) -> None:
        await broker.publish(KEY, _body(1), KEEPING, idempotency_key="k")
        await broker.publish(OTHER, _body(2), KEEPING, idempotency_key="k")

        assert _numbers((await _kept(broker, OTHER)).entries) == [2]


class _Continuing(_Fixtures):
    @pytest.mark.parametrize("seen", [1, 2, 3])
    async def test_reader_goes_on_after_every_kept_position(
        self, broker: Broker, seen: int
    ) -> None:
        positions = await _publish(broker, [1, 2, 3])

        log = await _kept(broker)
        assert log.gap(positions[seen - 1]) is None
        assert _numbers(log.entries_after(seen)) == [1, 2, 3][seen:]

    @pytest.mark.parametrize(("behind", "gap"), [(9, None), (10, None), (11, "trimmed")])
    async def test_gap_begins_exactly_where_the_history_ends(
        self, broker: Broker, behind: int, gap: ResetReason | None
    ) -> None:
        retention = Retention(10, 1_000_000, 300)
        positions = await _publish(broker, range(25), retention=retention)

        log = await _kept(broker, retention=retention)
        assert log.gap(positions[-1 - behind]) == gap

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"epoch": "other"}, "epoch"),
            ({"nonce": "other"}, "epoch"),
            ({"offset": 99}, "ahead"),
        ],
        ids=["epoch", "nonce", "offset"],
    )
    async def test_foreign_position_is_a_gap(
        self, broker: Broker, change: dict[str, str | int], reason: ResetReason
    ) -> None:
        [position, _] = await _publish(broker, range(2))

        assert (await _kept(broker)).gap(Position(**{**position._asdict(), **change})) == reason

    @pytest.mark.parametrize("first", ["publish", "subscribe"])
    async def test_nobody_can_guess_the_start_of_a_channel(
        self, broker: Broker, first: str
    ) -> None:
        if first == "subscribe":
            await _kept(broker)
        [seen, _] = await _publish(broker, range(2))

        assert (await _kept(broker)).gap(Position(seen.epoch, 0, "0")) == "epoch"

    async def test_reader_goes_on_after_the_start_of_a_channel(self, broker: Broker) -> None:
        log = await _kept(broker)
        start = log.top
        assert (len(log.entries), start.offset) == (0, 0)
        await _publish(broker, [1, 2])

        log = await _kept(broker)
        assert (log.gap(start), _numbers(log.entries)) == (None, [1, 2])


class _Following(_Fixtures):
    async def test_log_holds_stored_events_and_then_live_ones(self, broker: Broker) -> None:
        await _publish(broker, [1, 2])
        follower = await _Follower(broker).follow()
        assert _numbers(follower.log.entries) == [1, 2]

        await _publish(broker, [3, 4, 5])

        await follower.reaches(5)
        assert _numbers(follower.log.entries) == [1, 2, 3, 4, 5]

    async def test_subscriber_is_notified_of_a_change(self, broker: Broker) -> None:
        follower = await _Follower(broker).follow()
        before = follower.notified
        await _publish(broker, [1])
        await follower.reaches(1)

        async def is_notified() -> bool:
            return follower.notified > before

        await _eventually(is_notified)

    async def test_log_has_the_positions_that_publish_returned(self, broker: Broker) -> None:
        follower = await _Follower(broker).follow()
        positions = await _publish(broker, range(3))
        await follower.reaches(3)

        assert [follower.log.position(offset) for offset in (1, 2, 3)] == positions

    async def test_subscribing_misses_and_doubles_nothing(self, broker: Broker) -> None:
        """A broker that reads the store before it listens leaves a hole that nobody notices."""
        for attempt in range(20):
            key = f"note:{attempt}:events"
            publishing = asyncio.ensure_future(_publish(broker, range(20), key=key))
            for _ in range(attempt):
                await asyncio.sleep(0)
            follower = await _Follower(broker, key).follow()
            await publishing
            await follower.reaches(20)

            assert _numbers(follower.log.entries) == list(range(20))
            assert _offsets(follower.log.entries) == list(range(1, 21))
            follower.leave()

    async def test_events_of_concurrent_publishers_arrive_in_offset_order(
        self, broker: Broker
    ) -> None:
        follower = await _Follower(broker).follow()
        await asyncio.gather(*(_publish(broker, range(10 * at, 10 * at + 10)) for at in range(5)))
        await follower.reaches(50)

        assert _offsets(follower.log.entries) == list(range(1, 51))
        assert sorted(_numbers(follower.log.entries)) == list(range(50))

    async def test_followed_keys_do_not_hear_each_other(self, broker: Broker) -> None:
        keys = {1: KEY, 2: OTHER}
        followers = [await _Follower(broker, key).follow() for key in keys.values()]
        for (number, key), follower in zip(keys.items(), followers, strict=True):
            await _publish(broker, [number], key=key)
            await follower.reaches(1)

        assert [_numbers(follower.log.entries) for follower in followers] == [[1], [2]]

    async def test_unsubscribed_key_is_not_notified(self, broker: Broker) -> None:
        follower = await _Follower(broker).follow()
        other = await _Follower(broker, OTHER).follow()
        follower.leave()
        notified = follower.notified
        await _publish(broker, [1])
        await _publish(broker, [1], key=OTHER)
        await other.reaches(1)

        assert follower.notified == notified

    async def test_key_can_be_followed_again(self, broker: Broker) -> None:
        first = await _Follower(broker).follow()
        await _publish(broker, [1])
        await first.reaches(1)
        first.leave()
        await _publish(broker, [2])
        second = await _Follower(broker).follow()
        await _publish(broker, [3])

        await second.reaches(3)
        assert _numbers(second.log.entries) == [1, 2, 3]

    async def test_unsubscribing_an_unknown_key_does_nothing(self, broker: Broker) -> None:
        broker.unsubscribe("note:unknown:events")

    async def test_refresh_brings_what_was_published_before_it(self, broker: Broker) -> None:
        follower = await _Follower(broker).follow()
        for number in range(1, 21):
            [position] = await _publish(broker, [number])
            before = follower.log.incarnation
            await broker.refresh(KEY)

            assert follower.log.top == position
            assert _numbers(follower.log.entries) == list(range(1, number + 1))
            assert follower.log.incarnation == before
        assert follower.notified

    async def test_refreshing_an_unknown_key_does_nothing(self, broker: Broker) -> None:
        await broker.refresh("note:unknown:events")

    async def test_followed_log_keeps_the_retention(self, broker: Broker) -> None:
        retention = Retention(3, 1_000_000, 300)
        follower = await _Follower(broker, retention=retention).follow()
        await _publish(broker, range(10), retention=retention)

        await follower.reaches(10)
        assert _numbers(follower.log.entries) == [7, 8, 9]


class _Counting(_Fixtures):
    async def test_reported_sessions_are_counted_by_key(self, broker: Broker) -> None:
        broker.report_sessions(KEY, 2)
        broker.report_sessions(OTHER, 1)

        keys = (KEY, OTHER, "note:3:events")
        assert [await broker.total_sessions(key) for key in keys] == [2, 1, 0]

    async def test_report_replaces_the_one_before(self, broker: Broker) -> None:
        for count in (1, 3, 0):
            broker.report_sessions(KEY, count)

            assert await broker.total_sessions(KEY) == count


async def _subscribe(broker: Broker) -> None:
    await broker.subscribe(KEY, KEEPING, lambda: None)


async def _refresh(broker: Broker) -> None:
    await broker.refresh(KEY)


async def _total(broker: Broker) -> None:
    await broker.total_sessions(KEY)


async def _publish_one(broker: Broker) -> None:
    await broker.publish(KEY, _body(1), KEEPING)


class _Living(_Fixtures):
    @pytest.mark.parametrize(
        "use",
        [_publish_one, _subscribe, _refresh, _total],
        ids=["publish", "subscribe", "refresh", "total_sessions"],
    )
    async def test_stopped_broker_refuses_every_use(
        self, new_broker: Broker, use: Callable[[Broker], Awaitable[None]]
    ) -> None:
        await new_broker.start()
        await new_broker.stop()

        with pytest.raises(BrokerClosedError):
            await use(new_broker)

    async def test_started_broker_is_healthy(self, broker: Broker) -> None:
        assert broker.is_healthy is True

    async def test_only_the_last_stop_closes_the_broker(self, new_broker: Broker) -> None:
        await new_broker.start()
        await new_broker.start()
        await new_broker.stop()
        await _publish_one(new_broker)

        await new_broker.stop()

        with pytest.raises(BrokerClosedError):
            await _publish_one(new_broker)

    def test_stopped_broker_starts_again_on_another_loop(self, new_broker: Broker) -> None:
        async def use(number: int) -> list[int]:
            await new_broker.start()
            follower = await _Follower(new_broker).follow()
            [position] = await _publish(new_broker, [number])
            await follower.reaches(position.offset)
            found = _numbers(follower.log.entries)
            await new_broker.stop()
            return found

        assert [asyncio.run(use(number)) for number in (1, 2, 3)] == [[1], [1, 2], [1, 2, 3]]

    async def test_forgetting_a_followed_key_does_nothing(self, broker: Broker) -> None:
        follower = await _Follower(broker).follow()

        assert broker.forget(KEY) is False
        await _publish(broker, [1])
        await follower.reaches(1)

    async def test_forgetting_an_unknown_key_does_nothing(self, broker: Broker) -> None:
        assert broker.forget("note:unknown:events") is False

    def test_two_managers_cannot_claim_the_same_keys(self, new_broker: Broker) -> None:
        new_broker.claim("a:*:b")
        new_broker.claim("a:*:c")

        with pytest.raises(ConfigurationError, match=r"two managers on one broker .*a:\*:b"):
            new_broker.claim("a:*:b")


class BrokerContract(_Storing, _Continuing, _Following, _Counting, _Living):
    """The tests of every broker; override the fixture `new_broker`.

    It returns a broker that was not started yet, and of which no other test used the store or the
    names in it. The tests start and stop the broker themselves. They do not take the store away:
    that `publish` then raises `PublishError` within 2 seconds, and the other coroutines
    `BrokerError`, is for tests of your own.
    """


class SharedStoreContract(BrokerContract):
    """The tests of a broker whose store several processes can share.

    Override the fixture `neighbour` too. It returns another broker object, not started either, on
    the store of `new_broker`, as another process would make it.
    """

    @pytest.fixture
    def neighbour(self) -> Broker:
        """Make a second broker on the store of `new_broker`; override this."""
        msg = f"{type(self).__name__} needs a fixture neighbour that returns a second broker"
        raise NotImplementedError(msg)

    @pytest.fixture
    async def started_neighbour(self, neighbour: Broker) -> AsyncIterator[Broker]:
        """Start the neighbour, and stop it after the test."""
        await neighbour.start()
        yield neighbour
        await neighbour.stop()

    def test_brokers_of_one_store_say_so(self, new_broker: Broker, neighbour: Broker) -> None:
        assert new_broker.store == neighbour.store

    async def test_events_of_another_process_arrive_in_offset_order(
        self, broker: Broker, started_neighbour: Broker
    ) -> None:
        brokers = (broker, started_neighbour)
        followers = [await _Follower(each).follow() for each in brokers]
        published = await asyncio.gather(
            *(_publish(each, range(10 * at, 10 * at + 10)) for at, each in enumerate(brokers))
        )
        for follower in followers:
            await follower.reaches(20)

        expected = sorted(
            (position for positions in published for position in positions), key=_offset
        )
        for follower in followers:
            assert [follower.log.position(offset) for offset in range(1, 21)] == expected
        assert followers[0].log.entries[0].frame == followers[1].log.entries[0].frame

    async def test_refresh_brings_what_another_process_published_before_it(
        self, broker: Broker, started_neighbour: Broker
    ) -> None:
        follower = await _Follower(broker).follow()
        [position] = await _publish(started_neighbour, [1])

        await broker.refresh(KEY)

        assert follower.log.top == position

    async def test_idempotency_key_stores_once_for_all_processes(
        self, broker: Broker, started_neighbour: Broker
    ) -> None:
        positions = [
            await each.publish(KEY, _body(1), KEEPING, idempotency_key="k")
            for each in (broker, started_neighbour)
        ]

        assert len(set(positions)) == 1
        assert len(await _kept(started_neighbour)) == 1

    async def test_sessions_of_another_process_are_counted(
        self, broker: Broker, started_neighbour: Broker
    ) -> None:
        broker.report_sessions(KEY, 1)
        for count, total in ((2, 3), (0, 1)):
            started_neighbour.report_sessions(KEY, count)

            async def is_counted(total: int = total) -> bool:
                return await broker.total_sessions(KEY) == total

            await _eventually(is_counted)


def _offset(position: Position) -> int:
    return position.offset
