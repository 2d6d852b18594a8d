"""Serve one of the Python servers, and take the benchmark's commands on a second port.

    python -m benchmarks.servers.run MODULE PORT CONTROL_PORT

Each module has an ASGI application `app` with `GET /events/{channel}` and
`POST /publish/{channel}`, and a coroutine `publish(channel, ts, seq, text)` that does the same from
inside. Commands are lines over TCP, so that none of them goes through what is measured:

    tasks                     how many asyncio tasks there are
    collect                   milliseconds that a full garbage collection takes
    spread EVENTS CHANNELS    publish that many, channel after channel
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
import uvloop

from .events import TEXT

Publish = Callable[[str, int, int, str], Awaitable[object]]


class Control:
    """Answers commands, one a line."""

    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(f"{await self._answer(line.decode().split())}\n".encode())
            await writer.drain()
        writer.close()

    async def _answer(self, command: list[str]) -> float:
        match command:
            case ["tasks"]:
                return len(asyncio.all_tasks())
            case ["collect"]:
                began = time.perf_counter()
                gc.collect()
                return (time.perf_counter() - began) * 1e3
            case ["spread", events, channels]:
                await self._spread(int(events), int(channels))
                return 0
        raise ValueError(command)

    async def _spread(self, events: int, channels: int) -> None:
        for seq in range(events):
            await self._publish(str(seq % channels), time.monotonic_ns(), seq, TEXT)
            # a publisher that awaits nothing else would keep the loop to itself
            await asyncio.sleep(0)


async def main(module: str, port: int, control_port: int) -> None:
    served: Any = importlib.import_module(f"benchmarks.servers.{module}")
    config = uvicorn.Config(
        served.app,
        port=port,
        http="httptools",
        ws="none",
        access_log=False,
        log_level="warning",
    )
    control = await asyncio.start_server(
        Control(served.publish).serve, "127.0.0.1", control_port, reuse_address=True
    )
    await uvicorn.Server(config).serve()
    control.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
