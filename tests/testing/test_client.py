"""Requests, lifespan and transports of the test client."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import httpx
import httpx2
import pytest
from fastapi import FastAPI

from fastapi_sse_channels.testing import SSETestClient, StreamEndedError, StreamTimeoutError
from fastapi_sse_channels.testing.httpx import StreamingTransport
from fastapi_sse_channels.testing.httpx2 import StreamingTransport as StreamingTransport2

LIBRARIES = {"httpx": (httpx, StreamingTransport), "httpx2": (httpx2, StreamingTransport2)}


class TestRequests:
    @pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
    async def test_request_arrives_whole(self, application, method):
        async with SSETestClient(application.app, headers={"X-Team": "red"}) as client:
            options = {} if method in {"get", "delete"} else {"content": "body"}
            response = await getattr(client, method)("/echo", params={"a": "é&"}, **options)

        assert response.json() == {
            "method": method.upper(),
            "query": {"a": "é&"},
            "path": "/echo",
            "header": "red",
            "body": options.get("content", ""),
            "state": "of the lifespan",
        }

    @pytest.mark.parametrize(
        ("name", "error"), [("lookup", LookupError), ("timeout", TimeoutError)]
    )
    async def test_error_of_the_application_is_raised(self, client, name, error):
        with pytest.raises(error, match="no such thing"):
            await client.get(f"/fails/{name}")

    @pytest.mark.parametrize("path", ["/notes/1/events", "/never", "/chunks"])
    async def test_endless_response_times_out(self, client, path):
        with pytest.raises(StreamTimeoutError, match=rf"GET {path} .* 0\.05 s.*client\.stream"):
            await client.get(path, timeout=0.05)

    async def test_endless_stream_of_the_http_client_times_out(self, application):
        async with (
            # long enough to open a stream on a busy machine
            SSETestClient(application.app, timeout=0.5) as client,
            client.http.stream("GET", "/notes/1/events") as response,
        ):
            with pytest.raises(httpx2.ReadTimeout, match=r"nothing for 0\.5 s"):
                await response.aread()

    async def test_request_may_have_a_longer_limit(self, application):
        async with SSETestClient(application.app, timeout=0.05) as client:
            assert (await client.get("/late", timeout=5)).status_code == 200

    async def test_timed_out_request_leaves_no_session(self, application, client):
        with pytest.raises(StreamTimeoutError):
            await client.get("/notes/1/events", timeout=0.05)

        assert application.manager.session_count("1") == 0

    async def test_redirect_is_followed(self, client):
        assert (await client.get("/docs/")).status_code == 200


class TestLifespan:
    async def test_application_is_started_and_stopped(self, application):
        async with SSETestClient(application.app):
            assert application.trace == ["started"]
        assert application.trace == ["started", "stopped"]

    async def test_application_that_cannot_start_fails_the_test(self):
        async def lifespan(_app):
            raise LookupError("no database")
            yield

        with pytest.raises(LookupError, match="no database"):
            async with SSETestClient(FastAPI(lifespan=asynccontextmanager(lifespan))):
                pass

    async def test_application_that_reports_a_failed_startup_fails_the_test(self):
        async def app(_scope, receive, send):
            assert (await receive())["type"] == "lifespan.startup"
            await send({"type": "lifespan.startup.failed", "message": "no database"})

        with pytest.raises(RuntimeError, match="no database"):
            async with SSETestClient(app):
                pass

    async def test_application_without_a_lifespan_is_served(self):
        async def app(scope, _receive, send):
            assert scope["type"] == "http"
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})

        async with SSETestClient(app) as client:
            assert (await client.get("/")).status_code == 204

    async def test_error_of_the_shutdown_is_raised(self):
        async def lifespan(_app):
            yield
            raise LookupError("too late")

        with pytest.raises(LookupError, match="too late"):
            async with SSETestClient(FastAPI(lifespan=asynccontextmanager(lifespan))):
                pass

    @pytest.mark.parametrize("what", ["start", "stop"])
    async def test_hanging_application_times_out(self, what):
        async def lifespan(_app):
            if what == "stop":
                yield
            await asyncio.Event().wait()
            if what == "start":
                yield

        with pytest.raises(StreamTimeoutError, match=rf"did not {what} within 0\.05 s"):
            async with SSETestClient(FastAPI(lifespan=asynccontextmanager(lifespan)), timeout=0.05):
                pass


@pytest.mark.parametrize("name", LIBRARIES)
class TestTransports:
    async def test_body_streams_and_leaving_reaches_the_application(self, application, name):
        library, transport = LIBRARIES[name]
        async with (
            library.AsyncClient(
                transport=transport(application.app), base_url="http://test"
            ) as client,
            client.stream("GET", "/chunks") as response,
        ):
            chunks = response.aiter_bytes()
            assert [await anext(chunks), await anext(chunks)] == [b"0\n", b"1\n"]
            assert application.trace == []
            await chunks.aclose()
        assert application.trace == ["chunks closed"]

    async def test_read_timeout_applies(self, application, name):
        library, transport = LIBRARIES[name]
        async with library.AsyncClient(
            transport=transport(application.app), base_url="http://test", timeout=0.05
        ) as client:
            for path in ("/never", "/chunks"):
                with pytest.raises(library.ReadTimeout, match=r"nothing for 0\.05 s"):
                    await client.get(path)

    async def test_state_is_a_copy_for_each_request(self, application, name):
        library, transport = LIBRARIES[name]
        state = {"name": "given"}
        async with library.AsyncClient(
            transport=transport(application.app, state=state), base_url="http://test"
        ) as client:
            assert (await client.get("/echo")).json()["state"] == "given"

    async def test_silent_application_raises_a_read_timeout(self, name):
        async def app(_scope, _receive, _send):
            pass

        library, transport = LIBRARIES[name]
        async with library.AsyncClient(transport=transport(app), base_url="http://test") as client:
            with pytest.raises(StreamEndedError, match=r"GET /x.*before its response was complete"):
                await client.get("/x")

    def test_either_library_alone_is_enough(self, run_python, name):
        other = next(other for other in LIBRARIES if other != name)
        code = f"""
import sys
sys.modules["{other}"] = None
import asyncio
from typing import Literal
from fastapi import FastAPI
from pydantic import BaseModel
from fastapi_sse_channels import ChannelManager, create_sse_router
from fastapi_sse_channels.testing import SSETestClient

class Note(BaseModel):
    type: Literal["note"] = "note"

manager = ChannelManager(Note, key_prefix="note")
app = FastAPI()
app.include_router(create_sse_router(manager, "/notes/{{note_id}}/events"))

async def main():
    async with SSETestClient(app) as client:
        print(type(await client.get("/docs")).__module__.split(".")[0])
        async with client.stream("/notes/1/events", Note) as stream:
            await manager.publish("1", Note())
            print((await stream.next()).type)

asyncio.run(main())
print("redis" in sys.modules)
"""
        assert run_python(code).split() == [name, "note", "False"]


def test_missing_libraries_say_what_to_install(run_python):
    code = """
import sys
from contextlib import asynccontextmanager
sys.modules["httpx"] = sys.modules["httpx2"] = None
from fastapi_sse_channels.testing import SSETestClient
try:
    SSETestClient(None)
except Exception as error:
    print(type(error).__name__, error)
"""
    assert run_python(code) == (
        "ConfigurationError the test client needs httpx2 or httpx: "
        "pip install 'fastapi-sse-channels[testing]'\n"
    )


async def test_application_that_ignores_its_client_is_cancelled(monkeypatch):
    monkeypatch.setattr("fastapi_sse_channels.testing._exchange._GRACE", 0.05)
    cancelled = asyncio.Event()

    async def app(scope, _receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with SSETestClient(app) as client:
        with pytest.raises(StreamTimeoutError, match=r"goes on 0\.05 s after its client has left"):
            await client.get("/", timeout=0.01)
    assert cancelled.is_set()
