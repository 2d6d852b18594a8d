"""Processes pinned to one CPU, and what they used of it."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

SERVER_CPU = 0
CLIENT_CPU = 1

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024
_START_SECONDS = 30.0
_ANSWER_SECONDS = 240.0
# what `docker stop` waits before it kills
GRACE_SECONDS = 10.0


class BenchmarkError(Exception):
    """A run that cannot be counted."""


class Cpu(NamedTuple):
    """Seconds of CPU that all threads of a process and its children used.

    Attributes:
        total: From the scheduler's own clock, in nanoseconds.
        user: From ticks, so good to some 10 ms only.
    """

    total: float
    user: float

    def since(self, began: Cpu) -> Cpu:
        return Cpu(self.total - began.total, self.user - began.user)


class Pinned:
    """A process and its children on one CPU."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cpu: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        is_piped: bool = False,
    ) -> None:
        self.log = log
        pipe = subprocess.PIPE if is_piped else subprocess.DEVNULL
        with log.open("wb") as errors:
            self.popen = subprocess.Popen(
                # it ends with us, however we end
                ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(cpu), *command],
                bufsize=0,
                stdin=pipe,
                stdout=pipe if is_piped else errors,
                stderr=errors,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.kill()

    def cpu(self) -> Cpu:
        total = user = 0.0
        for pid in self._family():
            for task in Path(f"/proc/{pid}/task").iterdir():
                # a thread may end between the listing and the look
                with suppress(FileNotFoundError, ProcessLookupError):
                    total += int((task / "schedstat").read_text().split()[0]) / 1e9
            with suppress(FileNotFoundError, ProcessLookupError):
                user += int(_fields(pid, "stat")[11]) * _TICK_SECONDS
        return Cpu(total, user)

    def memory_kib(self) -> float:
        """Resident memory; what processes share cancels out in a difference."""
        return sum(int(_fields(pid, "statm")[1]) * _PAGE_KIB for pid in self._family())

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.popen.pid, number)

    def stop(self) -> float:
        """End it as an orchestrator does, and return after how many seconds it was gone."""
        began = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        return time.monotonic() - began

    def kill(self) -> None:
        # its session is its process group, so that workers go with it
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        for pipe in (self.popen.stdin, self.popen.stdout):
            if pipe is not None:
                pipe.close()

    def wait_for_port(self, port: int) -> None:
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end:
            if self.popen.poll() is not None:
                raise BenchmarkError(f"ended at its start: {self.last_words()}")
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        raise BenchmarkError(f"does not listen on port {port}: {self.last_words()}")

    def read_line(self) -> str:
        """Read a line of its output.

        Raises:
            BenchmarkError: It ended, or says nothing.
        """
        assert self.popen.stdout is not None
        # unbuffered, so that what select sees is what is there
        if not select.select([self.popen.stdout], [], [], _ANSWER_SECONDS)[0]:
            raise BenchmarkError(f"no answer: {self.last_words()}")
        line: bytes = self.popen.stdout.readline()
        if not line:
            raise BenchmarkError(f"it ended: {self.last_words()}")
        return line.decode()

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _family(self) -> list[int]:
        found = [self.popen.pid]
        for pid in found:
            with suppress(FileNotFoundError, ProcessLookupError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found


def _fields(pid: int, file: str) -> list[str]:
    """Return the fields after the command's name, which may hold spaces."""
    return Path(f"/proc/{pid}/{file}").read_text().rpartition(")")[2].split()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_file_limit() -> int:
    """Allow as many open files as the system lets us, here and in what is started."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
