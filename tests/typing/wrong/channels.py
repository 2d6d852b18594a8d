"""Never run: every line marked `# error` is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from fastapi_sse_channels import (
    Channel,
    ChannelManager,
    Publisher,
    Session,
    SyncPublisher,
    create_sse_router,
)


class CommentAdded(BaseModel):
    type: Literal["comment-added"] = "comment-added"
    comment_count: int


class DiscussionClosed(BaseModel):
    type: Literal["discussion-closed"] = "discussion-closed"


class Vote(BaseModel):
    type: Literal["vote"] = "vote"


DiscussionEvent = Annotated[CommentAdded | DiscussionClosed, Field(discriminator="type")]

discussions = ChannelManager(DiscussionEvent, key_prefix="discussion")
votes = ChannelManager(Vote, key_prefix="vote")
ChannelManager(DiscussionEvent)  # error
ChannelManager(DiscussionEvent, "discussion")  # error
ChannelManager(DiscussionEvent, key_prefix="d", slow_policy="wait")  # error
ChannelManager(DiscussionEvent, key_prefix="d", event_names=True)  # error
ChannelManager[Vote](DiscussionEvent, key_prefix="d")  # error
of_votes: ChannelManager[Vote] = discussions  # error


async def publishes(publisher: Publisher[DiscussionEvent]) -> None:
    await publisher.publish("42", Vote())  # error
    await publisher.publish("42", "comment-added")  # error
    await publisher.publish("42", [CommentAdded(comment_count=1)])  # error
    await publisher.publish("42", {1: "comment-added"})  # error
    await publisher.publish(4.2, DiscussionClosed())  # error
    await publisher.publish(DiscussionClosed())  # error
    publisher.publish_sync("42", Vote())  # error
    await discussions.publish("42", Vote())  # error
    discussions.publish_sync("42", Vote())  # error
    await discussions.channel("42").publish(Vote())  # error
    SyncPublisher(DiscussionEvent, broker="redis://x", key_prefix="d").publish("1", Vote())  # error


async def follows(channel: Channel[DiscussionEvent]) -> None:
    async with channel.subscribe() as events:
        event = await anext(events)
        _ = event.comment_count  # error
        if event.type == "discussion-closed":
            _ = event.comment_count  # error
        if event.type == "comment-added":
            _ = event.comment_cuont  # error
    list(channel.subscribe())  # error
    channel.close("because")  # error


async def of_another(session: Session[Vote]) -> None:
    session.close(1)  # error


async def without_session() -> None:
    pass


create_sse_router(discussions, "/{id}", on_connect=of_another)  # error
create_sse_router(discussions, "/{id}", on_disconnect=of_another)  # error
create_sse_router(discussions, "/{id}", on_connect=without_session)  # error
create_sse_router(DiscussionEvent, "/{id}")  # error


async def first_vote() -> Vote:
    return Vote()


async def all_votes() -> list[Vote]:
    return [Vote()]


def open_votes() -> Iterator[Vote]:
    yield Vote()


def readable_votes() -> Channel[Vote]:
    return votes.channel("42")


async def resource_id() -> str:
    return "42"


create_sse_router(discussions, "/{id}", initial_event=first_vote)  # error
create_sse_router(discussions, "/{id}", initial_event=all_votes)  # error
create_sse_router(discussions, "/{id}", initial_event=open_votes)  # error
create_sse_router(discussions, "/{id}", initial_event=Vote)  # error
create_sse_router(discussions, "/{id}", initial_event=resource_id)  # error
create_sse_router(discussions, "/{id}", channel=readable_votes)  # error
create_sse_router(discussions, "/{id}", channel=resource_id)  # error
