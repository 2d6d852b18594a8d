"""What a page of a discussion is told, and the channels that tell it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from fastapi import Depends
from pydantic import BaseModel, ConfigDict, Field

from fastapi_sse_channels import BrokerError, ChannelManager, Publisher, Session

from .database import TITLES

# Viewers of a process that was killed are gone within seconds, without anybody saying so.
WATCH_INTERVAL = 2.0


class CommentView(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: int
    author: str
    text: str
    posted_at: float
    # Both only grow, so a page knows the newer of two counts in whatever order they arrive.
    up: int
    down: int


class Event(BaseModel):
    """What every event tells, so that a page that shows several discussions knows which it is."""

    discussion_id: str


class Snapshot(Event):
    """The whole state, for a page that has just been opened or missed something."""

    type: Literal["snapshot"] = "snapshot"
    comments: list[CommentView]
    viewers: int


class CommentAdded(Event):
    type: Literal["comment-added"] = "comment-added"
    comment: CommentView


class VotesChanged(Event):
    type: Literal["votes-changed"] = "votes-changed"
    comment_id: int
    up: int
    down: int


class ViewersChanged(Event):
    type: Literal["viewers-changed"] = "viewers-changed"
    viewers: int


# One union, and so one stream, for the whole page: a browser opens only six connections to a
# host over HTTP/1.1, in all its windows together.
DiscussionEvent = Annotated[
    Snapshot | CommentAdded | VotesChanged | ViewersChanged, Field(discriminator="type")
]

discussions = ChannelManager(
    DiscussionEvent,
    key_prefix="discussion",
    name="DiscussionEvent",
    # one process needs nothing else; several hear of each other through Redis
    broker=os.environ.get("REDIS_URL", "memory://"),
)

DiscussionPublisher = Annotated[Publisher[DiscussionEvent], Depends(discussions.publisher)]


async def count_viewers(discussion_id: str) -> int:
    return await discussions.total_session_count(discussion_id)


async def announce_viewers(session: Session[DiscussionEvent]) -> None:
    channel = session.channel
    discussion_id = channel.resource_id
    viewers = await count_viewers(discussion_id)
    await channel.publish(ViewersChanged(discussion_id=discussion_id, viewers=viewers))


@asynccontextmanager
async def watching_viewers() -> AsyncIterator[None]:
    watching = asyncio.create_task(_watch_viewers())
    yield
    watching.cancel()


async def _watch_viewers() -> None:
    known: dict[str, int] = {}
    while True:
        await asyncio.sleep(WATCH_INTERVAL)
        for discussion_id in TITLES:
            if not discussions.session_count(discussion_id):
                continue
            try:
                viewers = await count_viewers(discussion_id)
                if viewers != known.get(discussion_id):
                    event = ViewersChanged(discussion_id=discussion_id, viewers=viewers)
                    await discussions.publish(discussion_id, event)
            except BrokerError:
                logging.getLogger(__name__).debug("Redis is away", exc_info=True)
            else:
                known[discussion_id] = viewers
