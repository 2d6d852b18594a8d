"""A node that shares channels through Redis and watches its own event loop."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from fastapi_sse_channels import ChannelManager, PublishError, create_sse_router
from fastapi_sse_channels.brokers.redis import RedisBroker
from tests.faults.events import HISTORY_BYTES, HISTORY_SIZE, KEY_PREFIX, NAMESPACE, Numbered
from tests.faults.heartbeat import Heartbeat


class Attempt(BaseModel):
    number: int
    idempotency_key: str


class Batch(BaseModel):
    publisher: str
    batch: list[Attempt]


def make_broker() -> RedisBroker:
    url = os.environ["REDIS_URL"]
    options: dict[str, Any] = {
        "namespace": NAMESPACE,
        "follow": os.environ["FOLLOW"],
        "start_timeout": 30,
        "check_interval": float(os.environ.get("CHECK_INTERVAL", "30")),
    }
    match os.environ.get("TOPOLOGY"):
        case "cluster":
            return RedisBroker.cluster(url, **options)
        case "sentinel":
            ports = map(int, os.environ["SENTINELS"].split(","))
            return RedisBroker.sentinel([("127.0.0.1", port) for port in ports], "main", **options)
        case _:
            return RedisBroker(url, **options)


broker = make_broker()
events = ChannelManager(
    Numbered,
    key_prefix=KEY_PREFIX,
    broker=broker,
    history_size=HISTORY_SIZE,
    history_bytes=HISTORY_BYTES,
    drain_spread=1,
)


heartbeat = Heartbeat()
health: list[tuple[float, bool]] = []


async def watch_health() -> None:
    while True:
        if not health or health[-1][1] != broker.is_healthy:
            health.append((time.monotonic(), broker.is_healthy))
        await asyncio.sleep(0.01)


@asynccontextmanager
async def watching(_app: FastAPI) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(heartbeat.run()), asyncio.create_task(watch_health())]
    yield
    for task in tasks:
        task.cancel()


app = FastAPI(lifespan=watching)
app.include_router(create_sse_router(events, "/channels/{channel_id}/events"))


@app.post("/channels/{channel_id}")
async def publish(channel_id: str, batch: Batch) -> dict[str, Any]:
    """Publish until one fails; say what was acknowledged, and how long the slowest took."""
    acknowledged: list[str] = []
    slowest, failure = 0.0, None
    for attempt in batch.batch:
        began = time.monotonic()
        try:
            event_id = await events.publish(
                channel_id,
                Numbered(publisher=batch.publisher, number=attempt.number),
                idempotency_key=attempt.idempotency_key,
            )
            acknowledged.append(event_id)
        except PublishError as error:
            failure = str(error)
        slowest = max(slowest, time.monotonic() - began)
        if failure is not None:
            break
    return {
        "acknowledged": acknowledged,
        "slowest": slowest,
        "starved": heartbeat.starved,
        "failure": failure,
    }


@app.get("/channels/{channel_id}/sessions")
async def sessions(channel_id: str) -> int:
    return await events.total_session_count(channel_id)


@app.get("/watch")
async def read_watch() -> dict[str, Any]:
    return {"stall": heartbeat.stall, "starved": heartbeat.starved, "health": health}


@app.post("/watch")
async def reset_watch() -> None:
    heartbeat.reset()


@app.post("/freeze")
async def freeze() -> None:
    """Let the subscription's socket time out, as the kernel does long after a partition.

    The error that asyncio sets then is the builtin `TimeoutError`, which is also what its own
    time limits raise; a subscriber that takes it for a quiet moment never lets the loop run again.
    """
    node: Any = broker._node
    for link in node._links:
        link._subscriber._subscriptions.connection._reader.set_exception(
            TimeoutError(110, "Connection timed out")
        )
