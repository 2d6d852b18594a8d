"""sse-starlette in a FastAPI application, with a queue for each client."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from .events import event_json
from .queues import Queues

queues = Queues()
app = FastAPI()


async def _stream(channel: str) -> AsyncIterator[ServerSentEvent]:
    with queues.subscribed(channel) as queue:
        yield ServerSentEvent(comment="ready")
        while True:
            event = await queue.get()
            yield ServerSentEvent(event.data, id=event.id)


@app.get("/events/{channel}")
async def events(channel: str) -> EventSourceResponse:
    return EventSourceResponse(_stream(channel))


@app.post("/publish/{channel}", status_code=204)
async def publish_order(channel: str, request: Request) -> None:
    queues.publish(channel, (await request.body()).decode())


async def publish(channel: str, ts: int, seq: int, text: str) -> None:
    queues.publish(channel, event_json(ts, seq, text))
