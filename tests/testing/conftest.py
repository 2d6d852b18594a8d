"""An application like a user's, which records what happened to it."""

import asyncio
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from fastapi_sse_channels import Channel, ChannelManager, Publisher, create_sse_router
from fastapi_sse_channels.testing import SSETestClient


class Note(BaseModel):
    type: Literal["note"] = "note"
    text: str = ""


class Gone(BaseModel):
    type: Literal["gone"] = "gone"


Event = Annotated[Note | Gone, Field(discriminator="type")]


class Application:
    """A FastAPI application with one channel type, and what happened to it."""

    Event = Event
    Note = Note
    Gone = Gone

    def __init__(self, **options: Any) -> None:
        self.trace: list[str] = []
        self.manager = manager = ChannelManager(Event, **{"key_prefix": "note", **options})
        self.app = app = FastAPI(lifespan=self._lifespan)
        app.include_router(create_sse_router(manager, "/notes/{note_id}/events"))
        app.include_router(
            create_sse_router(manager, "/private/{note_id}/events", channel=self._private)
        )
        provided = Depends(manager.publisher)

        @app.post("/notes/{note_id}", status_code=201)
        async def publish(
            note_id: str, note: Note, publisher: Annotated[Publisher[Any], provided]
        ) -> str:
            return await publisher.publish(note_id, note)

        @app.put("/notes/{note_id}")
        def publish_sync(
            note_id: str, note: Note, publisher: Annotated[Publisher[Any], provided]
        ) -> str:
            return publisher.publish_sync(note_id, note)

        @app.post("/login")
        async def login(response: Response) -> None:
            response.set_cookie("user", "ann")

        @app.api_route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
        async def echo(request: Request) -> dict[str, Any]:
            return {
                "method": request.method,
                "query": dict(request.query_params),
                "path": request.url.path,
                "header": request.headers.get("x-team"),
                "body": (await request.body()).decode(),
                "state": request.state.name,
            }

        @app.get("/fails/{error}")
        async def fails(error: str) -> None:
            raise {"lookup": LookupError, "timeout": TimeoutError}[error]("no such thing")

        @app.get("/never")
        async def never() -> None:
            await asyncio.Event().wait()

        @app.get("/late")
        async def late() -> None:
            await asyncio.sleep(0.1)

        @app.get("/chunks")
        async def chunks() -> StreamingResponse:
            return StreamingResponse(self._chunks())

        @app.get("/foreign")
        async def foreign() -> StreamingResponse:
            return StreamingResponse(iter(["data: x\n\n"]), media_type="text/event-stream")

    @asynccontextmanager
    async def _lifespan(self, _app):
        self.trace.append("started")
        yield {"name": "of the lifespan"}
        self.trace.append("stopped")

    async def _private(self, note_id: str, request: Request) -> Channel[Any]:
        if request.cookies.get("user") != "ann":
            raise HTTPException(401, "who are you?")
        return self.manager.channel(note_id)

    async def _chunks(self):
        try:
            for number in range(1000):
                yield f"{number}\n"
                if number:
                    await asyncio.Event().wait()
        finally:
            self.trace.append("chunks closed")

    async def publish(self, *texts: str, to: str = "1") -> None:
        for text in texts:
            await self.manager.publish(to, Note(text=text))


@pytest.fixture
def make_application():
    return Application


@pytest.fixture
def application():
    return Application()


@pytest.fixture
async def client(application):
    async with SSETestClient(application.app) as client:
        yield client
