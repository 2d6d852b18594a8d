"""The pytest plugin, in suites of its own as a user would write them."""

from __future__ import annotations

import pytest

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
    recorder = recording_publisher(app, manager)
    await client.post("/notes/1")
    assert recorder.published == [("1", Note())]

def test_override_ends_with_the_test():
    assert app.dependency_overrides == {}
"""
HASTY = """
async def test_time_limit_of_the_settings(client):
    with pytest.raises(StreamTimeoutError, match="within 0.25 s"):
        async with client.stream("/notes/2/events", Note) as stream:
            await stream.next()
"""
ANYIO = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.fixture
def run(run_suite, async_runner):
    """Run a suite with the plugin, and with one that runs `async def` tests."""
    options, settings = async_runner

    def run(suite, *more_options, **more_settings):
        files = {"test_suite.py": suite + ANYIO}
        return run_suite(files, "-p", PLUGIN, *options, *more_options, **settings, **more_settings)

    return run


def test_fixtures_serve_any_plugin_that_runs_async_tests(run):
    output = run(SUITE)

    assert "3 passed" in output, output


def test_time_limit_is_a_setting(run):
    output = run(SUITE + HASTY, "-k", "time_limit", sse_timeout="0.25")

    assert "1 passed" in output, output


def test_plugin_imports_neither_redis_nor_an_event_loop_plugin(run_python):
    modules = set(run_python(f"import sys, {PLUGIN}; print(*sys.modules)").split())

    assert PLUGIN in modules
    assert not {"redis", "pytest_asyncio", "anyio.pytest_plugin", "trio"} & modules
