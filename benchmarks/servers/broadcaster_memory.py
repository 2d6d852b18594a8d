"""broadcaster with its memory backend, streamed by sse-starlette."""

# not in the development environment: it would bring plugins of its own
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from broadcaster import Broadcast
from fastapi import FastAPI, Request
from sse_starlette import EventSourceResponse, ServerSentEvent

from .events import event_json

broadcast = Broadcast("memory://")


@asynccontextmanager
async def _connected(_: FastAPI) -> AsyncIterator[None]:
    async with broadcast:
        yield


app = FastAPI(lifespan=_connected)


async def _stream(channel: str) -> AsyncIterator[ServerSentEvent]:
    async with broadcast.subscribe(channel) as subscriber:
        yield ServerSentEvent(comment="ready")
        async for event in subscriber:
            yield ServerSentEvent(event.message)


@app.get("/events/{channel}")
async def events(channel: str) -> EventSourceResponse:
    return EventSourceResponse(_stream(channel))


@app.post("/publish/{channel}", status_code=204)
async def publish_order(channel: str, request: Request) -> None:
    await broadcast.publish(channel, (await request.body()).decode())


async def publish(channel: str, ts: int, seq: int, text: str) -> None:
    await broadcast.publish(channel, event_json(ts, seq, text))
