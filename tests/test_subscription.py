"""A subscription streams a channel inside Python."""

from __future__ import annotations

import asyncio

import pytest

from fastapi_sse_channels import (
    ConfigurationError,
    DrainingError,
    InvalidEventError,
    StreamResetError,
)
from fastapi_sse_channels._core.position import new_epoch, start_of


async def texts(events, count):
    found: list[str] = []
    async with asyncio.timeout(5):
        while len(found) < count:
            found.append((await anext(events)).text)
    return found


async def test_events_are_models_in_order(make_notes):
    notes = make_notes()
    async with notes.manager.channel("1").subscribe() as events:
        await notes.publish("a", "b")

        assert await texts(events, 2) == ["a", "b"]


async def test_iteration_without_entering_names_the_fix(make_notes):
    with pytest.raises(ConfigurationError, match=r"use `async with channel\.subscribe"):
        async for _ in make_notes().manager.channel("1").subscribe():
            pass


async def test_position_without_entering_names_the_fix(make_notes):
    subscription = make_notes().manager.channel("1").subscribe()

    with pytest.raises(ConfigurationError, match=r"use `async with channel\.subscribe"):
        _ = subscription.last_event_id


async def test_waiting_iteration_is_woken(make_notes):
    notes = make_notes()
    async with notes.manager.subscribe("1") as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await notes.publish("a")

        async with asyncio.timeout(5):
            assert (await waiting).text == "a"


async def test_cancelled_iteration_loses_nothing(make_notes):
    notes = make_notes()
    async with notes.manager.subscribe("1") as events:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await anext(events)
        await notes.publish("a", "b")

        assert await texts(events, 2) == ["a", "b"]


async def test_subscription_goes_on_after_the_last_event_id(make_notes):
    notes = make_notes()
    async with notes.manager.subscribe("1") as events:
        await notes.publish("a", "b", "c")
        await texts(events, 1)
        last_event_id = events.last_event_id

    async with notes.manager.subscribe("1", last_event_id=last_event_id) as events:
        assert await texts(events, 2) == ["b", "c"]


async def test_event_ids_of_subscriptions_and_streams_are_interchangeable(make_notes, connect):
    notes = make_notes()
    ids = await notes.publish("a", "b")
    async with notes.manager.subscribe("1", last_event_id=ids[0]) as events:
        await texts(events, 1)

        stream = await connect(notes.app, "/notes/1/events", last_event_id=events.last_event_id)

    assert notes.controls(stream) == ["stream-open"]


@pytest.mark.parametrize("last_event_id", ["unknown", "other.1.n"])
async def test_gap_is_raised_once_and_iteration_goes_on(make_notes, last_event_id):
    notes = make_notes()
    await notes.publish("before")
    async with notes.manager.subscribe("1", last_event_id=last_event_id) as events:
        with pytest.raises(StreamResetError, match=r"\(epoch\).*load the current state") as caught:
            await anext(events)
        assert caught.value.reason == "epoch"
        assert caught.value.last_event_id == events.last_event_id
        await notes.publish("after")

        assert await texts(events, 1) == ["after"]


async def test_subscription_overrun_by_events_is_reset_once(make_notes):
    notes = make_notes(history_size=3, slow_after=0.01)
    async with notes.manager.subscribe("1") as events:
        await notes.publish(*"abcdefgh")

        with pytest.raises(StreamResetError, match="slow"):
            await anext(events)
        await notes.publish("live")

        assert await texts(events, 1) == ["live"]


async def test_burst_overruns_no_subscription_that_keeps_up(make_notes):
    notes = make_notes(history_size=3)
    async with notes.manager.subscribe("1") as events:
        reading = asyncio.ensure_future(texts(events, 100))
        await notes.publish(*map(str, range(100)))

        assert await reading == list(map(str, range(100)))


async def test_subscription_that_takes_an_event_early_is_not_behind(make_notes, eventually):
    """Publishers would not wait for a subscription that seems behind."""
    notes = make_notes()
    async with notes.manager.subscribe("1") as events:
        await notes.publish("a")
        await texts(events, 1)
        await eventually(lambda: not notes.feed.dirty)

        [reader] = notes.engine.hub.subscribers
        assert reader.stuck_since is None


async def test_subscription_that_was_reset_is_not_behind(make_notes, eventually):
    notes = make_notes(history_size=3, slow_after=0.01)
    async with notes.manager.subscribe("1") as events:
        await notes.publish(*"abcdefgh")
        [reader] = notes.engine.hub.subscribers
        await eventually(lambda: reader.stuck_since is not None)
        with pytest.raises(StreamResetError, match="slow"):
            await anext(events)

        assert reader.stuck_since is None


async def test_id_marked_for_an_initial_event_leaves_no_hole(make_notes):
    notes = make_notes()
    ids = await notes.publish("a", "b", "c")
    async with notes.manager.subscribe("1", last_event_id=ids[0] + "~") as events:
        assert await texts(events, 2) == ["b", "c"]


async def test_log_that_begins_anew_is_raised_once_and_iteration_goes_on(make_notes):
    notes = make_notes()
    async with notes.manager.subscribe("1") as events:
        await notes.publish("a", "b")
        await texts(events, 2)
        notes.feed.log.restart(start_of(new_epoch()))
        await notes.publish(*"abcd")

        with pytest.raises(StreamResetError, match="epoch"):
            await anext(events)
        await notes.publish("live")

        assert await texts(events, 1) == ["live"]


async def test_iteration_ends_with_the_drain_after_what_was_published(make_notes):
    notes = make_notes()
    async with notes.manager.subscribe("1") as events:
        await notes.publish("a", "b")
        await notes.manager.drain()

        async with asyncio.timeout(5):
            assert [event.text async for event in events] == ["a", "b"]


async def test_subscribing_while_draining_is_refused(make_notes):
    notes = make_notes()
    await notes.manager.drain()

    with pytest.raises(DrainingError):
        async with notes.manager.subscribe("1"):
            pass


async def test_left_subscription_keeps_nothing(make_notes):
    notes = make_notes()
    async with notes.manager.subscribe("1"):
        pass

    assert notes.engine.hub.feed("note:1:events") is None
    assert not notes.engine.hub.subscribers


async def test_event_of_another_version_is_skipped_after_its_error(make_notes):
    notes = make_notes()
    async with notes.manager.subscribe("1") as events:
        await notes.manager.broker.publish(
            "note:1:events", b'data: {"type":"renamed"}\n\n', notes.engine.retention
        )
        await notes.publish("after")

        with pytest.raises(InvalidEventError):
            await anext(events)
        assert await texts(events, 1) == ["after"]


async def test_old_subscription_does_not_end_the_restarted_manager(make_notes):
    notes = make_notes()
    await notes.manager.start()
    old = notes.manager.subscribe("1")
    await old.__aenter__()
    await notes.manager.stop()
    await notes.manager.start()
    async with notes.manager.subscribe("1") as events:
        await old.__aexit__(None, None, None)
        await notes.publish("a")

        assert await texts(events, 1) == ["a"]
    await notes.manager.stop()
