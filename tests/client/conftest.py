"""Fixtures of the client's tests: a restartable application, and a server that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from pydantic import BaseModel

from fastapi_sse_channels.client import Status, SyncConnection, Waiting, connect, connect_sync

APPS = Path(__file__).parent / "apps"

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.fixture
def serve_numbers(serve):
    """Start `apps/restartable.py`; keyword arguments are its environment."""

    def start(port=None, **env):
        return serve("restartable:app", port=port, env={"PYTHONPATH": str(APPS), **env})

    return start


@pytest.fixture(scope="module")
def numbers_url(serve_shared):
    """A server whose guarded streams need the token `secret`."""
    return serve_shared("restartable:app", env={"PYTHONPATH": str(APPS), "TOKEN": "secret"}).url


class Talk:
    """One connection of a scripted server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self, status: str, *headers: str) -> None:
        """Send a whole response without a body; its connection serves no other request.

        Had the client not been told so, it would take the connection again where it sees the end
        of it too late, and wait after that attempt too.
        """
        lines = (f"HTTP/1.1 {status}", *headers, "Content-Length: 0", "Connection: close")
        await self.send("\r\n".join((*lines, "", "")).encode())

    async def head(self) -> None:
        await self.send(HEAD)

    async def open(self, event_id="a.1", *, resumed=False, ping="null", retry=100) -> None:
        """Send the head of the response and a `stream-open`."""
        resumed = "true" if resumed else "false"
        data = f'{{"protocol":1,"resumed":{resumed},"ping_interval":{ping}}}'
        frame = f"event: stream-open\nid: {event_id}\nretry: {retry}\ndata: {data}\n\n"
        await self.send(HEAD + frame.encode())

    async def event(self, number: int, event_id: str | None = None) -> None:
        data = f'data: {{"type":"number","number":{number}}}\n\n'
        await self.send(f"id: {event_id or f'a.{number}'}\n{data}".encode())

    async def silence(self) -> None:
        """Keep the connection open until the client leaves."""
        await self._reader.read()


Script = Callable[[Talk], Awaitable[None]]


@dataclass
class ScriptedServer:
    """Answers each connection with the next script, and with the last one from then on."""

    scripts: tuple[Script, ...]
    url: str = ""
    requests: list[dict[str, str]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            pairs = (line.split(": ", 1) for line in head[1:] if line)
            self.requests.append({name.lower(): value for name, value in pairs})
            script = self.scripts[min(len(self.requests), len(self.scripts)) - 1]
            await script(Talk(reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client left
        finally:
            writer.close()


Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Listen = Callable[..., Awaitable[str]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Serve connections until the end of the test, and return the URL."""
    listeners: list[asyncio.Server] = []

    async def start(handle: Handle, port: int = 0) -> str:
        listener = await asyncio.start_server(handle, "127.0.0.1", port)
        listeners.append(listener)
        return f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


@pytest.fixture
def scripted(listen: Listen) -> Callable[..., Awaitable[ScriptedServer]]:
    """Serve connections as scripts say; a script is an async function of a `Talk`."""

    async def start(*scripts: Script, port: int = 0) -> ScriptedServer:
        server = ScriptedServer(scripts)
        server.url = f"{await listen(server, port)}/events"
        return server

    return start


class Proxy:
    """Passes bytes on in both directions, until it swallows them and keeps its sockets open."""

    def __init__(self, port: int) -> None:
        self.url = ""
        self._port = port
        self._swallowing: set[asyncio.StreamWriter] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    def swallow(self) -> None:
        """Swallow all bytes of the present connections; later connections work."""
        self._swallowing |= self._clients

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        upwards = asyncio.ensure_future(self._pass(reader, server_writer, writer))
        try:
            await self._pass(server_reader, writer, writer)
            if writer in self._swallowing:
                await upwards  # swallow even the end of the connection
        finally:
            upwards.cancel()
            for leaving in (writer, server_writer):
                leaving.close()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if client not in self._swallowing:
                    writer.write(data)
                    await writer.drain()


@pytest.fixture
def proxy(listen: Listen) -> Callable[[int], Awaitable[Proxy]]:
    """Put a proxy before a port."""

    async def start(port: int) -> Proxy:
        proxy = Proxy(port)
        proxy.url = await listen(proxy)
        return proxy

    return start


@pytest.fixture
def delays():
    """A `sleep` that only records the seconds it was given."""

    class Delays(list[float]):
        async def sleep(self, seconds):
            self.append(seconds)
            await asyncio.sleep(0)

        def sleep_sync(self, seconds):
            self.append(seconds)

    return Delays()


class Number(BaseModel):
    type: Literal["number"] = "number"
    number: int


@pytest.fixture
def number_type():
    return Number


class Follower:
    """A connection of either kind, driven from the test's loop.

    Attributes:
        statuses: Every status so far.
    """

    def __init__(self, connection: Any, statuses: list[Status]) -> None:
        self.connection = connection
        self.statuses = statuses
        self.is_sync = isinstance(connection, SyncConnection)

    async def __aenter__(self):
        async with asyncio.timeout(20):
            if self.is_sync:
                await asyncio.to_thread(self.connection.__enter__)
            else:
                await self.connection.__aenter__()
        return self

    async def __aexit__(self, *error):
        if self.is_sync:
            self.connection.close()
            await asyncio.to_thread(self.connection.__exit__, *error)
        else:
            await self.connection.__aexit__(*error)

    async def next(self):
        """The next number, or `None` at the end."""
        async with asyncio.timeout(20):
            if self.is_sync:
                event = await asyncio.to_thread(next, self.connection, None)
            else:
                event = await anext(self.connection, None)
        return None if event is None else event.number

    async def numbers(self, count):
        return [await self.next() for _ in range(count)]

    @property
    def waits(self):
        return [status.reason for status in self.statuses if isinstance(status, Waiting)]


@dataclass
class Follow:
    """Makes connections of one kind."""

    is_sync: bool

    def __call__(self, url, *, sleep=None, **options):
        statuses: list[Status] = []
        options = {"on_status": statuses.append, **options}
        if sleep is not None:
            options["sleep"] = sleep.sleep_sync if self.is_sync else sleep.sleep
        connection = (connect_sync if self.is_sync else connect)(url, Number, **options)
        return Follower(connection, statuses)

    @asynccontextmanager
    async def client(self, **options):
        """Open an httpx client of the kind that such a connection takes."""
        if self.is_sync:
            with httpx.Client(**options) as client:
                yield client
        else:
            async with httpx.AsyncClient(**options) as client:
                yield client


@pytest.fixture(params=[False, True], ids=["connect", "connect_sync"])
def follow(request):
    """Follow a stream of numbers with either kind of connection."""
    return Follow(is_sync=request.param)
