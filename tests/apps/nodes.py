"""One of several nodes, which publishes from wherever handlers may run."""

from __future__ import annotations

import os
import threading
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from fastapi_sse_channels import (
    BrokerError,
    ChannelManager,
    InvalidEventError,
    MemoryBroker,
    Publisher,
    create_sse_router,
    sse_lifespan,
)
from fastapi_sse_channels.brokers.redis import RedisBroker


class Said(BaseModel):
    type: Literal["said"] = "said"
    text: str


class Whispered(BaseModel):
    """What a new version of the program has, and the old one has not."""

    type: Literal["whispered"] = "whispered"
    text: str
    volume: int


def make_broker() -> Any:
    if url := os.environ.get("REDIS_URL"):
        follow: Any = os.environ.get("FOLLOW", "pattern")
        return RedisBroker(url, follow=follow, probe_interval=0.5)
    return MemoryBroker()


Event: Any = Said
if os.environ.get("MODEL") == "new":
    Event = Annotated[Said | Whispered, Field(discriminator="type")]
rooms: ChannelManager[Any] = ChannelManager(Event, key_prefix="room", broker=make_broker())
RoomPublisher = Annotated[Publisher[Any], Depends(rooms.publisher)]

app = FastAPI(lifespan=sse_lifespan(rooms))
app.include_router(create_sse_router(rooms, "/rooms/{room_id}/events"))


@app.exception_handler(BrokerError)
async def explain(_request: object, error: BrokerError) -> JSONResponse:
    return JSONResponse(f"{type(error).__name__}: {error}", 503)


@app.post("/rooms/{room_id}/async")
async def say(room_id: str, text: str, publisher: RoomPublisher) -> str:
    return await publisher.publish(room_id, Said(text=text))


@app.post("/rooms/{room_id}/def")
def say_sync(room_id: str, text: str, publisher: RoomPublisher) -> str:
    return publisher.publish_sync(room_id, Said(text=text))


@app.post("/rooms/{room_id}/thread")
def say_from_a_thread(room_id: str, text: str) -> str:
    ids = []
    thread = threading.Thread(
        target=lambda: ids.append(rooms.publish_sync(room_id, Said(text=text)))
    )
    thread.start()
    thread.join()
    return ids[0]


@app.post("/rooms/{room_id}/wrong")
async def say_wrongly(room_id: str, text: str, publisher: RoomPublisher) -> str:
    try:
        return publisher.publish_sync(room_id, Said(text=text))
    except RuntimeError as error:
        return str(error)


@app.post("/rooms/{room_id}/chatter")
async def chatter(room_id: str) -> None:
    """Publish without end, from a thread that the end of the process waits for."""

    def run() -> None:
        number = 0
        while True:
            number += 1
            try:
                rooms.publish_sync(room_id, Said(text=str(number)))
            except BrokerError:
                return

    threading.Thread(target=run, daemon=False).start()


@app.post("/rooms/{room_id}/whisper")
async def whisper(room_id: str, text: str) -> str:
    return await rooms.publish(room_id, {"type": "whispered", "text": text, "volume": 1})


heard: list[str] = []


@app.post("/rooms/{room_id}/listen")
async def listen(room_id: str, count: int) -> list[str]:
    """Follow the room in Python until so many things were heard."""
    heard.clear()
    async with rooms.channel(room_id).subscribe() as events:
        while len(heard) < count:
            try:
                event = await anext(events)
            except InvalidEventError as error:
                heard.append(f"refused: {error}")
            else:
                heard.append(event.text)
    return heard


@app.get("/rooms/{room_id}/sessions")
async def sessions(room_id: str) -> int:
    return await rooms.total_session_count(room_id)
