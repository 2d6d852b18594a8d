"""A real server streams the right bytes, and so does Starlette's test client."""

from __future__ import annotations

import json

import httpx2
from fastapi.testclient import TestClient


async def test_stream_opens_with_its_cursor_and_carries_published_events(serve, open_stream):
    server = serve()
    stream = await open_stream(f"{server.url}/discussions/42/events")
    await stream.until(b"\n\n")
    [opening] = stream.frames

    async with httpx2.AsyncClient(base_url=server.url) as client:
        event_id = (await client.post("/discussions/42/comments?count=3")).json()
    body = await stream.until(b'"comment_count":3')

    assert stream.status == 200
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert json.loads(opening["data"]) == {"protocol": 1, "resumed": False, "ping_interval": 15}
    assert body.endswith(
        f'id: {event_id}\ndata: {{"type":"comment-added","comment_count":3,"text":""}}\n\n'.encode()
    )


def test_test_client_of_todays_starlette_reads_a_stream(make_notes):
    notes = make_notes()

    @notes.app.post("/notes/{note_id}")
    async def publish(note_id: str) -> str:
        [event_id] = await notes.publish("from a handler", to=note_id)
        return event_id

    with TestClient(notes.app) as client, client.stream("GET", "/notes/7/events") as response:
        lines = response.iter_lines()
        assert next(lines) == "event: stream-open"
        event_id = client.post("/notes/7").json()
        received = [next(lines) for _ in range(6)]

    assert received[-2:] == [
        f"id: {event_id}",
        'data: {"type":"note","text":"from a handler"}',
    ]
