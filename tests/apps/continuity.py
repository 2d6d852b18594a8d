"""A channel with an initial event that tests can hold back, and a history they can size."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from fastapi_sse_channels import ChannelManager, create_sse_router


class Counted(BaseModel):
    type: Literal["counted"] = "counted"
    number: int
    text: str = ""


class Snapshot(BaseModel):
    type: Literal["snapshot"] = "snapshot"
    number: int


Event = Annotated[Counted | Snapshot, Field(discriminator="type")]

counters = ChannelManager(
    Event,
    key_prefix="counter",
    history_size=int(os.environ.get("HISTORY_SIZE", "100")),
    history_ttl=float(os.environ.get("HISTORY_TTL", "300")),
    slow_after=float(os.environ.get("SLOW_AFTER", "1")),
    slow_policy="close" if os.environ.get("SLOW_POLICY") == "close" else "reset",
    drain_spread=1,
)
numbers: dict[str, int] = {}
app = FastAPI()


async def snapshot(counter_id: str, wait: float = 0) -> Snapshot:
    number = numbers.get(counter_id, 0)
    await asyncio.sleep(wait)
    return Snapshot(number=number)


app.include_router(create_sse_router(counters, "/plain/{counter_id}/events"))
app.include_router(
    create_sse_router(counters, "/counters/{counter_id}/events", initial_event=snapshot)
)


@app.post("/counters/{counter_id}")
async def count(counter_id: str, times: int = 1, size: int = 0, pause: float = 0) -> list[str]:
    ids = []
    for _ in range(times):
        numbers[counter_id] = number = numbers.get(counter_id, 0) + 1
        ids.append(await counters.publish(counter_id, Counted(number=number, text="x" * size)))
        if pause:
            await asyncio.sleep(pause)
    return ids
