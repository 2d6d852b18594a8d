"""The application of the quick start, with what tests need to look inside."""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal

from fastapi import Body, Depends, FastAPI
from pydantic import BaseModel, Field

from fastapi_sse_channels import (
    Channel,
    ChannelManager,
    Publisher,
    SSEMiddleware,
    create_sse_router,
)


class CommentAdded(BaseModel):
    type: Literal["comment-added"] = "comment-added"
    comment_count: int
    text: str = ""


class DiscussionClosed(BaseModel):
    type: Literal["discussion-closed"] = "discussion-closed"


DiscussionEvent = Annotated[CommentAdded | DiscussionClosed, Field(discriminator="type")]

discussions = ChannelManager(
    DiscussionEvent,
    key_prefix="discussion",
    key_suffix="comments",
    ping_interval=float(os.environ.get("PING_INTERVAL", "15")),
    send_timeout=float(os.environ.get("SEND_TIMEOUT", "15")),
    write_directly="LEAN" in os.environ,
)
app = FastAPI()
if "LEAN" in os.environ:
    app.add_middleware(SSEMiddleware)
app.include_router(create_sse_router(discussions, "/discussions/{discussion_id}/events"))

DiscussionPublisher = Annotated[Publisher[DiscussionEvent], Depends(discussions.publisher)]


@app.post("/discussions/{discussion_id}/comments", status_code=201)
async def add_comment(
    discussion_id: str, publisher: DiscussionPublisher, count: int = 1, text: str = ""
) -> str:
    return await publisher.publish(discussion_id, CommentAdded(comment_count=count, text=text))


@app.post("/discussions/{discussion_id}/burst", status_code=201)
async def burst(discussion_id: str, publisher: DiscussionPublisher, count: int) -> None:
    for number in range(count):
        await publisher.publish(discussion_id, CommentAdded(comment_count=number, text="x" * 100))


@app.post("/discussions/{discussion_id}/repeated", status_code=201)
async def repeat(
    discussion_id: str,
    publisher: DiscussionPublisher,
    times: int,
    text: Annotated[str, Body(embed=True)],
) -> None:
    for number in range(times):
        await publisher.publish(discussion_id, CommentAdded(comment_count=number, text=text))


@app.post("/drain")
async def drain() -> None:
    await discussions.drain()


asking: list[str] = []


async def while_others_listen(discussion_id: str) -> Channel[DiscussionEvent]:
    """Answer once the streams of discussion 0 have ended."""
    asking.append(discussion_id)
    while discussions.session_count("0"):  # noqa: ASYNC110  # a count has no event
        await asyncio.sleep(0.01)
    return discussions.channel(discussion_id)


app.include_router(
    create_sse_router(discussions, "/late/{discussion_id}/events", channel=while_others_listen)
)


@app.get("/asking")
async def who_asks() -> list[str]:
    return asking


@app.get("/discussions/{discussion_id}/sessions")
async def sessions(discussion_id: str) -> int:
    return discussions.session_count(discussion_id)
