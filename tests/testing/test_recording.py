"""A publisher that keeps what is published."""

from __future__ import annotations

import asyncio

import pytest

from fastapi_sse_channels import ChannelManager, InvalidEventError, InvalidResourceIdError
from fastapi_sse_channels.testing import RecordingPublisher, SSETestClient


@pytest.fixture
def recorder(application):
    recorder = RecordingPublisher(application.manager)
    application.app.dependency_overrides[application.manager.publisher] = lambda: recorder
    return recorder


async def test_recorder_receives_what_handlers_publish(application, recorder):
    async with (
        SSETestClient(application.app) as client,
        client.stream("/notes/1/events", application.Event) as stream,
    ):
        assert (await client.post("/notes/1", json={"text": "a"})).json() == "recorded.1"
        assert (await client.put("/notes/2", json={"text": "b"})).json() == "recorded.2"
        await stream.assert_no_event()

    note = application.Note
    assert recorder.published == [("1", note(text="a")), ("2", note(text="b"))]


async def test_entered_recorder_receives_whatever_is_published(application):
    manager, note = application.manager, application.Note
    async with SSETestClient(application.app) as client:
        with RecordingPublisher(manager) as recorder:
            await client.post("/notes/1", json={"text": "a"})
            await client.put("/notes/2", json={"text": "b"})
            await manager.publish("x/y:z", note(text="c"), idempotency_key="k")
            await manager.channel("x/y:z").publish(note(text="c"), idempotency_key="k")
            await asyncio.to_thread(manager.publish_sync, "3", note(text="d"))
            with pytest.raises(InvalidEventError):
                await manager.publish("1", {"type": "other"})
        await client.post("/notes/1", json={"text": "sent"})

    assert recorder.published == [
        ("1", note(text="a")),
        ("2", note(text="b")),
        ("x/y:z", note(text="c")),
        ("3", note(text="d")),
    ]


async def test_mapping_becomes_an_event_and_numbers_become_ids(application, recorder):
    await recorder.publish(7, {"type": "note", "text": "a"})
    recorder.publish_sync("8", application.Gone())

    assert recorder.events("7") == [application.Note(text="a")]
    assert recorder.events(8) == [application.Gone()]
    assert recorder.events("9") == []


async def test_ids_of_a_declared_type_are_recorded_in_one_spelling(application):
    manager = ChannelManager(application.Event, key_prefix="note", resource_id_type=int)
    recorder = RecordingPublisher(manager)

    await recorder.publish("007", application.Gone())

    assert recorder.events(7) == recorder.events("07") == [application.Gone()]


async def test_recorder_refuses_what_the_manager_refuses(recorder):
    with pytest.raises(InvalidEventError):
        await recorder.publish("1", {"type": "other"})
    with pytest.raises(InvalidEventError):
        await recorder.publish("1", {"type": "note", "text": "\ud800"})
    with pytest.raises(InvalidResourceIdError):
        await recorder.publish("", {"type": "gone"})

    assert recorder.published == []


async def test_idempotency_key_applies_to_one_resource(application, recorder):
    ids = [
        await recorder.publish(resource, application.Gone(), idempotency_key="k")
        for resource in ("1", "1", "2")
    ]

    assert ids == ["recorded.1", "recorded.1", "recorded.2"]
    assert [resource for resource, _ in recorder.published] == ["1", "2"]


async def test_recorder_copies_models(application, recorder):
    note = application.Note(text="a")
    await recorder.publish("1", note)
    note.text = "b"

    assert recorder.events("1") == [application.Note(text="a")]


async def test_clear_empties_the_record(application, recorder):
    await recorder.publish("1", application.Gone(), idempotency_key="k")
    recorder.clear()
    assert recorder.published == []

    await recorder.publish("1", application.Gone(), idempotency_key="k")
    assert recorder.events("1") == [application.Gone()]
    assert repr(recorder) == f"<RecordingPublisher of {application.manager!r} published=1>"
