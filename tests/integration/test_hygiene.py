"""A stream on a real server releases what it does not need, and fails cleanly."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest

HTTP_IMPLEMENTATIONS = ["uvicorn", "uvicorn-h11"]
SERVERS = [*HTTP_IMPLEMENTATIONS, "granian", "hypercorn", "gunicorn-asgi"]
# The test repeats this string, so that it notices an application that alters it.
TEXT = "\u2028\u2029\u0085\x0b\x0c\ufeff a\r\nb\rc\nd\0 \N{PILE OF POO} data: x\n\nid: 1"

HOSTILE_IDS = [
    ":",
    "*",
    "?",
    "[a]",
    "%",
    "%2A",
    "\r",
    "\n",
    "\0",
    "\u2028",
    "e\u0301",
    "\xe9",
    "A",
    "a",
]


@pytest.fixture
def hygiene(serve_shared, ways):
    """The server that tests use together; none may stop it, or make it log an error."""

    def start(server="uvicorn"):
        return serve_shared("hygiene:app", server, env=ways)

    return start


@pytest.fixture
def own_hygiene(serve, ways):
    """A server of the test's own; keyword arguments are its environment."""

    def start(server="uvicorn", **env):
        env = ways | {name: str(value) for name, value in env.items()}
        return serve("hygiene:app", server, env=env)

    return start


@pytest.fixture
def note_id(new_resource):
    return new_resource()


def session_count(server, note_id):
    async def count():
        async with httpx2.AsyncClient() as client:
            return (await client.get(f"{server.url}/notes/{note_id}/sessions")).json()

    return count


class TestDependencies:
    async def test_every_yield_dependency_is_closed_before_the_first_byte(
        self, hygiene, open_stream, note_id
    ):
        server = hygiene()
        before = httpx2.get(f"{server.url}/trace").json()
        stream = await open_stream(f"{server.url}/notes/{note_id}/events")
        await stream.until(f'"text":"{note_id}"'.encode())

        trace = httpx2.get(f"{server.url}/trace").json()[len(before) :]

        names = ["include", "parent router", "router", "inner", "outer", "sync", "channel"]
        assert trace == [
            *(f"open {name}" for name in names),
            *(f"close {name}" for name in reversed(names)),
            "open snapshot",
            "initial event",
            "close snapshot",
            "first byte",
        ]

    def test_fastapi_keeps_the_stack_that_closes_them_in_the_scope(self, hygiene):
        """This canary checks the key without which the library would hold dependencies open."""
        server = hygiene()

        names = httpx2.get(f"{server.url}/scope").json()

        assert "fastapi_inner_astack" in names

    def test_error_while_closing_a_dependency_is_an_http_error(self, own_hygiene):
        server = own_hygiene()

        response = httpx2.get(f"{server.url}/teardown/1/events")

        assert response.status_code == 500


class TestErrors:
    @pytest.mark.parametrize("status", [401, 403, 404])
    def test_http_error_of_the_channel_dependency_is_the_response(self, hygiene, status):
        server = hygiene()

        response = httpx2.get(f"{server.url}/refusing/{status}/events?number=1")

        assert (response.status_code, response.json()) == (status, {"detail": str(status)})
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/json"

    def test_204_of_the_channel_dependency_has_no_body(self, hygiene):
        server = hygiene()

        response = httpx2.get(f"{server.url}/refusing/204/events?number=1")

        assert (response.status_code, response.content) == (204, b"")

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/refusing/missing/events?number=1", 404),
            ("/refusing/a/events?number=one", 422),
            ("/refusing/a/events", 422),
        ],
    )
    async def test_error_of_the_initial_event_is_the_response(self, hygiene, path, status):
        server = hygiene()

        response = httpx2.get(f"{server.url}{path}")

        assert response.status_code == status
        assert not response.headers["content-type"].startswith("text/event-stream")
        assert await session_count(server, "a")() == 0

    async def test_failing_initial_event_is_an_http_error(self, own_hygiene):
        server = own_hygiene()

        response = httpx2.get(f"{server.url}/refusing/a/events?number=0")

        assert response.status_code == 500
        assert not response.headers["content-type"].startswith("text/event-stream")
        assert await session_count(server, "a")() == 0


class TestClients:
    @pytest.mark.parametrize("server_name", HTTP_IMPLEMENTATIONS)
    async def test_client_that_reads_nothing_is_dropped_and_slows_nobody(
        self, own_hygiene, open_stream, eventually, server_name
    ):
        server = own_hygiene(server_name, SEND_TIMEOUT=2, HISTORY_SIZE=64)
        url = f"{server.url}/plain/1/events"
        frozen = await open_stream(url, receive_buffer=4096)
        reading = await open_stream(url)
        await eventually(lambda: _equals(session_count(server, "1"), 2))

        loop = asyncio.get_running_loop()
        longest = 0.0
        async with httpx2.AsyncClient(base_url=server.url) as client:
            async with asyncio.timeout(60):
                while await session_count(server, "1")() == 2:
                    started = loop.time()
                    [event_id] = (await client.post("/notes/1?size=60000")).json()
                    await reading.until(event_id.encode())
                    longest = max(longest, loop.time() - started)

        assert await session_count(server, "1")() == 1
        # a wait for the other client would last as long as its time limit
        assert longest < 1.5
        assert "Traceback" not in server.log
        assert "ERROR" not in server.log
        assert b"stream-reset" not in reading.body
        assert frozen.status == 200

    async def test_client_behind_a_base_http_middleware_that_reads_nothing_is_dropped(
        self, own_hygiene, open_stream, eventually
    ):
        server = own_hygiene(SEND_TIMEOUT=0.3, BASE_HTTP_MIDDLEWARE=1)
        await open_stream(f"{server.url}/plain/1/events", receive_buffer=4096)
        await eventually(lambda: _equals(session_count(server, "1"), 1))
        async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
            await client.post("/notes/1?size=200000&count=100")
        await eventually(lambda: _equals(session_count(server, "1"), 0), timeout=10)

        assert server.terminate() < 3
        assert "Traceback" not in server.log

    async def test_client_that_reads_nothing_is_noticed_by_pings(
        self, own_hygiene, open_stream, eventually
    ):
        server = own_hygiene(SEND_TIMEOUT=0.3, PING_INTERVAL=0.2, HISTORY_SIZE=64)
        await open_stream(f"{server.url}/plain/1/events", receive_buffer=4096)
        await eventually(lambda: _equals(session_count(server, "1"), 1))

        async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
            await client.post("/notes/1?size=200000&count=40")

        await eventually(lambda: _equals(session_count(server, "1"), 0), timeout=10)
        assert "Traceback" not in server.log

    @pytest.mark.parametrize("server_name", SERVERS)
    async def test_client_that_leaves_is_noticed_at_once(
        self, hygiene, open_stream, eventually, server_name, note_id
    ):
        server = hygiene(server_name)
        stream = await open_stream(f"{server.url}/plain/{note_id}/events")
        await stream.until(b"stream-open")
        await eventually(lambda: _equals(session_count(server, note_id), 1))

        stream.close()

        await eventually(lambda: _equals(session_count(server, note_id), 0), timeout=5)
        assert "Traceback" not in server.log

    async def test_head_ends_and_the_connection_serves_another_request(self, hygiene, note_id):
        server = hygiene()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        responses = []
        async with asyncio.timeout(5):
            for method, path in (
                ("HEAD", f"/plain/{note_id}/events"),
                ("GET", f"/notes/{note_id}/sessions"),
            ):
                writer.write(f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
                responses.append(await reader.readuntil(b"\r\n\r\n"))
            body = await reader.readexactly(1)
        writer.close()

        assert [response.split(b"\r\n")[0] for response in responses] == [b"HTTP/1.1 200 OK"] * 2
        assert b"content-type: text/event-stream; charset=utf-8\r\n" in responses[0]
        assert body == b"0"


class TestBytes:
    async def test_headers_keep_proxies_from_storing_buffering_and_altering(
        self, hygiene, open_stream, note_id
    ):
        server = hygiene()
        stream = await open_stream(f"{server.url}/plain/{note_id}/events")

        assert {
            name: stream.headers[name]
            for name in ("content-type", "cache-control", "x-accel-buffering")
        } == {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store, no-transform",
            "x-accel-buffering": "no",
        }

    @pytest.mark.parametrize("server_name", SERVERS)
    async def test_separators_and_controls_in_text_arrive_unaltered(
        self, hygiene, open_stream, server_name, note_id
    ):
        server = hygiene(server_name)
        stream = await open_stream(f"{server.url}/plain/{note_id}/events")
        await stream.until(b"\n\n")
        opening = stream.body
        [event_id] = httpx2.post(f"{server.url}/notes/{note_id}").json()
        await stream.until(b"\n\nid: ")
        await stream.until(b"}\n\n" if stream.body.count(b"\n\n") > 1 else b"\n\n")

        frame = stream.body.removeprefix(opening)
        head, _, data = frame.partition(b"\ndata: ")
        assert head == f"id: {event_id}".encode()
        assert data.endswith(b"}\n\n")
        assert json.loads(data) == {"type": "note", "text": TEXT}
        assert not {b"\r", b"\0"} & {frame[i : i + 1] for i in range(len(frame))}
        assert frame.count(b"\n") == 3

    @pytest.mark.parametrize("server_name", HTTP_IMPLEMENTATIONS)
    async def test_hostile_resource_ids_are_channels_of_their_own(
        self, hygiene, open_stream, server_name
    ):
        server = hygiene(server_name)
        quoted = [quote(resource_id, safe="") for resource_id in HOSTILE_IDS]
        streams = [await open_stream(f"{server.url}/plain/{name}/events") for name in quoted]
        for stream in streams:
            await stream.until(b"\n\n")
        for name in quoted:
            httpx2.post(f"{server.url}/notes/{name}").raise_for_status()

        ids = set()
        for stream in streams:
            await stream.until(b'"type":"note"')
            await stream.until(b"}\n\n")
            [_, event] = stream.frames
            ids.add(event["id"])
        assert len(ids) == len(HOSTILE_IDS)

    async def test_ping_is_a_bare_comment_line(self, own_hygiene, open_stream):
        server = own_hygiene(PING_INTERVAL=0.1)
        stream = await open_stream(f"{server.url}/plain/1/events")
        await stream.until(b"\n\n")
        opening = stream.body

        async with asyncio.timeout(5):
            while len(stream.body) < len(opening) + 4:
                await stream.read_chunk()

        assert stream.body.removeprefix(opening) == b":\n:\n"


class TestClientsThatHarm:
    @pytest.mark.parametrize("server_name", HTTP_IMPLEMENTATIONS)
    async def test_client_gone_after_a_second_request_is_noticed_without_pings(
        self, own_hygiene, eventually, server_name
    ):
        """The server reads no further, so it does not see the connection close."""
        server = own_hygiene(server_name, PING_INTERVAL=3600, LONGEST_TURN=0.2)
        request = b"GET /plain/1/events HTTP/1.1\r\nHost: test\r\n\r\n"
        ghosts = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(5)]
        for reader, writer in ghosts:
            writer.write(request)
            await reader.readuntil(b"stream-open")
            writer.write(request)
        count = session_count(server, "1")
        assert await count() == len(ghosts)
        for _, writer in ghosts[1:]:
            writer.close()

        await eventually(lambda: _equals(count, 1))
        ghosts[0][1].close()
        await eventually(lambda: _equals(count, 0))
        assert "ERROR" not in server.log
        assert "Traceback" not in server.log

    async def test_client_that_reads_nothing_costs_one_server_buffer(self, serve, open_stream):
        silent = 200
        server = serve("hygiene:app")
        streams = [
            await open_stream(f"{server.url}/plain/1/events", receive_buffer=4096)
            for _ in range(silent)
        ]
        for stream in streams:
            await stream.until(b"\n\n")
            stream.writer.transport.pause_reading()
        before = _resident(server)

        async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
            await client.post("/notes/1", params={"count": 700, "size": 4096})

        # a copy of the history for each client would take 200 MB
        assert _resident(server) - before < silent * 100 * 1024 + 10 * 2**20


def _resident(server):
    """Return how many bytes of memory a server uses."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


async def _equals(count, expected):
    return await count() == expected
