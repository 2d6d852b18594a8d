"""Servers that stop by themselves, without a signal, do not wait for their streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading

import httpx2
import pytest
import uvicorn

from fastapi_sse_channels._servers.shutdown import shutdown_of_server


@pytest.mark.parametrize(
    ("server_name", "option"),
    [
        ("uvicorn", "--limit-max-requests"),
        ("uvicorn-h11", "--limit-max-requests"),
        ("uvicorn-2-workers", "--limit-max-requests"),
        ("gunicorn-uvicorn", "--max-requests"),
        ("gunicorn-asgi", "--max-requests"),
        ("hypercorn", "--max-requests"),
    ],
)
async def test_worker_that_had_its_requests_ends_its_streams_with_a_farewell(
    serve, open_stream, server_name, option
):
    server = serve(server=server_name, options=[option, "8"])
    stream = await open_stream(f"{server.url}/discussions/1/events")

    async with httpx2.AsyncClient(base_url=server.url) as client:
        await ask_until_it_ends(stream, client)

    assert stream.frames[-1]["event"] == "stream-close"
    assert json.loads(stream.frames[-1]["data"]) == {"reason": "shutdown", "reconnect": True}
    if server_name in {"uvicorn", "uvicorn-h11"}:
        assert await asyncio.to_thread(server.process.wait, 5) == 0
    assert "Traceback" not in server.log


async def ask_until_it_ends(stream, client):
    ended = asyncio.ensure_future(stream.until_end(timeout=20))
    while not ended.done():
        # a worker that stops may take the connection with it
        with contextlib.suppress(httpx2.HTTPError):
            await client.get("/openapi.json", timeout=1)
        await asyncio.wait([ended], timeout=0.05)
    await ended


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_uvicorn_in_a_thread_that_is_told_to_exit_ends_its_streams(
    make_notes, open_stream, eventually, loop
):
    server = uvicorn.Server(uvicorn.Config(make_notes().app, port=0, loop=loop, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    stream = await open_stream(f"http://127.0.0.1:{port}/notes/1/events")
    await stream.until(b"stream-open")

    server.should_exit = True

    await stream.until_end()
    assert stream.frames[-1]["event"] == "stream-close"
    await eventually(lambda: not thread.is_alive())


@pytest.mark.parametrize("send", [None, print, lambda _message: None])
async def test_without_a_server_on_the_loop_there_is_nothing_to_await(send):
    assert shutdown_of_server(send, send) is None
