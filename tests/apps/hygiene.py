"""Streams whose dependencies, errors and bytes leave a trace that tests can read."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from pydantic import BaseModel
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fastapi_sse_channels import (
    Channel,
    ChannelManager,
    SSEMiddleware,
    create_sse_router,
)
from fastapi_sse_channels._live import pinger

TEXT = "\u2028\u2029\u0085\x0b\x0c\ufeff a\r\nb\rc\nd\0 \N{PILE OF POO} data: x\n\nid: 1"


class Note(BaseModel):
    type: Literal["note"] = "note"
    text: str


pinger._LONGEST_TURN = float(os.environ.get("LONGEST_TURN", "15"))  # noqa: SLF001

notes = ChannelManager(
    Note,
    key_prefix="note",
    ping_interval=float(os.environ.get("PING_INTERVAL", "15")),
    send_timeout=float(os.environ.get("SEND_TIMEOUT", "15")),
    write_directly="LEAN" in os.environ,
    history_size=int(os.environ.get("HISTORY_SIZE", "256")),
)
trace: list[str] = []


def yielding(name: str) -> Any:
    async def dependency() -> AsyncIterator[str]:
        trace.append(f"open {name}")
        yield name
        trace.append(f"close {name}")

    return dependency


inner = yielding("inner")


async def outer(_inner: Annotated[str, Depends(inner)]) -> AsyncIterator[str]:
    trace.append("open outer")
    yield "outer"
    trace.append("close outer")


def sync_outer(_inner: Annotated[str, Depends(inner)]) -> Iterator[str]:
    trace.append("open sync")
    yield "sync"
    trace.append("close sync")


async def channel(
    note_id: str,
    _outer: Annotated[str, Depends(outer)],
    _sync: Annotated[str, Depends(sync_outer)],
) -> AsyncIterator[Channel[Note]]:
    trace.append("open channel")
    yield notes.channel(note_id)
    trace.append("close channel")


async def initial(note_id: str, _session: Annotated[str, Depends(yielding("snapshot"))]) -> Note:
    trace.append("initial event")
    return Note(text=note_id)


async def refusing(kind: str) -> Channel[Note]:
    if kind.isdigit():
        raise HTTPException(int(kind), kind, headers={"WWW-Authenticate": "Bearer"})
    return notes.channel(kind)


async def failing_initial(kind: str, number: int) -> Note:
    if kind == "missing":
        raise HTTPException(404, "no such note")
    return Note(text=str(1 // number))


async def failing_teardown() -> AsyncIterator[None]:
    yield
    msg = "the commit failed"
    raise RuntimeError(msg)


class TraceBytes:
    """Traces the first bytes of a stream's response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def traced(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.append("first byte")
            await send(message)

        is_traced = scope["type"] == "http" and scope["path"].startswith("/notes/")
        await self.app(scope, receive, traced if is_traced else send)


app = FastAPI()
app.add_middleware(TraceBytes)
if os.environ.get("BASE_HTTP_MIDDLEWARE"):
    app.add_middleware(BaseHTTPMiddleware, dispatch=lambda request, call_next: call_next(request))
if "LEAN" in os.environ:
    app.add_middleware(SSEMiddleware)
parent = APIRouter(dependencies=[Depends(yielding("parent router"))])
parent.include_router(
    create_sse_router(
        notes,
        "/notes/{note_id}/events",
        channel=channel,
        initial_event=initial,
        dependencies=[Depends(yielding("router"))],
    )
)
app.include_router(parent, dependencies=[Depends(yielding("include"))])
app.include_router(
    create_sse_router(
        notes, "/refusing/{kind}/events", channel=refusing, initial_event=failing_initial
    )
)
app.include_router(
    create_sse_router(notes, "/teardown/{note_id}/events", dependencies=[Depends(failing_teardown)])
)
app.include_router(create_sse_router(notes, "/plain/{note_id}/events"))


@app.get("/trace")
async def read_trace() -> list[str]:
    return trace


@app.get("/scope")
async def read_scope(request: Request) -> list[str]:
    return sorted(name for name in request.scope if name.startswith("fastapi_"))


@app.post("/notes/{note_id}")
async def publish(note_id: str, count: int = 1, size: int = 0) -> list[str]:
    text = "x" * size or TEXT
    return [await notes.publish(note_id, Note(text=text)) for _ in range(count)]


@app.get("/notes/{note_id}/sessions")
async def sessions(note_id: str) -> int:
    return notes.session_count(note_id)
