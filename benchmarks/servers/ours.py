"""This library, as an application uses it: typed events, ids, history, pings, limits, drain."""

from __future__ import annotations

import os
from typing import Annotated, Literal

from fastapi import Depends, FastAPI
from pydantic import BaseModel, Field

from fastapi_sse_channels import ChannelManager, Publisher, SSEMiddleware, create_sse_router
from fastapi_sse_channels.brokers import Broker, MemoryBroker


class OrderUpdated(BaseModel):
    type: Literal["order-updated"] = "order-updated"
    ts: int
    seq: int
    text: str


class OrderClosed(BaseModel):
    type: Literal["order-closed"] = "order-closed"


OrderEvent = Annotated[OrderUpdated | OrderClosed, Field(discriminator="type")]

KEY_PREFIX = "order"


def _broker() -> str | Broker:
    url = os.environ.get("BENCHMARK_BROKER", "memory://")
    if url != "memory://keep-all":
        return url
    # by default channels without a stream are freed beyond 10 000
    return MemoryBroker(max_idle_channels=1_000_000, max_idle_bytes=1024**3)


orders = ChannelManager(
    OrderEvent,
    key_prefix=KEY_PREFIX,
    broker=_broker(),
    write_directly="BENCHMARK_DIRECTLY" in os.environ,
)
api = FastAPI()
api.include_router(create_sse_router(orders, "/events/{channel}"))
app = SSEMiddleware(api) if "BENCHMARK_MIDDLEWARE" in os.environ else api


@api.post("/publish/{channel}", status_code=204)
async def publish_order(
    channel: str,
    event: OrderUpdated,
    publisher: Annotated[Publisher[OrderEvent], Depends(orders.publisher)],
) -> None:
    await publisher.publish(channel, event)


async def publish(channel: str, ts: int, seq: int, text: str) -> None:
    await orders.publish(channel, OrderUpdated(ts=ts, seq=seq, text=text))
