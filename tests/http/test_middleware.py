"""A request that ends when its stream is open, and the stream that goes on."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from typing import Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from fastapi_sse_channels import SSEMiddleware
from fastapi_sse_channels._servers.transport import past_forwarders

URL = "/notes/1/events"


class Witness:
    """A middleware that sees when a request begins and ends, and leaves its messages alone."""

    def __init__(self, app, seen):
        self.app = app
        self.seen = seen

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.seen.append("begin")
        try:
            await self.app(scope, receive, send)
        finally:
            self.seen.append("end")


class Shouting:
    """A middleware that changes the messages."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def shout(message):
            if body := message.get("body"):
                message = {**message, "body": body.replace(b'"text":"', b'"text":"!')}
            await send(message)

        await self.app(scope, receive, shout)


async def passing(request, call_next):
    return await call_next(request)


def inside(notes, *middlewares):
    """Put middlewares inside of the one that takes streams over."""
    for middleware, options in middlewares:
        notes.app.add_middleware(middleware, **options)
    notes.app.add_middleware(SSEMiddleware)


class TestRequest:
    async def test_ends_once_the_stream_is_open(self, make_notes, connect):
        notes = make_notes()
        seen: list[str] = []
        inside(notes, (Witness, {"seen": seen}))

        stream = await connect(notes.app, URL)
        await notes.publish("a")
        await stream.until(b'"text":"a"')

        assert seen == ["begin", "end"]
        assert notes.manager.session_count("1") == 1

    async def test_request_leaves_nothing_behind(self, make_notes, connect):
        kept = []

        class Held:
            """An object that a request keeps on its frame."""

        class Holding:
            def __init__(self, app):
                self.app = app

            async def __call__(self, scope, receive, send):
                held = Held()
                kept.append(weakref.ref(held))
                await self.app(scope, receive, send)
                del held

        notes = make_notes()
        inside(notes, (Holding, {}))

        await connect(notes.app, URL)
        gc.collect()

        assert [reference() for reference in kept] == [None]

    @pytest.mark.parametrize(
        "middleware",
        [(Shouting, {}), (BaseHTTPMiddleware, {"dispatch": passing}), (GZipMiddleware, {})],
        ids=["own", "base", "gzip"],
    )
    async def test_goes_on_where_a_middleware_wraps_send(self, make_notes, connect, middleware):
        notes = make_notes()
        seen: list[str] = []
        inside(notes, (Witness, {"seen": seen}), middleware)

        stream = await connect(notes.app, URL, **{"accept-encoding": "gzip"})
        await notes.publish("a")
        await stream.until(b'a"')

        assert seen == ["begin"]
        assert notes.texts(stream) == ["!a" if middleware[0] is Shouting else "a"]
        stream.disconnect()
        await stream.until_end()
        assert seen == ["begin", "end"]

    async def test_ends_under_cors(self, make_notes, connect):
        notes = make_notes()
        seen: list[str] = []
        inside(notes, (Witness, {"seen": seen}), (CORSMiddleware, {"allow_origins": ["*"]}))

        stream = await connect(notes.app, URL, origin="http://elsewhere.test")
        await notes.publish("a")
        await stream.until(b'"text":"a"')

        assert seen == ["begin", "end"]
        assert stream.headers["access-control-allow-origin"] == "*"

    async def test_goes_on_while_it_has_background_tasks(self, make_notes, connect):
        done: list[str] = []

        def remember(tasks: BackgroundTasks):
            tasks.add_task(done.append, "background")

        notes = make_notes(router={"dependencies": [Depends(remember)]})
        seen: list[str] = []
        inside(notes, (Witness, {"seen": seen}))

        stream = await connect(notes.app, URL)
        assert (seen, done) == (["begin"], [])
        stream.disconnect()
        await stream.until_end()

        assert (seen, done) == (["begin", "end"], ["background"])

    async def test_request_that_fails_after_it_let_go_ends_its_stream(self, make_notes, connect):
        class Failing:
            def __init__(self, app):
                self.app = app

            async def __call__(self, scope, receive, send):
                await self.app(scope, receive, send)
                raise RuntimeError("too late")

        left: list[object] = []
        notes = make_notes(router={"on_disconnect": left.append})
        inside(notes, (Failing, {}))

        stream = await connect(notes.app, URL)
        with pytest.raises(RuntimeError, match="too late"):
            await stream.until_end()

        assert notes.manager.session_count("1") == 0
        assert len(left) == 1

    async def test_middlewares_around_see_the_route(self, make_notes, connect):
        names = []

        class Naming:
            def __init__(self, app):
                self.app = app

            async def __call__(self, scope, receive, send):
                try:
                    await self.app(scope, receive, send)
                finally:
                    if scope["type"] == "http":
                        names.append((scope["route"].path, scope["path_params"]))

        notes = make_notes()
        inside(notes)
        notes.app.add_middleware(Naming)

        stream = await connect(notes.app, URL)
        stream.disconnect()
        await stream.until_end()

        assert names == [("/notes/{note_id}/events", {"note_id": "1"})]

    @pytest.mark.parametrize("path", [URL, "/plain"])
    async def test_middlewares_around_see_what_those_inside_found(self, make_notes, connect, path):
        scopes = []
        headers = []

        class Authenticating:
            def __init__(self, app):
                self.app = app

            async def __call__(self, scope, receive, send):
                scope["user"] = "ann"
                await self.app(scope, receive, send)

        class Auditing:
            def __init__(self, app):
                self.app = app

            async def __call__(self, scope, receive, send):
                headers.append(scope["headers"])
                await self.app(scope, receive, send)
                scopes.append(scope)

        notes = make_notes()
        notes.app.add_api_route("/plain", lambda: "plain")
        inside(notes, (Authenticating, {}))
        notes.app.add_middleware(Auditing)

        stream = await connect(notes.app, path)
        stream.disconnect()
        await stream.until_end()

        [scope] = scopes
        assert scope["user"] == "ann"
        # an open stream should not keep FastAPI's exit stacks and copies of the headers
        assert not [name for name in scope if name.startswith(("fastapi", "starlette."))]
        assert scope["headers"] is headers[0]


class TestStream:
    async def test_ends_when_the_client_leaves(self, make_notes, connect):
        left = []
        notes = make_notes(router={"on_disconnect": lambda session: left.append(session.id)})
        inside(notes)

        stream = await connect(notes.app, URL)
        stream.disconnect()
        await stream.until_end()

        assert len(left) == 1
        assert notes.manager.session_count("1") == 0

    async def test_ends_with_the_drain(self, make_notes, connect):
        notes = make_notes()
        inside(notes)
        stream = await connect(notes.app, URL)

        await notes.manager.drain()
        await stream.until_end()

        assert stream.is_complete
        assert notes.controls(stream) == ["stream-open", "stream-close shutdown"]

    async def test_request_cancelled_by_the_server_is_over(self, make_notes, connect):
        notes = make_notes()
        inside(notes)
        stream = await connect(notes.app, URL)

        stream.task.cancel()
        await asyncio.wait([stream.task])

        assert stream.task.cancelled()
        assert notes.manager.session_count("1") == 0

    async def test_loads_its_initial_event_again_after_a_reset(self, make_notes, connect):
        loads = []

        async def initial(note_id: str):
            loads.append(note_id)
            return {"type": "note", "text": f"load {len(loads)}"}

        notes = make_notes(history_size=2, slow_after=0.01, router={"initial_event": initial})
        inside(notes)
        stream = await connect(notes.app, URL)
        stream.hold()
        await notes.publish(*"abcdef")
        stream.release()
        await stream.until(b'"load 2"')

        assert loads == ["1", "1"]

    async def test_works_around_a_whole_application(self, make_notes, connect, caplog):
        notes = make_notes()
        app = SSEMiddleware(notes.app)
        with caplog.at_level(logging.WARNING):
            stream = await connect(app, URL)
            await notes.publish("a")
            await stream.until(b'"text":"a"')
            stream.disconnect()
            await stream.until_end()

        assert notes.texts(stream) == ["a"]
        assert caplog.text == ""


class TestForwarders:
    """These canaries check that a wrapper that the library skips only forwards."""

    @pytest.mark.parametrize("cors", [False, True])
    async def test_wrappers_of_the_frameworks_pass_bodies_unchanged(self, cors):
        found: list[Any] = []
        sent: list[object] = []

        async def endpoint(_scope, _receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            found.append(send)
            body = {"type": "http.response.body", "body": b"x", "more_body": True}
            await send(body)
            assert sent[-1] is body

        async def receive():
            raise AssertionError("nobody asks for the client")

        async def send(message):
            sent.append(message)

        app = FastAPI()
        app.mount("/", endpoint)
        if cors:
            app.add_middleware(CORSMiddleware, allow_origins=["*"])
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"origin", b"http://elsewhere.test")],
            "http_version": "1.1",
        }
        await app(scope, receive, send)

        [innermost] = found
        assert innermost is not send
        assert past_forwarders(innermost) is send
