"""Litestar's channels with their memory backend, streamed by Litestar's own events."""

# not in the development environment: it would bring plugins of its own
# pyright: reportMissingImports=false
from __future__ import annotations

from collections.abc import AsyncIterator

from litestar import Litestar, Request, get, post
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend
from litestar.response import ServerSentEvent, ServerSentEventMessage

from .events import event_json

channels = ChannelsPlugin(MemoryChannelsBackend(), arbitrary_channels_allowed=True)


async def _stream(channel: str) -> AsyncIterator[ServerSentEventMessage]:
    async with channels.start_subscription([channel]) as subscriber:
        yield ServerSentEventMessage(comment="ready")
        async for data in subscriber.iter_events():
            yield ServerSentEventMessage(data=data)


async def events(channel: str) -> ServerSentEvent:
    return ServerSentEvent(_stream(channel))


async def publish_order(channel: str, request: Request) -> None:
    channels.publish((await request.body()).decode(), channel)


app = Litestar(
    route_handlers=[
        get("/events/{channel:str}")(events),
        post("/publish/{channel:str}", status_code=204)(publish_order),
    ],
    plugins=[channels],
    openapi_config=None,
)


async def publish(channel: str, ts: int, seq: int, text: str) -> None:
    channels.publish(event_json(ts, seq, text), channel)
