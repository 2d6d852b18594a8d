"""Rooms to talk in, and a page in which a test's scripts listen with the served client."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from fastapi import Body, Depends, FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from fastapi_sse_channels import (
    ChannelManager,
    client_url,
    create_client_router,
    create_sse_router,
)
from fastapi_sse_channels.brokers import MemoryBroker


class Said(BaseModel):
    type: Literal["said"] = "said"
    number: int
    text: str


redis_url = os.environ.get("REDIS_URL")
ping_interval = float(os.environ.get("PING_INTERVAL", "15"))
rooms = ChannelManager(
    Said,
    key_prefix="room",
    broker=redis_url or MemoryBroker(),
    ping_interval=ping_interval,
    # a test that waits for a reconnection would wait for these
    retry=100,
    drain_spread=0,
)
named_rooms = ChannelManager(Said, key_prefix="named-room", event_names="discriminator")

app = FastAPI()
app.include_router(create_client_router())
app.include_router(create_sse_router(rooms, "/rooms/{room_id}/events"))
app.include_router(create_sse_router(named_rooms, "/named-rooms/{room_id}/events"))

PAGE = """<!doctype html>
<title>Room</title>
<link rel="icon" href="data:,">
<script type="module">
  import * as client from "CLIENT_URL"

  // what each listener of this page was told, for the test to read
  window.logs = []
  window.client = client
  window.listen = (url, options = {}) => {
    const log = { numbers: [], ids: [], statuses: [], resets: [], errors: [] }
    log.connection = client.connect(url, {
      onEvent: (event, { id }) => { log.numbers.push(event.number); log.ids.push(id) },
      onStatus: (status) => log.statuses.push({ ...status, at: performance.now() }),
      onReset: (reason) => log.resets.push(reason),
      onError: (error) => log.errors.push(error.type),
      ...options,
    })
    return logs.push(log) - 1
  }
  window.listenNatively = (url, name = "message") => {
    const log = { numbers: [], ids: [], data: [], opened: 0, errors: [] }
    log.source = new EventSource(url)
    log.source.onopen = () => log.opened++
    log.source.onerror = () => log.errors.push(log.source.readyState)
    log.source.addEventListener(name, (message) => {
      log.numbers.push(JSON.parse(message.data).number)
      log.ids.push(message.lastEventId)
      log.data.push(message.data)
    })
    return logs.push(log) - 1
  }
  window.restored = 0
  addEventListener("pageshow", ({ persisted }) => { restored += persisted })
</script>
"""


@app.get("/page")
async def page(url: Annotated[str, Depends(client_url)]) -> HTMLResponse:
    return HTMLResponse(PAGE.replace("CLIENT_URL", url))


@app.get("/elsewhere")
async def elsewhere() -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>Elsewhere</title>")


@app.post("/rooms/{room_id}")
async def say(
    room_id: str, number: Annotated[int, Body()], text: Annotated[str, Body()] = ""
) -> str:
    return await rooms.publish(room_id, Said(number=number, text=text))


@app.post("/named-rooms/{room_id}")
async def say_named(
    room_id: str, number: Annotated[int, Body()], text: Annotated[str, Body()] = ""
) -> str:
    return await named_rooms.publish(room_id, Said(number=number, text=text))


@app.get("/rooms/{room_id}/sessions")
async def sessions(room_id: str) -> int:
    return rooms.session_count(room_id)


@app.post("/drain")
async def drain() -> None:
    await rooms.drain()
