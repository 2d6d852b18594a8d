"""Never run: what type checkers infer from the event union."""

from __future__ import annotations

from typing import Annotated, Literal, assert_type

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from fastapi_sse_channels.client import (
    Closed,
    Connecting,
    Connection,
    HeadersRequest,
    Open,
    SyncConnection,
    Waiting,
    connect,
    connect_sync,
)


class Added(BaseModel):
    type: Literal["added"] = "added"
    count: int


class Removed(BaseModel):
    type: Literal["removed"] = "removed"


Event = Annotated[Added | Removed, Field(discriminator="type")]
Named = TypeAliasType("Named", Event)


async def fresh() -> dict[str, str]:
    return {}


async def asynchronous() -> None:
    async with connect("http://x", Event, headers=fresh) as events:
        assert_type(events, Connection[Added | Removed])
        assert_type(events.last_event_id, str | None)
        async for event in events:
            assert_type(event, Added | Removed)
            if event.type == "added":
                assert_type(event, Added)
    async with connect("http://x", Added) as single:
        assert_type(await anext(single), Added)
    async with connect("http://x", Named) as named:
        event = await anext(named)
        if event.type == "removed":
            assert_type(event, Removed)


def renewed(request: HeadersRequest) -> dict[str, str]:
    return {"Authorization": "new" if assert_type(request.rejected, bool) else "cached"}


async def renewed_later(request: HeadersRequest) -> dict[str, str]:
    return renewed(request)


async def asked() -> None:
    async with connect("http://x", Event, headers=renewed):
        pass
    async with connect("http://x", Event, headers=renewed_later):
        pass
    async with connect("http://x", Event, headers=lambda request: {"a": str(request.rejected)}):
        pass
    with connect_sync("http://x", Event, headers=renewed):
        pass


def blocking() -> None:
    with connect_sync("http://x", Event, headers=lambda: {"a": "b"}) as events:
        assert_type(events, SyncConnection[Added | Removed])
        for event in events:
            assert_type(event, Added | Removed)


def statuses(connection: Connection[Added]) -> str:
    match connection.status:
        case Connecting():
            return "connecting"
        case Open(resumed):
            return f"resumed={assert_type(resumed, bool)}"
        case Waiting(delay, reason):
            assert_type(reason, Literal["end", "close", "network", "http", "stall"])
            return f"{assert_type(delay, float)} {reason}"
        case Closed(reason):
            return assert_type(reason, str)
