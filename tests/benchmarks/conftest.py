"""The load client, and servers that misbehave for it."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.load import SOURCE

HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"8\r\n: here\n\n\r\n"
)


@pytest.fixture(scope="session")
def sseload(tmp_path_factory, processes: None) -> Path:
    """Compile the load client, with warnings as errors."""
    assert shutil.which("gcc"), "gcc is needed: apt-get install gcc libc6-dev"
    program = tmp_path_factory.mktemp("sseload") / "sseload"
    flags = ["-O2", "-std=gnu11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", program, SOURCE], check=True)
    return program


class ScriptedServer:
    """Answers every stream with the same packets, once it is told to."""

    def __init__(self, packets: list[bytes], *, closes: bool) -> None:
        self.port = 0
        self._packets = packets
        self._closes = closes
        self._listens = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._going = asyncio.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()))
        self._thread.start()
        assert self._listens.wait(10)

    def go(self) -> None:
        self._loop.call_soon_threadsafe(self._going.set)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._loop.close()

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await self._end.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(HEAD)
            await self._going.wait()
            for packet in self._packets:
                writer.write(packet)
                # a packet of its own, so that lines and chunks are cut where the test wants it
                await writer.drain()
                await asyncio.sleep(0.01)
            if not self._closes:
                await self._end.wait()
        except asyncio.CancelledError:
            pass
        finally:
            writer.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Start a server that sends these packets on every stream."""
    started: list[ScriptedServer] = []

    def start(packets: list[bytes], *, closes: bool = False) -> ScriptedServer:
        started.append(ScriptedServer(packets, closes=closes))
        return started[-1]

    yield start
    for server in started:
        server.stop()
