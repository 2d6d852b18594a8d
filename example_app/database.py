"""The discussions, and their comments and votes: in SQLite unless `DATABASE_URL` says otherwise."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, HTTPException
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import CreateTable

TITLES = {"welcome": "Welcome", "ideas": "Ideas", "lunch": "Where to have lunch"}


def existing_discussion(discussion_id: str) -> str:
    if discussion_id not in TITLES:
        raise HTTPException(404, "There is no such discussion")
    return discussion_id


DiscussionId = Annotated[str, Depends(existing_discussion)]


class Base(DeclarativeBase):
    pass


class Comment(Base):
    __tablename__ = "comments"

    id: Mapped[int] = mapped_column(primary_key=True)
    discussion_id: Mapped[str]
    author: Mapped[str]
    text: Mapped[str]
    posted_at: Mapped[float] = mapped_column(default=time.time)
    up: Mapped[int] = mapped_column(default=0)
    down: Mapped[int] = mapped_column(default=0)


# Two connections serve any number of open pages: a stream holds none while it is open.
engine = create_async_engine(
    os.environ.get("DATABASE_URL", "sqlite+aiosqlite:///example_app.db"),
    pool_size=2,
    max_overflow=0,
    pool_timeout=5,
)
new_session = async_sessionmaker(engine, expire_on_commit=False)


async def create_tables() -> None:
    async with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            # create_all() fails for one of two processes that start at the same time
            await connection.execute(CreateTable(table, if_not_exists=True))


async def get_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


DatabaseSession = Annotated[AsyncSession, Depends(get_session)]
