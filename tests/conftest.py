"""Tests share real servers, raw streams, streams in the test's own loop, and waiting."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from xdist.scheduler import LoadFileScheduling

from fastapi_sse_channels import ChannelManager, SSEMiddleware, create_sse_router
from fastapi_sse_channels._engine import Engine
from fastapi_sse_channels._live.feed import Feed
from fastapi_sse_channels._manager import engine_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

ROOT = Path(__file__).parent.parent
APPS = Path(__file__).parent / "apps"

COMMANDS: dict[str, list[str]] = {
    "uvicorn": ["uvicorn", "{app}", "--port", "{port}"],
    "uvicorn-2-workers": ["uvicorn", "{app}", "--port", "{port}", "--workers", "2"],
    "uvicorn-reload": ["uvicorn", "{app}", "--port", "{port}", "--reload"],
    "uvicorn-h11": ["uvicorn", "{app}", "--port", "{port}", "--http", "h11", "--loop", "asyncio"],
    "granian": ["granian", "{app}", "--interface", "asgi", "--port", "{port}"],
    "hypercorn": ["hypercorn", "{app}", "--bind", "127.0.0.1:{port}"],
    "hypercorn-no-worker": ["hypercorn", "{app}", "-w", "0", "--bind", "127.0.0.1:{port}"],
    "gunicorn-asgi": ["gunicorn", "{app}", "-k", "asgi", "--bind", "127.0.0.1:{port}"],
    "gunicorn-uvicorn": [
        "gunicorn",
        "{app}",
        "-k",
        "uvicorn.workers.UvicornWorker",
        "--bind",
        "127.0.0.1:{port}",
    ],
}

REALLY_RUN = pytest.StashKey[list[str]]()

# Python's audit hooks get these events when a process starts
STARTS = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.system"}


class ProcessGuard:
    """Refuses to start processes while a test runs that is not marked `processes`.

    Without it a test of `make unit` would need a program, or be slow, and nobody would notice.
    """

    def __init__(self) -> None:
        self.is_closed = False

    def __call__(self, event: str, _arguments: tuple[object, ...]) -> None:
        if self.is_closed and event in STARTS:
            raise AssertionError(
                "this test starts a process, which `make unit` must not: mark it `processes`, or "
                "let the fixture that starts it ask for the fixture `processes`"
            )


process_guard = ProcessGuard()
sys.addaudithook(process_guard)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[REALLY_RUN] = []


class FilesAndFolders(LoadFileScheduling):
    """Hands whole files to the workers of a run, and `tests/browser` to one of them.

    Its files share one Chromium, and one build of the npm package in its folder.
    """

    def _split_scope(self, nodeid: str) -> str:
        scope = super()._split_scope(nodeid)
        return "tests/browser" if scope.startswith("tests/browser/") else scope


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesAndFolders | None:
    return FilesAndFolders(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    # only a worker's configuration has this attribute
    output: dict[str, object] = getattr(session.config, "workeroutput", {})
    output["really run"] = session.config.stash[REALLY_RUN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # a worker that died has no output
    output = getattr(node, "workeroutput", {})
    node.config.stash[REALLY_RUN].extend(output.get("really run", []))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "processes" in getattr(item, "fixturenames", ()):
            item.add_marker("processes")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    process_guard.is_closed = item.get_closest_marker("processes") is None
    try:
        return (yield)
    finally:
        process_guard.is_closed = False


@pytest.fixture(scope="session")
def processes() -> None:
    """Every fixture that starts a process requests this one, which marks the tests that use it."""


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if really_run := config.stash[REALLY_RUN]:
        terminalreporter.section("servers and browsers really run")
        for line in sorted(set(really_run)):
            count = really_run.count(line)
            terminalreporter.write_line(f"{line} ({count} {'times' if count > 1 else 'time'})")


@pytest.fixture
def really_ran(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Name a server or browser, with its version, in the summary at the end of the run."""
    return request.config.stash[REALLY_RUN].append


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Server:
    """A real server process, started by `serve`."""

    url: str
    port: int
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        """The output so far."""
        return self.log_path.read_text(errors="replace")

    def terminate(self, number: int = signal.SIGTERM) -> float:
        """Send a signal and return the seconds until the process was gone."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return time.monotonic() - started

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=10)


ServeFunction = Callable[..., Server]


def _servers(logs: Path, config: pytest.Config) -> Iterator[ServeFunction]:
    servers: list[Server] = []

    def start(
        app: str = "discussion:app",
        server: str = "uvicorn",
        *,
        port: int | None = None,
        env: dict[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> Server:
        port = port or free_port()
        executable, *arguments = (part.format(app=app, port=port) for part in COMMANDS[server])
        arguments += options
        log_path = logs / f"server-{len(servers)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", executable, *arguments],
                cwd=APPS,
                env={**os.environ, "PYTHONPATH": f"{APPS}:{ROOT}", **(env or {})},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started = Server(f"http://127.0.0.1:{port}", port, process, log_path)
        servers.append(started)
        _wait_until_it_answers(started)
        config.stash[REALLY_RUN].append(f"{server} {importlib.metadata.version(executable)}")
        return started

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def serve(
    tmp_path: Path, request: pytest.FixtureRequest, processes: None
) -> Iterator[ServeFunction]:
    """Start `module:app` of `tests/apps` (or any importable one) under a real server."""
    yield from _servers(tmp_path, request.config)


@pytest.fixture(params=[{}, {"LEAN": "1"}], ids=["in their requests", "lean"])
def ways(request: pytest.FixtureRequest) -> dict[str, str]:
    """How an application holds its streams: what each way needs in a server's environment."""
    return dict(request.param)


@pytest.fixture(scope="session")
def serve_shared(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest, processes: None
) -> Iterator[ServeFunction]:
    """Like `serve`, but tests with the same arguments share a server, which none may stop."""
    starting = _servers(tmp_path_factory.mktemp("servers"), request.config)
    start = next(starting)
    started: dict[tuple[str, ...], Server] = {}

    def start_once(
        app: str = "discussion:app", server: str = "uvicorn", *, env: dict[str, str] | None = None
    ) -> Server:
        name = (app, server, repr(env))
        if name not in started:
            started[name] = start(app, server, env=env)
        return started[name]

    yield start_once
    for _ in starting:
        pass


@pytest.fixture(scope="session")
def new_resource() -> Callable[[], str]:
    """Draw a resource id that no other test uses."""
    numbers = itertools.count(1000)
    return lambda: str(next(numbers))


def _wait_until_it_answers(server: Server) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(OSError, httpx2.HTTPError):
            httpx2.get(f"{server.url}/openapi.json", timeout=5)
            return
        time.sleep(0.05)  # polling a process that cannot tell us
    raise AssertionError(f"the server did not start:\n{server.log}")


def parse_frames(body: bytes) -> list[dict[str, str]]:
    """Read complete frames as a browser would: lines end at LF only, pings are no frames."""
    blocks = body.decode().split("\n\n")[:-1]
    lines = ([line for line in block.split("\n") if line not in {":", ""}] for block in blocks)
    return [dict(line.split(": ", 1) for line in block) for block in lines]


class Received:
    """The body of a stream as far as it was received."""

    body: bytes

    @property
    def frames(self) -> list[dict[str, str]]:
        """The complete frames, as their fields."""
        return parse_frames(self.body)

    @property
    def last_event_id(self) -> str:
        return [frame["id"] for frame in self.frames if "id" in frame][-1]


@dataclass
class RawStream(Received):
    """An open stream, read as bytes over a socket of our own."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int
    headers: dict[str, str]
    body: bytes = b""
    ended: bool = False
    _chunks: list[bytes] = field(default_factory=list)

    async def until(self, marker: bytes, timeout: float = 5) -> bytes:
        """Read until the body contains a marker, and return the whole body so far."""
        async with asyncio.timeout(timeout):
            while marker not in self.body:
                if not await self.read_chunk():
                    raise AssertionError(f"stream ended before {marker!r}: {self.body!r}")
        return self.body

    async def until_end(self, timeout: float = 10) -> bytes:
        """Read until the server ends the response."""
        async with asyncio.timeout(timeout):
            while await self.read_chunk():
                pass
        return self.body

    async def read_chunk(self) -> bool:
        if self.headers.get("transfer-encoding") != "chunked":
            data = await self.reader.read(65536)
            self.body += data
            return bool(data)
        size = int((await self.reader.readline()).strip() or b"0", 16)
        self.body += await self.reader.readexactly(size)
        await self.reader.readline()
        self.ended = size == 0
        return size > 0

    def close(self) -> None:
        self.writer.close()


OpenStream = Callable[..., Awaitable[RawStream]]


@pytest.fixture
async def open_stream() -> AsyncIterator[OpenStream]:
    """Open a stream with a plain GET over a socket."""
    streams: list[RawStream] = []

    async def open_(
        url: str,
        *,
        last_event_id: str | None = None,
        method: str = "GET",
        receive_buffer: int | None = None,
        **headers: str,
    ) -> RawStream:
        parts = httpx2.URL(url)
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(0)
        await asyncio.get_running_loop().sock_connect(connection, (parts.host, parts.port))
        limit = receive_buffer or 65536
        reader, writer = await asyncio.open_connection(sock=connection, limit=limit)
        lines = [f"{method} {parts.raw_path.decode()} HTTP/1.1", f"Host: {parts.host}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if last_event_id is not None:
            lines.append(f"Last-Event-ID: {last_event_id}")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        stream = RawStream(
            reader,
            writer,
            status=int(head[0].split()[1]),
            headers={name.lower(): value for name, value in pairs},
        )
        streams.append(stream)
        return stream

    yield open_
    for stream in streams:
        stream.close()


class AsgiStream(Received):
    """A request to an application in the test's own loop; `hold` makes its `send` wait.

    Args:
        transport: The library takes it for the server's.
    """

    def __init__(self, *, transport: Any = None) -> None:
        self.messages: list[Message] = []
        self.body = b""
        self.chunks: list[bytes] = []
        self.sends_waiting = 0
        if transport is not None:
            self.transport = transport
        self.task: asyncio.Task[None] | None = None
        self._released = asyncio.Event()
        self._released.set()
        self._gone = asyncio.Event()
        self._requested = False
        self._changed = asyncio.Event()

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def answer(self) -> Any:
        """The JSON body of an answer that is no stream."""
        return json.loads(self.body)

    @property
    def is_complete(self) -> bool:
        last = self.messages[-1] if self.messages else {}
        return last.get("type") == "http.response.body" and not last.get("more_body", False)

    def hold(self) -> None:
        """Let every `send` wait, as a server does for a client that reads nothing."""
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    def disconnect(self) -> None:
        self._gone.set()

    async def receive(self) -> Message:
        if not self._requested:
            self._requested = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sends_waiting += 1
        try:
            while not self._released.is_set():
                await self._released.wait()
        finally:
            self.sends_waiting -= 1
        self.messages.append(message)
        if message["type"] == "http.response.body" and message["body"]:
            self.chunks.append(message["body"])
            self.body += message["body"]
        self._changed.set()

    async def until(self, marker: bytes | Callable[[], object], timeout: float = 5) -> bytes:
        """Wait until the body contains a marker, or a condition of it holds."""
        found = marker if callable(marker) else lambda: marker in self.body
        async with asyncio.timeout(timeout):
            while not found():
                assert self.task is not None
                assert not self.task.done(), f"ended: {self.messages!r}"
                self._changed.clear()
                changed = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait([changed, self.task], return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        return self.body

    async def until_end(self, timeout: float = 5) -> bytes:
        """Wait until the application has finished the request."""
        assert self.task is not None
        async with asyncio.timeout(timeout):
            await self.task
        return self.body


Connect = Callable[..., Awaitable[AsgiStream]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Request a stream from an application without a server, and wait for its first bytes."""
    streams: list[AsgiStream] = []

    async def connect_(
        app: ASGIApp,
        path: str,
        *,
        method: str = "GET",
        last_event_id: str | None = None,
        transport: Any = None,
        wait: bool = True,
        **headers: str,
    ) -> AsgiStream:
        path, _, query = path.partition("?")
        headers = {"host": "test", **headers}
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        if last_event_id is not None:
            pairs.append((b"last-event-id", last_event_id.encode("latin-1")))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": pairs,
            "client": ("127.0.0.1", 1),
            "server": ("test", 80),
            "state": {},
        }
        stream = AsgiStream(transport=transport)
        stream.task = asyncio.ensure_future(app(scope, stream.receive, stream.send))
        streams.append(stream)
        if wait:
            await stream.until(lambda: stream.body or stream.is_complete)
        return stream

    yield connect_
    for stream in streams:
        stream.release()
        stream.disconnect()
        assert stream.task is not None
        await asyncio.wait([stream.task], timeout=2)
        if not stream.task.cancelled():
            stream.task.exception()  # the test's own assertions are about it


class Note(BaseModel):
    type: Literal["note"] = "note"
    text: str = ""


@dataclass
class Notes:
    """An application with one channel type, for streams in the test's own loop."""

    manager: ChannelManager[Note]
    app: FastAPI

    @property
    def engine(self) -> Engine[Note]:
        """The manager's parts."""
        return engine_of(self.manager)

    @property
    def feed(self) -> Feed:
        """The feed of the channel of note 1."""
        feed = self.engine.hub.feed("note:1:events")
        assert feed is not None
        return feed

    async def publish(self, *texts: str, to: str = "1") -> list[str]:
        return [await self.manager.publish(to, Note(text=text)) for text in texts]

    @staticmethod
    def texts(stream: Received) -> list[str]:
        """The texts of the notes a stream received."""
        frames = (frame for frame in stream.frames if "event" not in frame)
        return [json.loads(frame["data"])["text"] for frame in frames]

    @staticmethod
    def controls(stream: Received) -> list[str]:
        """The names of the control frames, with the reason where they give one."""
        return [
            " ".join(filter(None, (frame["event"], json.loads(frame["data"]).get("reason"))))
            for frame in stream.frames
            if "event" in frame
        ]


@pytest.fixture
def is_handed_off() -> bool:
    """Whether streams outlive their requests; overridden where both ways are tested."""
    return False


@pytest.fixture
def make_notes(*, is_handed_off: bool) -> Callable[..., Notes]:
    """Build an application that streams `/notes/{note_id}/events`."""

    def make(*, router: dict[str, Any] | None = None, **options: Any) -> Notes:
        manager = ChannelManager(Note, **{"key_prefix": "note", **options})
        app = FastAPI()
        if is_handed_off:
            app.add_middleware(SSEMiddleware)
        app.include_router(create_sse_router(manager, "/notes/{note_id}/events", **(router or {})))
        return Notes(manager, app)

    return make


@pytest.fixture
def eventually() -> Callable[..., Awaitable[Any]]:
    """Poll a condition until it holds."""

    async def poll(condition: Callable[[], Any], timeout: float = 5) -> Any:
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            result = condition()
            if isinstance(result, Awaitable):
                result = await result
            if result:
                return result
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"never held: {condition}")
            await asyncio.sleep(0.01)

    return poll


@pytest.fixture
def run_suite(tmp_path: Path, processes: None) -> Callable[..., str]:
    """Run files of a folder of their own with pytest, as a user would, and return its output."""

    def run(files: dict[str, str], *options: str, **settings: str) -> str:
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        lines = [f"{name} = {value}" for name, value in settings.items()]
        (tmp_path / "pytest.ini").write_text("\n".join(["[pytest]", *lines]))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-W", "error", "-q", *options],
            cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if "PYTEST" not in name},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.stdout + done.stderr

    return run


@pytest.fixture
def run_python(processes: None) -> Callable[[str], str]:
    """Run code in an interpreter of its own, and return what it printed."""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    return run


# What makes each plugin run `async def` tests: options, and settings.
ASYNC_RUNNERS = {
    "anyio": (["-p", "no:asyncio"], {"anyio_mode": "auto"}),
    "asyncio": (
        ["-p", "no:anyio"],
        {"asyncio_mode": "auto", "asyncio_default_fixture_loop_scope": "function"},
    ),
}


@pytest.fixture(params=ASYNC_RUNNERS)
def async_runner(request: pytest.FixtureRequest) -> tuple[list[str], dict[str, str]]:
    """Options and settings with which pytest runs `async def` tests."""
    return ASYNC_RUNNERS[request.param]


@pytest.fixture(scope="session")
def redis_server(processes: None) -> str:
    """The program that serves Redis; `REDIS_SERVER` names another one."""
    name = os.environ.get("REDIS_SERVER", "redis-server")
    executable = shutil.which(name)
    if executable is None:
        message = f"{name} is needed: apt-get install redis-server, or set REDIS_SERVER"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return executable


@pytest.fixture(scope="session")
def redis_version(redis_server: str) -> tuple[int, ...]:
    """The version of that program; Valkey counts on from Redis 7.2."""
    said = subprocess.run([redis_server, "--version"], check=True, capture_output=True, text=True)
    return tuple(map(int, said.stdout.split("v=")[1].split()[0].split(".")))


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory, redis_server: str) -> Iterator[str]:
    """A Redis of our own, empty at the start of the run."""
    port = free_port()
    process = subprocess.Popen(
        [redis_server, "--port", str(port), "--save", "", "--bind", "127.0.0.1"],
        cwd=tmp_path_factory.mktemp("redis"),
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
        time.sleep(0.02)  # polling a process that cannot tell us
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(timeout=10)


@pytest.fixture(scope="session")
def unused_ports() -> Callable[[int], list[int]]:
    """Several free ports at once, each with the port of a Redis Cluster's bus.

    Below those that the system hands to clients, so that none is taken before it is used.
    """

    def is_free(port: int) -> bool:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return True
        return False

    def find(count: int) -> list[int]:
        found: set[int] = set()
        while len(found) < count:
            port = random.randrange(10_000, 22_000)
            if is_free(port) and is_free(port + 10_000):
                found.add(port)
        return list(found)

    return find
