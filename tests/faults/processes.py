"""The processes that the faults break: Redis servers and nodes, on ports of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .clock import cpu_wait

ROOT = Path(__file__).parent.parent.parent
APPS = ROOT / "tests" / "apps"
# another make or version may replace it
REDIS_SERVER = os.environ.get("REDIS_SERVER", "redis-server")


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A directory for the files of servers, in memory where that can be.

    A disk that others keep busy would hold up whoever writes a line to a log.
    """
    memory = Path("/dev/shm")  # noqa: S108  # the directory below has a name of its own
    with tempfile.TemporaryDirectory(
        prefix="faults-", dir=memory if memory.is_dir() else None
    ) as directory:
        yield Path(directory)


# below those that the system hands to clients, so that none takes a port before it is used
_PORTS = iter(random.sample(range(10_000, 32_000), 22_000))


def free_port() -> int:
    """Find a port that nobody uses, and that this function has not returned before."""
    for port in _PORTS:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("every port was used")


async def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Poll a condition, plain or async, until it holds.

    Raises:
        AssertionError: The condition did not hold within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds:.0f} s: {what}")


class Process:
    """A child process that is started again with the same command."""

    def __init__(self, directory: Path, name: str, command: list[str], **options: Any) -> None:
        self.log_path = directory / f"{name}.log"
        self._command = command
        self._options = options
        self._process: subprocess.Popen[Any] | None = None

    def spawn(self) -> None:
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, **self._options
            )

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def waited(self) -> float:
        """Seconds that its main thread was ready to run, and had no CPU."""
        return cpu_wait(self._process.pid) if self._process and self.is_running else 0.0

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self, number: signal.Signals) -> None:
        """Send a signal and wait until the process is gone."""
        self.send(number)
        await until(lambda: not self.is_running, f"{self._command[0]} ends after {number.name}")

    def reap(self) -> None:
        """Kill the process and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class RedisServer(Process):
    """A process of the Redis server.

    Attributes:
        port: Its port.
        directory: Its working directory.
        client: Reaches the server past every proxy.
    """

    DURABLE = ("--appendonly", "yes", "--appendfsync", "always")
    # a replica gets its copy at once, rather than together with others that might come
    _KIND: tuple[str, ...] = ("--save", "", "--repl-diskless-sync-delay", "0")

    def __init__(self, directory: Path, *options: str) -> None:
        self.port = free_port()
        self.directory = directory / f"redis-{self.port}"
        self.directory.mkdir()
        address = ("--port", str(self.port), "--bind", "127.0.0.1")
        command = [REDIS_SERVER, *self._KIND, *address, *options]
        super().__init__(self.directory, "redis", command, cwd=self.directory)
        self.client: Any = Redis(port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    async def start(self) -> None:
        """Start it, and wait until it has loaded what it had."""
        self.spawn()
        await until(self._answers, f"{REDIS_SERVER} at {self.port} answers")

    async def close(self) -> None:
        await self.client.aclose()
        self.reap()

    async def _answers(self) -> bool:
        with contextlib.suppress(RedisError, OSError):
            return bool(await self.client.ping())
        return False


class SentinelServer(RedisServer):
    """A server that watches others, as its `sentinel.conf` says."""

    _KIND = ("sentinel.conf", "--sentinel")


class NodeProcess(Process):
    """A uvicorn process with the application `watched`.

    Attributes:
        port: Its port.
    """

    def __init__(
        self, directory: Path, redis_port: int, *, follow: str = "pattern", **environment: str
    ) -> None:
        """Prepare; `follow` is `RedisBroker`'s, and `environment` has what else `watched` reads."""
        self.port = free_port()
        super().__init__(
            directory,
            f"node-{self.port}",
            [
                sys.executable,
                "-m",
                "uvicorn",
                "watched:app",
                "--port",
                str(self.port),
                "--no-access-log",
            ],
            cwd=APPS,
            env={
                **os.environ,
                "PYTHONPATH": f"{APPS}:{ROOT}",
                "REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
                "FOLLOW": follow,
                **environment,
            },
        )
        self._http = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False
        )

    async def start(self) -> None:
        self.spawn()
        await until(self._answers, f"node {self.port} answers")

    async def close(self) -> None:
        await self._http.aclose()
        self.reap()

    def complaints(self) -> list[str]:
        """The unexplained errors in its log."""
        log = self.log_path.read_text(errors="replace")
        errors = re.findall(r"^(?:ERROR: |Task ).*$", log, flags=re.MULTILINE)
        causes = re.findall(r"^\w[\w.]*(?:Error|Exception)\b.*$", log, flags=re.MULTILINE)
        return [f"a node logged {line}" for line in dict.fromkeys((*errors, *causes))]

    async def get(self, path: str) -> Any:
        return (await self._http.get(path)).raise_for_status().json()

    async def post(self, path: str, body: Any = None) -> Any:
        return (await self._http.post(path, json=body)).raise_for_status().json()

    async def _answers(self) -> bool:
        assert self.is_running, self.log_path.read_text(errors="replace")
        with contextlib.suppress(httpx2.HTTPError):
            return bool(await self.get("/watch"))
        return False
