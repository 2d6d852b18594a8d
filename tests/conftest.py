"""What tests share: real servers, raw streams, and waiting for conditions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

ROOT = Path(__file__).parent.parent
APPS = Path(__file__).parent / "apps"

COMMANDS: dict[str, list[str]] = {
    "uvicorn": ["uvicorn", "{app}", "--port", "{port}"],
    "uvicorn-2-workers": ["uvicorn", "{app}", "--port", "{port}", "--workers", "2"],
    "uvicorn-reload": ["uvicorn", "{app}", "--port", "{port}", "--reload"],
    "uvicorn-h11": ["uvicorn", "{app}", "--port", "{port}", "--http", "h11", "--loop", "asyncio"],
    "granian": ["granian", "{app}", "--interface", "asgi", "--port", "{port}"],
    "hypercorn": ["hypercorn", "{app}", "--bind", "127.0.0.1:{port}"],
    "gunicorn-asgi": ["gunicorn", "{app}", "-k", "asgi", "--bind", "127.0.0.1:{port}"],
}


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
        """What it printed so far."""
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


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[ServeFunction]:
    """Start `module:app` of `tests/apps` (or any importable one) under a real server."""
    servers: list[Server] = []

    def start(
        app: str = "discussion:app",
        server: str = "uvicorn",
        *,
        port: int | None = None,
        env: dict[str, str] | None = None,
    ) -> Server:
        port = port or free_port()
        executable, *arguments = (part.format(app=app, port=port) for part in COMMANDS[server])
        log_path = tmp_path / f"server-{len(servers)}.log"
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
        return started

    yield start
    for server in servers:
        server.kill()


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


@dataclass
class RawStream:
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

    @property
    def frames(self) -> list[dict[str, str]]:
        """The complete frames received, as their fields."""
        blocks = self.body.decode().replace(":\n", "").split("\n\n")[:-1]
        return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]

    @property
    def last_event_id(self) -> str:
        return [frame["id"] for frame in self.frames if "id" in frame][-1]

    def close(self) -> None:
        self.writer.close()


OpenStream = Callable[..., Awaitable[RawStream]]


@pytest.fixture
async def open_stream() -> AsyncIterator[OpenStream]:
    """Open a stream with a plain GET over a socket."""
    streams: list[RawStream] = []

    async def open_(
        url: str, *, last_event_id: str | None = None, method: str = "GET", **headers: str
    ) -> RawStream:
        parts = httpx2.URL(url)
        reader, writer = await asyncio.open_connection(parts.host, parts.port)
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
