"""The application: a page and a stream for each discussion."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from fastapi_sse_channels import Channel, client_url, create_client_router, create_sse_router

from . import comments, nodes
from .channels import (
    DiscussionEvent,
    Snapshot,
    announce_viewers,
    count_viewers,
    discussions,
    watching_viewers,
)
from .database import (
    TITLES,
    DatabaseSession,
    DiscussionId,
    create_tables,
    engine,
)

STATIC = Path(__file__).parent / "static"
PAGE = (STATIC / "index.html").read_text(encoding="utf-8")


async def discussion_channel(discussion_id: DiscussionId) -> Channel[DiscussionEvent]:
    return discussions.channel(discussion_id)


async def snapshot(discussion_id: DiscussionId, session: DatabaseSession) -> Snapshot:
    return Snapshot(
        discussion_id=discussion_id,
        comments=await comments.list_comments(discussion_id, session),
        viewers=await count_viewers(discussion_id),
    )


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    await create_tables()
    async with watching_viewers():
        yield
    await engine.dispose()


app = FastAPI(title="Live discussions", lifespan=lifespan)
app.mount("/static", StaticFiles(directory=STATIC))
app.include_router(create_client_router())
app.include_router(comments.router)
app.include_router(nodes.router)
if nodes.NODES:
    nodes.join_cluster(app)
app.include_router(
    create_sse_router(
        discussions,
        "/discussions/{discussion_id}/events",
        channel=discussion_channel,
        initial_event=snapshot,
        on_connect=announce_viewers,
        on_disconnect=announce_viewers,
    )
)


@app.get("/")
async def home() -> RedirectResponse:
    return RedirectResponse("/discussions/welcome")


@app.get("/discussions")
async def list_discussions() -> dict[str, str]:
    return TITLES


@app.get("/discussions/{discussion_id}")  # DiscussionId takes it
async def page(_exists: DiscussionId, client: Annotated[str, Depends(client_url)]) -> HTMLResponse:
    return HTMLResponse(PAGE.replace("CLIENT_URL", client))
