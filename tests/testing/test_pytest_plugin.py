"""The pytest plugin works in suites as users would write them."""

from __future__ import annotations

PLUGIN = "fastapi_sse_channels.testing.pytest_plugin"
SUITE = """
import pytest
from typing import Annotated, Literal
from fastapi import Depends, FastAPI
from pydantic import BaseModel
from fastapi_sse_channels import ChannelManager, Publisher, create_sse_router
from fastapi_sse_channels.testing import StreamTimeoutError

class Note(BaseModel):
    type: Literal["note"] = "note"

manager = ChannelManager(Note, key_prefix="note")
app = FastAPI()
app.include_router(create_sse_router(manager, "/notes/{note_id}/events"))

@app.post("/notes/{note_id}")
async def publish(
    note_id: str, publisher: Annotated[Publisher[Note], Depends(manager.publisher)]
) -> str:
    return await publisher.publish(note_id, Note())

@pytest.fixture
async def client(sse_client):
    async with sse_client(app) as client:
        yield client

async def test_stream(client):
    async with client.stream("/notes/1/events", Note) as stream:
        await client.post("/notes/1")
        assert await stream.next() == Note()

async def test_recording(client, recording_publisher):
    recorder = recording_publisher(manager)
    await client.post("/notes/1")
    await manager.publish("2", Note())
    assert recorder.published == [("1", Note()), ("2", Note())]

async def test_recording_ends_with_the_test(client):
    assert not (await client.post("/notes/1")).json().startswith("recorded")

stored = ChannelManager(Note, key_prefix="stored", broker="redis://127.0.0.1:1")
storing = FastAPI()
storing.include_router(create_sse_router(stored, "/notes/{note_id}/events"))

@pytest.mark.parametrize("turn", [1, 2])
async def test_memory(sse_client, memory_broker, turn):
    memory_broker(stored)
    async with sse_client(storing) as client:
        await stored.publish("1", Note())
        async with stored.subscribe("1") as events:
            assert events.last_event_id.split(".")[1] == "1"

async def test_time_limit_of_the_settings(client):
    with pytest.raises(StreamTimeoutError, match="within 0.8 s"):
        async with client.stream("/notes/2/events", Note) as stream:
            await stream.next()
"""
ANYIO = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_fixtures_and_setting_serve_any_plugin_that_runs_async_tests(run_suite, async_runner):
    options, settings = async_runner

    # long enough for the other tests of the suite on a busy machine
    settings = {**settings, "sse_timeout": "0.8"}
    output = run_suite({"test_suite.py": SUITE + ANYIO}, "-p", PLUGIN, *options, **settings)

    assert "6 passed" in output, output


def test_plugin_imports_neither_redis_nor_an_event_loop_plugin(run_python):
    modules = set(run_python(f"import sys, {PLUGIN}; print(*sys.modules)").split())

    assert PLUGIN in modules
    assert not {"redis", "pytest_asyncio", "anyio.pytest_plugin", "trio"} & modules
