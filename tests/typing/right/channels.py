"""Never run: what type checkers infer from the declaration of a manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Literal, assert_type
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from fastapi_sse_channels import (
    Channel,
    ChannelManager,
    MemoryBroker,
    Publisher,
    Session,
    Subscription,
    SyncPublisher,
    create_sse_router,
    sse_lifespan,
)


class CommentAdded(BaseModel):
    type: Literal["comment-added"] = "comment-added"
    comment_count: int


class DiscussionClosed(BaseModel):
    type: Literal["discussion-closed"] = "discussion-closed"


DiscussionEvent = Annotated[CommentAdded | DiscussionClosed, Field(discriminator="type")]
Named = TypeAliasType("Named", DiscussionEvent)

discussions = ChannelManager(DiscussionEvent, key_prefix="discussion", key_suffix="comments")
assert_type(discussions, ChannelManager[CommentAdded | DiscussionClosed])
typed = ChannelManager(CommentAdded, key_prefix="comment", resource_id_type=UUID)
assert_type(typed, ChannelManager[CommentAdded])

explicit = ChannelManager[DiscussionEvent](
    DiscussionEvent, key_prefix="discussion", broker=MemoryBroker()
)
assert_type(explicit, ChannelManager[CommentAdded | DiscussionClosed])
assert_type(explicit, ChannelManager[DiscussionEvent])

annotated: ChannelManager[DiscussionEvent] = ChannelManager(DiscussionEvent, key_prefix="d")
bare = ChannelManager(CommentAdded | DiscussionClosed, key_prefix="discussion")
assert_type(bare, ChannelManager[CommentAdded | DiscussionClosed])
assert_type(ChannelManager(CommentAdded, key_prefix="c"), ChannelManager[CommentAdded])

named = ChannelManager(Named, key_prefix="discussion")
from_name: ChannelManager[CommentAdded | DiscussionClosed] = named

DiscussionPublisher = Annotated[Publisher[DiscussionEvent], Depends(discussions.publisher)]
DiscussionChannel = Annotated[
    Channel[DiscussionEvent], Depends(discussions.channel_for("discussion_id"))
]


async def publishes(publisher: DiscussionPublisher, channel: DiscussionChannel) -> None:
    event = CommentAdded(comment_count=1)
    assert_type(await publisher.publish("42", event), str)
    assert_type(publisher.publish_sync(42, DiscussionClosed(), idempotency_key="k"), str)
    await publisher.publish(UUID(int=1), {"type": "comment-added", "comment_count": 1})
    assert_type(await channel.publish(event), str)
    assert_type(await discussions.publish("42", event), str)
    assert_type(discussions.publish_sync("42", event), str)
    assert_type(await discussions.publisher(), Publisher[CommentAdded | DiscussionClosed])
    assert_type(
        discussions.channel_for("id"),
        Callable[..., Awaitable[Channel[CommentAdded | DiscussionClosed]]],
    )


async def follows() -> None:
    channel = discussions.channel(42)
    assert_type(channel, Channel[CommentAdded | DiscussionClosed])
    assert_type(channel.sessions, tuple[Session[CommentAdded | DiscussionClosed], ...])
    assert_type(discussions.sessions("42"), tuple[Session[CommentAdded | DiscussionClosed], ...])
    async with channel.subscribe(last_event_id="x") as events:
        assert_type(events, Subscription[CommentAdded | DiscussionClosed])
        assert_type(await anext(events), CommentAdded | DiscussionClosed)
        async for event in events:
            assert_type(event, CommentAdded | DiscussionClosed)
            match event:
                case CommentAdded(comment_count=count):
                    assert_type(count, int)
                case DiscussionClosed():
                    assert_type(event.type, Literal["discussion-closed"])
            if event.type == "comment-added":
                assert_type(event, CommentAdded)
            else:
                assert_type(event, DiscussionClosed)
    async with named.subscribe("42") as events_of_a_name:
        event = await anext(events_of_a_name)
        if event.type == "comment-added":
            assert_type(event, CommentAdded)


async def readable(team: str, discussion_id: str) -> Channel[DiscussionEvent]:
    return discussions.channel(f"{team}/{discussion_id}")


async def current(discussion_id: str) -> CommentAdded:
    return CommentAdded(comment_count=len(discussion_id))


def history(discussion_id: str) -> list[CommentAdded | DiscussionClosed]:
    return [CommentAdded(comment_count=len(discussion_id)), DiscussionClosed()]


async def perhaps() -> DiscussionClosed | None:
    return None


async def comments(discussion_id: str) -> list[dict[str, object]]:
    return [{"type": "comment-added", "comment_count": len(discussion_id)}]


async def while_open(discussion_id: str) -> AsyncIterator[Channel[DiscussionEvent]]:
    yield discussions.channel(discussion_id)


def from_database() -> Iterator[tuple[CommentAdded, DiscussionClosed]]:
    yield CommentAdded(comment_count=1), DiscussionClosed()


class Snapshot:
    async def __call__(self, discussion_id: str) -> CommentAdded:
        return await current(discussion_id)


async def welcome(session: Session[DiscussionEvent]) -> None:
    assert_type(session.channel, Channel[CommentAdded | DiscussionClosed])
    assert_type(session.id, str)
    assert_type(session.last_event_id, str | None)
    assert_type(session.resumed, bool)
    await session.channel.publish(DiscussionClosed())
    session.close("revoked", reconnect=True)


def farewell(session: Session[DiscussionEvent]) -> str:
    return session.id


routers = [
    create_sse_router(
        discussions,
        "/teams/{team}/discussions/{discussion_id}/events",
        channel=readable,
        initial_event=current,
        on_connect=welcome,
        on_disconnect=farewell,
        dependencies=[Depends(current)],
    ),
    create_sse_router(discussions, "/{discussion_id}", initial_event=history),
    create_sse_router(discussions, "/{discussion_id}", initial_event=perhaps),
    create_sse_router(discussions, "/{discussion_id}", initial_event=comments),
    create_sse_router(discussions, "/{discussion_id}", initial_event=Snapshot()),
    create_sse_router(
        discussions, "/{discussion_id}", channel=while_open, initial_event=from_database
    ),
    create_sse_router(
        discussions,
        "/{id}",
        channel=discussions.channel_for("id"),
        initial_event=lambda: [CommentAdded(comment_count=1)],
    ),
    create_sse_router(
        discussions,
        "/{discussion_id}",
        channel=lambda discussion_id: discussions.channel(f"red/{discussion_id}"),
        initial_event=lambda: {"type": "discussion-closed"},
        on_connect=lambda session: session.close("ended"),
    ),
]
assert_type(routers, list[APIRouter])

app = FastAPI(lifespan=sse_lifespan(discussions, named))


async def lives() -> None:
    hook: AbstractAsyncContextManager[None] = sse_lifespan(discussions)
    async with hook:
        pass


def script() -> None:
    publisher = SyncPublisher(DiscussionEvent, broker="redis://localhost", key_prefix="discussion")
    assert_type(publisher, SyncPublisher[CommentAdded | DiscussionClosed])
    assert_type(publisher.publish("42", DiscussionClosed()), str)
    publisher.publish("42", {"type": "discussion-closed"})
