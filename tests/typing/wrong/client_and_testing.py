"""Never run: every line marked `# error` is one."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from fastapi_sse_channels.client import connect
from fastapi_sse_channels.testing import SSETestClient


class Added(BaseModel):
    type: Literal["added"] = "added"
    count: int


class Removed(BaseModel):
    type: Literal["removed"] = "removed"


Event = Annotated[Added | Removed, Field(discriminator="type")]


async def wrong(app: FastAPI) -> None:
    async with connect("http://x", Event) as events:
        event = await anext(events)
        _ = event.count  # error
        if event.type == "removed":
            _ = event.count  # error
    connect("http://x", Event, on_invalid="ignore")  # error
    connect("http://x", Event, headers=["x"])  # error
    async with SSETestClient(app) as client, client.stream("/x", Event) as stream:
        _ = (await stream.next()).nothing  # error
