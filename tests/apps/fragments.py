"""The pages that the documentation shows, and what they need: comments, also as HTML."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse, HTMLResponse
from pydantic import BaseModel, Field

from fastapi_sse_channels import (
    ChannelManager,
    Publisher,
    create_client_router,
    create_sse_router,
)
from tests.docs.documents import snippets

# what only one of the pages has
MARKS = {"module": 'id="count"', "htmx-2": "hx-ext=", "htmx-4": "hx-sse:connect="}


class CommentAdded(BaseModel):
    type: Literal["comment-added"] = "comment-added"
    comment_count: int


class DiscussionClosed(BaseModel):
    type: Literal["discussion-closed"] = "discussion-closed"


DiscussionEvent = Annotated[CommentAdded | DiscussionClosed, Field(discriminator="type")]

discussions = ChannelManager(
    DiscussionEvent, key_prefix="discussion", event_names="discriminator", retry=100
)
comments: defaultdict[str, list[str]] = defaultdict(list)

app = FastAPI()
app.include_router(create_client_router())
app.include_router(create_sse_router(discussions, "/discussions/{discussion_id}/events"))

DiscussionPublisher = Annotated[Publisher[DiscussionEvent], Depends(discussions.publisher)]


def _versions(modules: Path) -> dict[str, Path]:
    """The packages a CDN would have, by name and version."""
    manifests = [(json.loads(path.read_text()), path) for path in modules.glob("*/package.json")]
    return {f"{found['name']}@{found['version']}": path.parent for found, path in manifests}


packages = _versions(Path(os.environ["NPM_MODULES"]))


@app.get("/npm/{package}/{path:path}")
async def npm(package: str, path: str) -> FileResponse:
    return FileResponse(packages[package] / path)


@app.get("/pages/{name}")
async def page(name: Literal["module", "htmx-2", "htmx-4"]) -> HTMLResponse:
    """What the documentation shows, with the packages from here instead of a CDN."""
    [body] = [snippet.code for snippet in snippets("html") if MARKS[name] in snippet.code]
    body = body.replace("https://cdn.jsdelivr.net/npm/", "/npm/")
    return HTMLResponse(
        f'<!doctype html><title>{name}</title><link rel="icon" href="data:,">{body}'
    )


@app.get("/discussions/{discussion_id}/comments", response_class=HTMLResponse)
async def list_comments(discussion_id: str) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in comments[discussion_id])


@app.post("/discussions/{discussion_id}/comments", status_code=201)
async def add_comment(discussion_id: str, text: str, publisher: DiscussionPublisher) -> None:
    comments[discussion_id].append(text)
    event = CommentAdded(comment_count=len(comments[discussion_id]))
    await publisher.publish(discussion_id, event)


@app.post("/discussions/{discussion_id}/close", status_code=201)
async def close_discussion(discussion_id: str, publisher: DiscussionPublisher) -> None:
    await publisher.publish(discussion_id, DiscussionClosed())


@app.get("/discussions/{discussion_id}/sessions")
async def sessions(discussion_id: str) -> int:
    return discussions.session_count(discussion_id)
