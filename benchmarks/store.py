"""A Redis of the benchmark's own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import hiredis

from .peers import CACHE, apt_install, output
from .processes import CLIENT_CPU, Pinned, free_port


def prepare_redis() -> dict[str, str]:
    """Install it where it is missing, and return its version."""
    if shutil.which("redis-server") is None:
        apt_install("redis-server")
    return {"redis-server": output(["redis-server", "--version"]).split("v=")[1].split()[0]}


@contextmanager
def redis_server() -> Iterator[tuple[Pinned, int]]:
    """Start one on the load client's CPU, and give its process and port."""
    port = free_port()
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "save": "",
        "appendonly": "no",
        # what waits for a stopped subscriber
        "client-output-buffer-limit": "pubsub 0 0 0",
    }
    command = ["redis-server"]
    for name, value in options.items():
        command += [f"--{name}", value]
    with Pinned(command, cpu=CLIENT_CPU, log=CACHE / "redis.log") as process:
        process.wait_for_port(port)
        yield process, port


def packed(*parts: str | bytes | int) -> bytes:
    """Return a command as Redis reads it."""
    # its stub knows commands of one word only
    pack = cast("Callable[[tuple[str | bytes | int, ...]], bytes]", hiredis.pack_command)
    return pack(parts)


def redis_url(port: int) -> str:
    """Return the address that the library takes."""
    return f"redis://127.0.0.1:{port}/0"
