"""The memory broker bounds what it holds, and frees what nobody uses."""

from __future__ import annotations

import pytest

from fastapi_sse_channels import ConfigurationError, MemoryBroker
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels.brokers import IDEMPOTENCY_WINDOW, Retention

BODY = event_body(b"{}")
KEEPING = Retention(100, 1_000_000, 300)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


async def follow_and_leave(broker, key):
    log = await broker.subscribe(key, KEEPING, lambda: None)
    broker.unsubscribe(key)
    return log


async def epoch_of(broker, key):
    return (await follow_and_leave(broker, key)).epoch


async def test_number_of_idle_channels_is_bounded():
    broker = MemoryBroker(max_idle_channels=1000)
    for number in range(100_000):
        await follow_and_leave(broker, str(number))

    assert repr(broker) == "<MemoryBroker followed=0 idle=1000>"
    assert broker._idle_bytes == 0


@pytest.mark.parametrize("touch", ["publish", "subscribe"])
async def test_longest_unused_channel_is_dropped_first(touch):
    broker = MemoryBroker(max_idle_channels=3)
    epochs = {key: (await broker.publish(key, BODY, KEEPING)).epoch for key in "abc"}
    if touch == "publish":
        await broker.publish("a", BODY, KEEPING)
    else:
        await follow_and_leave(broker, "a")
    await broker.publish("d", BODY, KEEPING)

    # "b" comes last, because asking for a dropped channel starts it again and drops another
    assert await epoch_of(broker, "a") == epochs["a"]
    assert await epoch_of(broker, "c") == epochs["c"]
    assert await epoch_of(broker, "b") != epochs["b"]


async def test_bytes_of_all_idle_channels_are_bounded():
    broker = MemoryBroker(max_idle_bytes=10_000)
    for number in range(100):
        await broker.publish(str(number), event_body(b"x" * 900), KEEPING)

    held = sum(idle.log.nbytes for idle in broker._idle.values())
    assert held == broker._idle_bytes <= 10_000
    assert len(broker._idle) == 10


async def test_new_follower_gets_no_expired_event(clock):
    broker = MemoryBroker(clock=clock)
    await broker.publish("a", BODY, KEEPING)
    clock.now += KEEPING.ttl

    log = await broker.subscribe("a", KEEPING, lambda: None)

    assert (log.entries, log.floor.offset) == ((), 1)


async def test_idle_channel_frees_copies_for_readers():
    broker = MemoryBroker()
    for _ in range(10):
        await broker.publish("a", event_body(b"x" * 900), KEEPING)
    log = await broker.subscribe("a", KEEPING, lambda: None)
    piece = log.piece(0)
    assert log.piece(0) is piece
    broker.unsubscribe("a")

    assert log.piece(0) is not piece


async def test_event_above_the_idle_limit_is_published():
    broker = MemoryBroker(max_idle_bytes=100)
    position = await broker.publish("a", event_body(b"x" * 900), KEEPING)

    assert position.offset == 1
    assert repr(broker) == "<MemoryBroker followed=0 idle=0>"


async def test_followed_channels_do_not_count_as_idle():
    broker = MemoryBroker(max_idle_channels=1)
    logs = [await broker.subscribe(key, KEEPING, lambda: None) for key in "abc"]
    for key in "abc":
        await broker.publish(key, BODY, KEEPING)

    assert [log.top.offset for log in logs] == [1, 1, 1]


async def test_channel_unused_for_its_ttl_is_freed(clock):
    broker = MemoryBroker(clock=clock)
    await broker.publish("a", BODY, KEEPING)
    clock.now += 299.9
    await broker.publish("b", BODY, KEEPING)
    assert repr(broker) == "<MemoryBroker followed=0 idle=2>"

    clock.now += 0.1
    await broker.publish("c", BODY, KEEPING)

    assert repr(broker) == "<MemoryBroker followed=0 idle=2>"
    assert list(broker._idle) == ["b", "c"]


async def test_use_keeps_a_channel_alive(clock):
    broker = MemoryBroker(clock=clock)
    first = await broker.publish("a", BODY, KEEPING)
    for _ in range(5):
        clock.now += 200
        await follow_and_leave(broker, "a")
        await broker.publish("other", BODY, KEEPING)

    assert await epoch_of(broker, "a") == first.epoch


async def test_events_expire_by_the_clock(clock):
    broker = MemoryBroker(clock=clock)
    await broker.publish("a", BODY, KEEPING)
    clock.now += 200
    await broker.publish("a", BODY, KEEPING)
    clock.now += 100

    log = await follow_and_leave(broker, "a")

    assert [entry.offset for entry in log.entries] == [2]


async def test_idempotency_keys_expire_after_their_window(clock):
    broker = MemoryBroker(clock=clock)

    async def publish(name):
        return await broker.publish("a", BODY, KEEPING, idempotency_key=name)

    first = await publish("k")
    clock.now += IDEMPOTENCY_WINDOW - 0.1
    assert await publish("k") == first
    clock.now += 0.1
    assert (await publish("k")).offset == 2
    clock.now += IDEMPOTENCY_WINDOW
    await publish("other")

    assert len(broker._published) == 1


async def test_oldest_idempotency_key_is_forgotten_first():
    broker = MemoryBroker(max_idempotency_keys=2)
    names = ["x" * 8000, "b", "c", "b", "c", "x" * 8000]
    positions = [await broker.publish("a", BODY, KEEPING, idempotency_key=name) for name in names]

    assert [position.offset for position in positions] == [1, 2, 3, 2, 3, 4]
    assert {len(name) for name in broker._published} == {16}


def test_zero_idempotency_keys_are_refused():
    with pytest.raises(ConfigurationError, match="max_idempotency_keys=0 must be a whole number"):
        MemoryBroker(max_idempotency_keys=0)


async def test_forgotten_channel_starts_a_new_epoch():
    broker = MemoryBroker()
    position = await broker.publish("a", BODY, KEEPING)

    assert broker.forget("a") is True
    assert broker.forget("a") is False
    assert (await broker.publish("a", BODY, KEEPING)).epoch != position.epoch


async def test_memory_broker_publishes_without_start():
    broker = MemoryBroker()

    assert (await broker.publish("a", BODY, KEEPING)).offset == 1


async def test_stored_events_survive_a_restart():
    broker = MemoryBroker()
    await broker.start()
    position = await broker.publish("a", BODY, KEEPING)
    await broker.stop()
    await broker.start()

    assert (await follow_and_leave(broker, "a")).top == position
    await broker.stop()


async def test_several_workers_cause_one_warning(monkeypatch):
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    broker = MemoryBroker()

    with pytest.warns(  # noqa: PT031  # three calls, one warning
        RuntimeWarning, match="4 worker processes .*pass broker='redis://"
    ) as caught:
        await broker.start()
        await broker.start()
        await broker.subscribe("a", KEEPING, lambda: None)

    assert len(caught) == 1
    await broker.stop()
