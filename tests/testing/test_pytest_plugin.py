"""The pytest plugin, in suites of its own as a user would write them."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

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

async def test_time_limit_of_the_settings(client):
    async with client.stream("/notes/2/events", Note) as stream:
        with pytest.raises(StreamTimeoutError, match="0.25 s"):
            await stream.next()
"""
ANYIO = """
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
# what each adds to the suite, to the command and to the settings
RUNNERS = {
    "anyio": (ANYIO, ["-p", "no:asyncio"], {"anyio_mode": "auto"}),
    "pytest_asyncio": (
        "",
        [],
        {"asyncio_mode": "auto", "asyncio_default_fixture_loop_scope": "function"},
    ),
}


@pytest.fixture
def run_suite(tmp_path):
    def run(suite, *options, **settings):
        (tmp_path / "test_suite.py").write_text(suite)
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (tmp_path / "pytest.ini").write_text("\n".join(["[pytest]", *lines]))
        entry_points = importlib.metadata.entry_points(group="pytest11")
        is_installed = PLUGIN in {entry_point.value for entry_point in entry_points}
        loading = [] if is_installed else ["-p", PLUGIN]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", "-q", *loading, *options],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if "PYTEST" not in name},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.stdout + done.stderr

    return run


@pytest.mark.parametrize("runner", RUNNERS)
def test_fixtures_serve_any_plugin_that_runs_async_tests(run_suite, runner):
    head, options, settings = RUNNERS[runner]

    output = run_suite(SUITE + head, *options, sse_timeout="0.25", **settings)

    assert "4 passed" in output, output


def test_plugin_imports_neither_redis_nor_an_event_loop_plugin():
    code = f"import sys, {PLUGIN}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    modules = set(done.stdout.split())

    assert PLUGIN in modules
    assert not {"redis", "pytest_asyncio", "anyio.pytest_plugin", "trio"} & modules
