"""Streams that tests can restart, guard and refuse."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field

from fastapi_sse_channels import Channel, ChannelManager, create_sse_router


class Number(BaseModel):
    type: Literal["number"] = "number"
    number: int


class Mark(BaseModel):
    type: Literal["mark"] = "mark"


numbers = ChannelManager(
    Annotated[Number | Mark, Field(discriminator="type")],
    key_prefix="number",
    broker=os.environ.get("BROKER", "memory://"),
    ping_interval=float(os.environ.get("PING_INTERVAL", "15")),
    retry=100,
    drain_spread=0.1,
    max_sessions=int(os.environ.get("MAX_SESSIONS", "100")),
)
token = os.environ.get("TOKEN", "")
app = FastAPI()


async def guarded(
    number_id: str, authorization: Annotated[str, Header()] = ""
) -> Channel[Number | Mark]:
    if authorization != token:
        raise HTTPException(401 if number_id == "unauthorized" else 403)
    return numbers.channel(number_id)


async def gone(number_id: str) -> Channel[Number | Mark]:
    raise HTTPException(204, number_id)


async def seven() -> Number:
    return Number(number=7)


app.include_router(create_sse_router(numbers, "/numbers/{number_id}/events"))
app.include_router(create_sse_router(numbers, "/initial/{number_id}/events", initial_event=seven))
app.include_router(create_sse_router(numbers, "/guarded/{number_id}/events", channel=guarded))
app.include_router(create_sse_router(numbers, "/gone/{number_id}/events", channel=gone))


@app.get("/page", response_class=HTMLResponse)
async def page() -> str:
    return "<p>data: x</p>\n\n"


@app.post("/numbers/{number_id}")
async def publish(number_id: str, number: int) -> str:
    return await numbers.publish(number_id, Number(number=number))


@app.post("/numbers/{number_id}/mark")
async def mark(number_id: str) -> str:
    return await numbers.publish(number_id, Mark())


@app.post("/numbers/{number_id}/close")
async def close(number_id: str, *, reconnect: bool) -> int:
    return numbers.channel(number_id).close("expired", reconnect=reconnect)


@app.get("/numbers/{number_id}/sessions")
async def sessions(number_id: str) -> int:
    return numbers.session_count(number_id)
