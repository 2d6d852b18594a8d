"""What `Broker` promises, held against every broker."""

from __future__ import annotations

import asyncio

import pytest

from fastapi_sse_channels import BrokerClosedError, ConfigurationError
from fastapi_sse_channels._log import Gap, Retention
from fastapi_sse_channels._wire import data_of, event_body

KEEPING = Retention(100, 1_000_000, 300)
KEY = "note:1:events"


def body(number):
    return event_body(b'{"number":%d}' % number)


async def publish(broker, count, *, key=KEY, retention=KEEPING, start=1):
    return [await broker.publish(key, body(start + at), retention) for at in range(count)]


def numbers(entries):
    return [int(data_of(entry.frame)[len(b'{"number":') : -1]) for entry in entries]


def offsets(entries):
    return [entry.offset for entry in entries]


class Follower:
    """A subscriber, as the hub is one: at most one for each key."""

    def __init__(self, broker, key=KEY, retention=KEEPING):
        self.notified = 0
        self._broker, self._key, self._retention = broker, key, retention

    def _notify(self):
        self.notified += 1

    async def follow(self):
        self.log = await self._broker.subscribe(self._key, self._retention, self._notify)
        return self

    def leave(self):
        self._broker.unsubscribe(self._key)


class TestStoring:
    async def test_offsets_are_contiguous_from_one_within_an_epoch(self, broker):
        positions = await publish(broker, 5)

        assert [position.offset for position in positions] == [1, 2, 3, 4, 5]
        assert len({position.epoch for position in positions}) == 1
        assert len({position.nonce for position in positions}) == 5

    async def test_offsets_of_concurrent_publishers_are_contiguous(self, broker):
        positions = await asyncio.gather(
            *(broker.publish(KEY, body(number), KEEPING) for number in range(50))
        )

        assert sorted(position.offset for position in positions) == list(range(1, 51))

    async def test_keys_do_not_influence_each_other(self, broker):
        await publish(broker, 3)
        [other] = await publish(broker, 1, key="note:2:events")

        history = await broker.history("note:2:events", None, KEEPING)
        assert other.offset == 1
        assert numbers(history.entries) == [1]

    async def test_stored_bytes_come_back_as_they_were(self, broker):
        stored = event_body('{"text":"\u2028\ufeff\\u0000 \U0001f4a9"}'.encode(), "näme")
        position = await broker.publish(KEY, stored, KEEPING)

        [entry] = (await broker.history(KEY, None, KEEPING)).entries
        assert entry.frame == f"id: {position.event_id}\n".encode() + stored
        assert (entry.offset, entry.nonce) == (position.offset, position.nonce)

    async def test_count_is_bounded_by_the_retention(self, broker):
        retention = Retention(10, 1_000_000, 300)
        positions = await publish(broker, 25, retention=retention)

        history = await broker.history(KEY, None, retention)
        assert numbers(history.entries) == list(range(16, 26))
        assert history.top == positions[-1]

    async def test_age_is_bounded_by_the_retention_and_the_position_outlives_it(
        self, broker, eventually
    ):
        retention = Retention(10, 1_000_000, 0.2)
        first, last = await publish(broker, 2, retention=retention)

        async def is_gone():
            return not (await broker.history(KEY, None, retention)).entries

        await eventually(is_gone)
        history = await broker.history(KEY, first, retention)
        assert (history.top, history.gap) == (last, Gap("expired"))
        assert (await broker.history(KEY, last, retention)).gap is None
        assert (await publish(broker, 1, retention=retention))[0].offset == 3

    async def test_idempotency_key_stores_once_and_returns_the_first_position(self, broker):
        positions = [
            await broker.publish(KEY, body(number), KEEPING, idempotency_key="same")
            for number in range(3)
        ]
        [other] = [await broker.publish(KEY, body(9), KEEPING, idempotency_key="other")]

        assert len(set(positions)) == 1
        assert other.offset == 2
        assert numbers((await broker.history(KEY, None, KEEPING)).entries) == [0, 9]

    async def test_concurrent_publishers_of_one_idempotency_key_store_once(self, broker):
        positions = await asyncio.gather(
            *(broker.publish(KEY, body(1), KEEPING, idempotency_key="k") for _ in range(10))
        )

        assert len(set(positions)) == 1
        assert len((await broker.history(KEY, None, KEEPING)).entries) == 1

    async def test_idempotency_key_belongs_to_its_channel(self, broker):
        await broker.publish(KEY, body(1), KEEPING, idempotency_key="k")
        await broker.publish("note:2:events", body(2), KEEPING, idempotency_key="k")

        history = await broker.history("note:2:events", None, KEEPING)
        assert numbers(history.entries) == [2]


class TestHistory:
    async def test_everything_kept_comes_without_a_position(self, broker):
        positions = await publish(broker, 3)

        history = await broker.history(KEY, None, KEEPING)
        assert numbers(history.entries) == [1, 2, 3]
        assert (history.top, history.gap) == (positions[-1], None)

    @pytest.mark.parametrize("seen", [1, 2, 3])
    async def test_what_follows_a_position_comes_in_order(self, broker, seen):
        positions = await publish(broker, 3)

        history = await broker.history(KEY, positions[seen - 1], KEEPING)
        assert numbers(history.entries) == [1, 2, 3][seen:]
        assert history.gap is None

    @pytest.mark.parametrize(("behind", "gap"), [(9, None), (10, None), (11, Gap("trimmed"))])
    async def test_edge_of_the_history_is_exact(self, broker, behind, gap):
        retention = Retention(10, 1_000_000, 300)
        positions = await publish(broker, 25, retention=retention)

        history = await broker.history(KEY, positions[-1 - behind], retention)
        assert history.gap == gap
        assert len(history.entries) == min(behind, 10)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"epoch": "other"}, "epoch"),
            ({"nonce": "other"}, "epoch"),
            ({"offset": 99}, "ahead"),
        ],
    )
    async def test_position_that_proves_nothing_is_a_gap(self, broker, change, reason):
        [position, _] = await publish(broker, 2)

        history = await broker.history(KEY, position._replace(**change), KEEPING)
        assert history.gap == Gap(reason)
        assert numbers(history.entries) == [1, 2]

    async def test_untouched_channel_has_a_position_to_go_on_from(self, broker):
        before = await broker.history(KEY, None, KEEPING)
        await publish(broker, 2)

        after = await broker.history(KEY, before.top, KEEPING)
        assert (before.entries, before.top.offset) == ((), 0)
        assert (numbers(after.entries), after.gap) == ([1, 2], None)


class TestFollowing:
    async def test_log_holds_what_is_kept_and_then_what_is_published(self, broker, eventually):
        await publish(broker, 2)
        follower = await Follower(broker).follow()
        assert numbers(follower.log.entries) == [1, 2]

        await publish(broker, 3, start=3)

        await eventually(lambda: follower.log.top.offset == 5)
        assert numbers(follower.log.entries) == [1, 2, 3, 4, 5]

    async def test_subscriber_is_notified_of_every_change(self, broker, eventually):
        follower = await Follower(broker).follow()
        before = follower.notified
        await publish(broker, 1)
        await eventually(lambda: follower.log.top.offset == 1)

        assert follower.notified > before

    async def test_positions_in_the_log_are_those_that_publish_returned(self, broker, eventually):
        follower = await Follower(broker).follow()
        positions = await publish(broker, 3)
        await eventually(lambda: follower.log.top == positions[-1])

        assert [follower.log.position(offset) for offset in (1, 2, 3)] == positions

    async def test_nothing_is_missed_or_doubled_while_subscribing(self, broker, eventually):
        """The attach order: a hole here is silent for ever."""
        for attempt in range(20):
            key = f"note:{attempt}:events"
            publishing = asyncio.ensure_future(publish(broker, 20, key=key))
            for _ in range(attempt):
                await asyncio.sleep(0)
            follower = await Follower(broker, key).follow()
            await publishing
            await eventually(lambda log=follower.log: log.top.offset == 20)

            assert numbers(follower.log.entries) == list(range(1, 21))
            assert offsets(follower.log.entries) == list(range(1, 21))
            follower.leave()

    async def test_concurrent_publishers_arrive_in_offset_order(self, broker, eventually):
        follower = await Follower(broker).follow()
        await asyncio.gather(*(publish(broker, 10, start=10 * at) for at in range(5)))
        await eventually(lambda: follower.log.top.offset == 50)

        assert offsets(follower.log.entries) == list(range(1, 51))
        assert sorted(numbers(follower.log.entries)) == list(range(50))

    async def test_followed_keys_do_not_hear_each_other(self, broker, eventually):
        followers = [await Follower(broker, f"note:{name}:events").follow() for name in "12"]
        for name, follower in zip("12", followers, strict=True):
            await publish(broker, 1, key=f"note:{name}:events", start=int(name))
            await eventually(lambda log=follower.log: log.top.offset == 1)

        assert [numbers(follower.log.entries) for follower in followers] == [[1], [2]]

    async def test_unsubscribed_log_is_left_alone(self, broker, eventually):
        follower = await Follower(broker).follow()
        other = await Follower(broker, "note:2:events").follow()
        follower.leave()
        notified = follower.notified
        await publish(broker, 1)
        await publish(broker, 1, key="note:2:events")
        await eventually(lambda: other.log.top.offset == 1)

        assert follower.notified == notified

    async def test_channel_may_be_followed_again(self, broker, eventually):
        first = await Follower(broker).follow()
        await publish(broker, 1)
        await eventually(lambda: first.log.top.offset == 1)
        first.leave()
        await publish(broker, 1, start=2)
        second = await Follower(broker).follow()
        await publish(broker, 1, start=3)

        await eventually(lambda: second.log.top.offset == 3)
        assert numbers(second.log.entries) == [1, 2, 3]

    async def test_unknown_key_may_be_unsubscribed(self, broker):
        broker.unsubscribe("note:unknown:events")

    async def test_refreshed_log_holds_what_was_published_before(self, broker):
        follower = await Follower(broker).follow()
        for number in range(1, 21):
            [position] = await publish(broker, 1, start=number)
            before = follower.log.incarnation
            await broker.refresh(KEY)

            assert follower.log.top == position
            assert numbers(follower.log.entries) == list(range(1, number + 1))
            assert follower.log.incarnation == before
        assert follower.notified

    async def test_unknown_key_may_be_refreshed(self, broker):
        await broker.refresh("note:unknown:events")

    async def test_retention_of_the_log_is_kept(self, broker, eventually):
        retention = Retention(3, 1_000_000, 300)
        follower = await Follower(broker, retention=retention).follow()
        await publish(broker, 10, retention=retention)

        await eventually(lambda: follower.log.top.offset == 10)
        assert numbers(follower.log.entries) == [8, 9, 10]


class TestCounting:
    async def test_reported_sessions_are_counted_by_key(self, broker):
        broker.report_sessions(KEY, 2)
        broker.report_sessions("note:2:events", 1)

        totals = [await broker.total_sessions(f"note:{name}:events") for name in "123"]
        assert totals == [2, 1, 0]

    async def test_report_replaces_the_one_before(self, broker):
        for count in (1, 3, 0):
            broker.report_sessions(KEY, count)

            assert await broker.total_sessions(KEY) == count


class TestClaims:
    def test_keys_are_claimed_once(self, stopped_broker):
        stopped_broker.claim("a:*:b")
        stopped_broker.claim("a:*:c")

        with pytest.raises(ConfigurationError, match=r"two managers on one broker .*a:\*:b"):
            stopped_broker.claim("a:*:b")


class TestLife:
    @pytest.mark.parametrize(
        "use",
        [
            lambda broker: broker.publish(KEY, body(1), KEEPING),
            lambda broker: broker.history(KEY, None, KEEPING),
            lambda broker: broker.subscribe(KEY, KEEPING, lambda: None),
            lambda broker: broker.refresh(KEY),
            lambda broker: broker.total_sessions(KEY),
        ],
        ids=["publish", "history", "subscribe", "refresh", "total_sessions"],
    )
    async def test_stopped_broker_refuses_everything_alike(self, stopped_broker, use):
        await stopped_broker.start()
        await stopped_broker.stop()

        with pytest.raises(BrokerClosedError, match="start it again: `with TestClient"):
            await use(stopped_broker)

    async def test_starts_nest(self, stopped_broker):
        await stopped_broker.start()
        await stopped_broker.start()
        await stopped_broker.stop()
        await publish(stopped_broker, 1)

        await stopped_broker.stop()

        with pytest.raises(BrokerClosedError):
            await publish(stopped_broker, 1)

    def test_broker_may_be_started_again_on_another_loop(self, stopped_broker, eventually):
        async def use(number):
            await stopped_broker.start()
            follower = await Follower(stopped_broker).follow()
            [position] = await publish(stopped_broker, 1, start=number)
            await eventually(lambda: follower.log.top == position)
            found = numbers(follower.log.entries)
            await stopped_broker.stop()
            return found

        assert [asyncio.run(use(number)) for number in (1, 2, 3)] == [[1], [1, 2], [1, 2, 3]]

    async def test_forgetting_a_followed_channel_does_nothing(self, broker, eventually):
        follower = await Follower(broker).follow()

        assert broker.forget(KEY) is False
        await publish(broker, 1)
        await eventually(lambda: follower.log.top.offset == 1)

    async def test_forgetting_an_unknown_channel_does_nothing(self, broker):
        assert broker.forget("note:unknown:events") is False
