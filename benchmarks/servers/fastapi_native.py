"""FastAPI's own server-sent events, with a queue for each client."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from .events import event_json
from .queues import Queues

queues = Queues()
app = FastAPI()


@app.get("/events/{channel}", response_class=EventSourceResponse)
async def events(channel: str) -> AsyncIterator[ServerSentEvent]:
    with queues.subscribed(channel) as queue:
        yield ServerSentEvent(comment="ready")
        while True:
            event = await queue.get()
            yield ServerSentEvent(raw_data=event.data, id=event.id)


@app.post("/publish/{channel}", status_code=204)
async def publish_order(channel: str, request: Request) -> None:
    queues.publish(channel, (await request.body()).decode())


async def publish(channel: str, ts: int, seq: int, text: str) -> None:
    queues.publish(channel, event_json(ts, seq, text))
