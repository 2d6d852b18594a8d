"""Serve the example on three nodes behind one Redis: `python -m example_app.cluster`."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

FIRST_PORT = int(os.environ.get("PORT", "8001"))
NODES = {name: f"http://127.0.0.1:{FIRST_PORT + at}" for at, name in enumerate("ABC")}
# seconds, as a process manager would wait
RESTART_AFTER = float(os.environ.get("RESTART_AFTER", "10"))
PATIENCE = 5


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


@asynccontextmanager
async def running(*command: str, **env: str) -> AsyncIterator[Process]:
    process = await create_subprocess_exec(
        *command,
        stdout=PIPE,
        env={**os.environ, **env},
        # Ctrl+C is for this program, which stops Redis after the nodes
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(PATIENCE):
                    await process.communicate()
            except TimeoutError:
                process.kill()
        await process.wait()


async def line_with(process: Process, text: str) -> bool:
    """Wait until a process printed something; false if it ended instead."""
    assert process.stdout is not None
    async for line in process.stdout:
        if text in line.decode():
            return True
    return False


@asynccontextmanager
async def redis() -> AsyncIterator[str]:
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    if shutil.which("redis-server") is None:
        sys.exit("redis-server is needed: apt-get install redis-server, or set REDIS_URL")
    with tempfile.TemporaryDirectory() as directory:
        # a socket of its own: nobody else's Redis is touched, and no port is taken
        socket = Path(directory) / "redis.sock"
        options = ("--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", directory)
        async with running("redis-server", *options, "--logfile", "redis.log") as process:
            while not socket.exists():  # it cannot tell us
                if process.returncode is not None:
                    sys.exit("redis-server did not start")
                await asyncio.sleep(0.05)
            say(f"Redis   process {process.pid}")
            yield f"unix://{socket}"


async def keep_running(name: str, redis_url: str, is_up: asyncio.Event) -> None:
    """Run a node, and start it again whenever it is gone."""
    url = NODES[name]
    env = {
        "PORT": url.rpartition(":")[2],
        "REDIS_URL": redis_url,
        "NODE": name,
        "NODES": " ".join(f"{name}={url}" for name, url in NODES.items()),
    }
    while True:
        async with running(sys.executable, "-m", "example_app", **env) as process:
            if await line_with(process, url):
                say(f"Node {name}  {url}  process {process.pid}")
                is_up.set()
            elif not is_up.is_set():
                sys.exit(f"node {name} did not start; is another program at {url}?")
            await process.wait()
        say(f"Node {name} is gone. It comes back in {RESTART_AFTER:g} seconds")
        await asyncio.sleep(RESTART_AFTER)


async def main() -> None:
    loop = asyncio.get_running_loop()
    own_task = asyncio.current_task()
    assert own_task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, own_task.cancel)
    try:
        async with redis() as redis_url, asyncio.TaskGroup() as nodes:
            for name in NODES:
                is_up = asyncio.Event()
                nodes.create_task(keep_running(name, redis_url, is_up))
                # the first creates the tables
                await is_up.wait()
            say("Open two of them in windows side by side, and kill one in its page (Ctrl+C ends)")
    except asyncio.CancelledError:
        say("Stopped")


if __name__ == "__main__":
    asyncio.run(main())
