"""Never run: what type checkers infer in tests of an application."""

from __future__ import annotations

from typing import Annotated, Literal, assert_type

import httpx
import httpx2
from fastapi import FastAPI
from pydantic import BaseModel, Field

from fastapi_sse_channels import ChannelManager, Publisher
from fastapi_sse_channels.testing import RecordingPublisher, SSETestClient, SSETestStream
from fastapi_sse_channels.testing.httpx import StreamingTransport
from fastapi_sse_channels.testing.httpx2 import StreamingTransport as StreamingTransport2


class Added(BaseModel):
    type: Literal["added"] = "added"
    count: int


class Removed(BaseModel):
    type: Literal["removed"] = "removed"


Event = Annotated[Added | Removed, Field(discriminator="type")]
manager = ChannelManager(Event, key_prefix="thing")


async def streams(app: FastAPI) -> None:
    async with SSETestClient(app) as client:
        assert_type(client, SSETestClient)
        async with client.stream("/events", Event) as stream:
            assert_type(stream, SSETestStream[Added | Removed])
            assert_type(await stream.next(), Added | Removed)
            assert_type(await stream.collect(2), list[Added | Removed])
            assert_type(stream.opened.resumed, bool)
        assert_type((await client.post("/x", json={})).status_code, int)


async def recording() -> None:
    recorder = RecordingPublisher(manager)
    publisher: Publisher[Added | Removed] = recorder
    await publisher.publish("1", Added(count=1))
    assert_type(recorder.published, list[tuple[str, Added | Removed]])
    assert_type(recorder.events(1), list[Added | Removed])


def transports(app: FastAPI) -> None:
    httpx.AsyncClient(transport=StreamingTransport(app))
    httpx2.AsyncClient(transport=StreamingTransport2(app))
