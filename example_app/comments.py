"""Comments: whoever posts or votes changes the database, commits, then publishes the change."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, StringConstraints
from sqlalchemy import select, update

from .channels import CommentAdded, CommentView, DiscussionPublisher, VotesChanged
from .database import Comment, DatabaseSession, DiscussionId

SHOWN = 50

router = APIRouter(prefix="/discussions/{discussion_id}/comments")


class NewComment(BaseModel):
    author: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=40)]
    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class NewVote(BaseModel):
    direction: Literal["up", "down"]


@router.get("")
async def list_comments(discussion_id: DiscussionId, session: DatabaseSession) -> list[CommentView]:
    newest_first = select(Comment).where(Comment.discussion_id == discussion_id)
    found = await session.scalars(newest_first.order_by(Comment.id.desc()).limit(SHOWN))
    return [CommentView.model_validate(comment) for comment in found][::-1]


@router.post("", status_code=201)
async def add_comment(
    discussion_id: DiscussionId,
    new: NewComment,
    session: DatabaseSession,
    publisher: DiscussionPublisher,
) -> CommentView:
    comment = Comment(discussion_id=discussion_id, author=new.author, text=new.text)
    session.add(comment)
    # Commit, then publish: nobody is told of a comment that a rollback takes back.
    await session.commit()
    view = CommentView.model_validate(comment)
    event = CommentAdded(discussion_id=discussion_id, comment=view)
    await publisher.publish(discussion_id, event)
    return view


@router.post("/{comment_id}/votes", status_code=201)
async def vote(
    discussion_id: DiscussionId,
    comment_id: int,
    new: NewVote,
    session: DatabaseSession,
    publisher: DiscussionPublisher,
) -> VotesChanged:
    column = Comment.up if new.direction == "up" else Comment.down
    result = await session.execute(
        update(Comment)
        .where(Comment.id == comment_id, Comment.discussion_id == discussion_id)
        # counted by the database, so that votes at the same moment all count
        .values({column: column + 1})
        .returning(Comment.up, Comment.down)
    )
    counts = result.one_or_none()
    if counts is None:
        raise HTTPException(404, "There is no such comment")
    await session.commit()
    event = VotesChanged(
        discussion_id=discussion_id, comment_id=comment_id, up=counts.up, down=counts.down
    )
    await publisher.publish(discussion_id, event)
    return event
