"""Streams of a real server, byte by byte."""

from __future__ import annotations

import json

import httpx2


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
