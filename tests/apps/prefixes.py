"""Streams below prefixes, of every shape that a document can describe them in."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

from fastapi_sse_channels import Channel, ChannelManager, create_sse_router


class Author(BaseModel):
    name: str
    joined: datetime | None = None


class Headline(BaseModel):
    type: Literal["headline"] = "headline"
    title: str
    authors: list[Author]


class Retraction(BaseModel):
    # without a default the discriminator is required
    type: Literal["retraction"]
    reason: str | None = None


class Moved(BaseModel):
    type: Literal["moved"] = "moved"
    x: float
    y: float


class Started(BaseModel):
    kind: Literal["started"] = "started"
    at: datetime


class Progressed(BaseModel):
    kind: Literal["progressed", "finished"]
    percent: int


NewsEvent = Annotated[Headline | Retraction, Field(discriminator="type")]

news = ChannelManager(NewsEvent, key_prefix="news", name="NewsEvent")
cursors = ChannelManager(Moved, key_prefix="cursor")
jobs = ChannelManager(
    Annotated[Started | Progressed, Field(discriminator="kind")], key_prefix="job"
)


async def all_news() -> Channel[NewsEvent]:
    return news.channel("all")


async def cursor_channel(board_id: int, user_id: UUID) -> Channel[Moved]:
    return cursors.channel(f"{board_id}/{user_id}")


boards = APIRouter(prefix="/boards/{board_id}")
boards.include_router(
    create_sse_router(cursors, "/cursors/{user_id}/events", channel=cursor_channel)
)
version = APIRouter(prefix="/v1")
version.include_router(create_sse_router(news, "/news", channel=all_news))
version.include_router(boards)
version.include_router(create_sse_router(jobs, "/jobs/{job_id}/events"))

app = FastAPI()
app.include_router(version, prefix="/api")
