"""Comments as a fragment of HTML, for pages that fetch it again when an event says so."""

from __future__ import annotations

import os
from collections import defaultdict
from html import escape
from pathlib import Path
from typing import Annotated, Literal

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from fastapi_sse_channels import ChannelManager, Publisher, create_sse_router


class CommentAdded(BaseModel):
    type: Literal["comment-added"] = "comment-added"
    comment_count: int


discussions = ChannelManager(
    CommentAdded, key_prefix="discussion", event_names="discriminator", retry=100
)
comments: defaultdict[str, list[str]] = defaultdict(list)
pages = Path(os.environ["HTMX_PAGES"])

app = FastAPI()
app.include_router(create_sse_router(discussions, "/discussions/{discussion_id}/events"))
app.mount("/npm", StaticFiles(directory=pages / "node_modules"))

DiscussionPublisher = Annotated[Publisher[CommentAdded], Depends(discussions.publisher)]


@app.get("/pages/{name}")
async def page(name: Literal["htmx-2", "htmx-4"]) -> HTMLResponse:
    return HTMLResponse((pages / f"{name}.html").read_text())


@app.get("/discussions/{discussion_id}/comments", response_class=HTMLResponse)
async def list_comments(discussion_id: str) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in comments[discussion_id])


@app.post("/discussions/{discussion_id}/comments", status_code=201)
async def add_comment(discussion_id: str, text: str, publisher: DiscussionPublisher) -> None:
    comments[discussion_id].append(text)
    event = CommentAdded(comment_count=len(comments[discussion_id]))
    await publisher.publish(discussion_id, event)


@app.get("/discussions/{discussion_id}/sessions")
async def sessions(discussion_id: str) -> int:
    return discussions.session_count(discussion_id)
