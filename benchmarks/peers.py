"""The servers, and how each is installed and started."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from .processes import SERVER_CPU, BenchmarkError, Pinned, free_port
from .results import OURS

ROOT = Path(__file__).parent.parent
SERVERS = Path(__file__).parent / "servers"
CACHE = Path(__file__).parent / ".cache"

# what better-sse asks for
_NODE_MAJOR = 20
_NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


@dataclass(frozen=True)
class Peer:
    """A server under test.

    Attributes:
        name: As in tables and result files.
        alias: For the command line.
        command: Makes the command from port, control port and a directory of its own.
        prepare: Installs it, and returns the versions it consists of.
        has_control: Whether it takes commands on a second port.
        relative_cost: Roughly what a delivery costs beside sse-starlette's; workloads that take
            too long are made smaller by it.
        environment: Added to that of its process.
    """

    name: str
    alias: str
    command: Callable[[int, int, Path], list[str]]
    prepare: Callable[[], dict[str, str]]
    has_control: bool = True
    relative_cost: float = 1.0
    environment: Mapping[str, str] = field(default_factory=dict)


class Server(Pinned):
    """A running peer."""

    def __init__(self, peer: Peer, environment: Mapping[str, str] | None = None) -> None:
        self.port, control_port = free_port(), free_port()
        directory = CACHE / f"{peer.alias}-{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._control: socket.socket | None = None
        super().__init__(
            peer.command(self.port, control_port, directory),
            cpu=SERVER_CPU,
            log=CACHE / f"{peer.alias}.log",
            environment={**peer.environment, **(environment or {})},
        )
        try:
            self.wait_for_port(self.port)
            if peer.has_control:
                self._control = socket.create_connection(("127.0.0.1", control_port), 60)
        except BaseException:
            self.kill()
            raise

    def control(self, command: str) -> float:
        """Run a command inside the server, and return its answer."""
        assert self._control is not None
        self._control.sendall(f"{command}\n".encode())
        answer = self._control.makefile("r").readline()
        if not answer:
            raise BenchmarkError(f"{command!r} failed: {self.last_words()}")
        return float(answer)

    def kill(self) -> None:
        if self._control is not None:
            self._control.close()
        super().kill()
        shutil.rmtree(self._directory, ignore_errors=True)


def _python(module: str) -> Callable[[int, int, Path], list[str]]:
    def command(port: int, control_port: int, _: Path) -> list[str]:
        runner = [sys.executable, "-m", "benchmarks.servers.run"]
        return [*runner, module, str(port), str(control_port)]

    return command


def _node(port: int, control_port: int, _: Path) -> list[str]:
    return ["node", str(SERVERS / "better_sse/server.mjs"), str(port), str(control_port)]


def _nginx(port: int, _: int, directory: Path) -> list[str]:
    text = (SERVERS / "nchan.conf").read_text()
    configuration = directory / "nginx.conf"
    user = "user root;\n" if os.geteuid() == 0 else ""
    text = text.replace("PORT", str(port)).replace("DIRECTORY", str(directory))
    configuration.write_text(user + text)
    return ["nginx", "-e", "stderr", "-p", str(directory), "-c", str(configuration)]


def _distributions(*names: str) -> Callable[[], dict[str, str]]:
    """Install what is missing, one by one, so that one that cannot be had leaves the rest."""

    def prepare() -> dict[str, str]:
        for name in names:
            try:
                metadata.version(name)
            except metadata.PackageNotFoundError:
                run([sys.executable, "-m", "pip", "install", "-q", name])
        return {name: metadata.version(name) for name in names}

    return prepare


def _prepare_node() -> dict[str, str]:
    if shutil.which("node") is None or shutil.which("npm") is None:
        apt_install("nodejs", "npm")
    node = run(["node", "--version"]).strip("v\n")
    if int(node.partition(".")[0]) < _NODE_MAJOR:
        raise BenchmarkError(f"needs Node {_NODE_MAJOR}, not {node}")
    directory = SERVERS / "better_sse"
    package = directory / "node_modules/better-sse/package.json"
    if not package.exists():
        run(["npm", "ci", "--silent", "--prefix", str(directory)])
    return {"better-sse": json.loads(package.read_text())["version"], "node": node}


def _prepare_nchan() -> dict[str, str]:
    if shutil.which("nginx") is None or not _NCHAN_MODULE.exists():
        apt_install("nginx", "libnginx-mod-nchan")
    packages = ("nginx", "libnginx-mod-nchan")
    return {package: run(["dpkg-query", "-W", "-f", "${Version}", package]) for package in packages}


def run(command: list[str]) -> str:
    """Run a command of the set-up, and return what it prints.

    Raises:
        BenchmarkError: It failed; what it installs is left out.
    """
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    except FileNotFoundError as error:
        raise BenchmarkError(f"{command[0]} is not there") from error
    except subprocess.CalledProcessError as error:
        said = (error.stderr or error.stdout).strip().splitlines()
        raise BenchmarkError(f"{' '.join(command[:4])}: {said[-1] if said else error}") from error
    return done.stdout


def apt_install(*packages: str) -> None:
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    if os.geteuid() != 0:
        raise BenchmarkError(f"not there; as root: apt-get install {' '.join(packages)}")
    run(["apt-get", "update", "-qq"])
    run(["apt-get", "install", "-y", "-qq", *packages])


_prepare_ours = _distributions(
    "fastapi-sse-channels",
    "fastapi",
    "starlette",
    "pydantic",
    "uvicorn",
    "uvloop",
    "httptools",
    "redis",
    "hiredis",
)

PEERS = (
    Peer(
        OURS,
        "ours",
        _python("ours"),
        _prepare_ours,
        relative_cost=0.5,
        environment={"BENCHMARK_MIDDLEWARE": "1"},
    ),
    Peer(
        f"{OURS} (defaults)",
        "ours-defaults",
        _python("ours"),
        _prepare_ours,
        relative_cost=0.5,
    ),
    Peer(
        f"{OURS} (write_directly)",
        "ours-directly",
        _python("ours"),
        _prepare_ours,
        relative_cost=0.5,
        environment={"BENCHMARK_MIDDLEWARE": "1", "BENCHMARK_DIRECTLY": "1"},
    ),
    Peer(
        "sse-starlette",
        "sse-starlette",
        _python("sse_starlette_queue"),
        _distributions("sse-starlette"),
    ),
    Peer(
        "FastAPI",
        "fastapi",
        _python("fastapi_native"),
        _distributions("fastapi"),
        relative_cost=10,
    ),
    Peer(
        "Litestar",
        "litestar",
        _python("litestar_channels"),
        _distributions("litestar"),
    ),
    Peer(
        "broadcaster",
        "broadcaster",
        _python("broadcaster_memory"),
        _distributions("broadcaster"),
    ),
    Peer("better-sse", "better-sse", _node, _prepare_node, relative_cost=0.5),
    Peer("nchan", "nchan", _nginx, _prepare_nchan, has_control=False, relative_cost=0.25),
)
