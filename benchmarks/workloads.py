"""What the servers are put through. Each function runs one server once and records its rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Any

from .load import LoadClient, check
from .peers import CACHE, Peer, Server
from .processes import BenchmarkError, Cpu, Pinned
from .results import Recorder, Row
from .servers.events import TEXT, event_json

BURST_WINDOW = 64
_WARM_UP_EVENTS = 5
_COLLECTIONS = 3
_SILENT_PUBLISHES = 500
_SETTLED_KIB = 128


@dataclass(frozen=True)
class Scale:
    """How much of everything; times are in seconds."""

    rounds: int
    sessions: int
    closed_seconds: float
    burst_events: int
    channels: int
    spread_events: int
    idle_sessions: tuple[int, ...]
    last_events: int
    deploy_sessions: int
    growth_sessions: tuple[int, ...]
    growth_channels: tuple[int, ...]
    growth_events: int
    nodes: tuple[int, ...]
    redis_events: int


FULL = Scale(
    rounds=5,
    sessions=1_000,
    closed_seconds=3,
    burst_events=250,
    channels=1_000,
    spread_events=20_000,
    idle_sessions=(5_000, 9_900),
    last_events=20,
    deploy_sessions=2_000,
    growth_sessions=(100, 300, 1_000, 3_000, 9_900),
    growth_channels=(1, 10, 100, 1_000, 10_000, 100_000),
    growth_events=100_000,
    nodes=(1, 2, 3),
    redis_events=100_000,
)
QUICK = Scale(
    rounds=1,
    sessions=300,
    closed_seconds=0.5,
    burst_events=100,
    channels=300,
    spread_events=3_000,
    idle_sessions=(500, 1_000),
    last_events=3,
    deploy_sessions=200,
    growth_sessions=(100, 300, 1_000),
    growth_channels=(1, 100, 10_000),
    growth_events=10_000,
    nodes=(1, 2),
    redis_events=20_000,
)


@dataclass(frozen=True)
class Run:
    """One server in one round.

    Attributes:
        peer: The server.
        round: Which round.
        scale: How much of everything.
        selected: The workloads asked for.
        record: Takes the rows.
        sseload: The load client's program.
    """

    peer: Peer
    round: int
    scale: Scale
    selected: frozenset[str]
    record: Recorder
    sseload: Path

    def row(
        self,
        workload: str,
        size: int,
        measure: Callable[[], dict[str, float]],
        *,
        server: str | None = None,
    ) -> None:
        """Measure and record, also that it could not be counted.

        Raises:
            BenchmarkError: It could not; the server is in an unknown state.
        """
        name = server or self.peer.name
        try:
            figures = measure()
        except BenchmarkError as error:
            self.record(Row(workload, size, name, self.round, failure=str(error)))
            raise
        rounded = {name: float(f"{value:.6g}") for name, value in figures.items()}
        self.record(Row(workload, size, name, self.round, rounded))

    def fitting(self, events: int, *, at_least: int = 1) -> int:
        """Take fewer events for a server that would take too long for them."""
        return max(at_least, int(events / max(1.0, self.peer.relative_cost)))

    @contextmanager
    def server(self, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
        with Server(self.peer, environment) as server:
            yield server

    @contextmanager
    def load(self, server: Server, *, channels: int = 1) -> Iterator[LoadClient]:
        log = CACHE / "sseload.log"
        with LoadClient(self.sseload, server.port, channels=channels, log=log) as load:
            yield load


def many_sessions(run: Run) -> None:
    """One channel with many sessions: event by event, then in bursts."""
    sessions = run.scale.sessions
    with run.server() as server, run.load(server) as load:
        load.connect(sessions)
        load.closed(_WARM_UP_EVENTS, 10)

        def fanout() -> dict[str, float]:
            return _delivered(server, lambda: load.closed(10_000, run.scale.closed_seconds))

        def burst() -> dict[str, float]:
            events = run.fitting(run.scale.burst_events)
            return _delivered(server, lambda: load.burst(events, BURST_WINDOW))

        if "fanout" in run.selected:
            run.row("fanout", sessions, fanout)
        if "burst" in run.selected:
            run.row("burst", sessions, burst)


def many_channels(run: Run) -> None:
    """Many channels with one session each, published from inside where a server can."""
    channels = run.scale.channels
    events = run.fitting(run.scale.spread_events, at_least=channels)
    events -= events % channels
    with run.server() as server, run.load(server, channels=channels) as load:
        load.connect(channels)

        def spread() -> dict[str, Any]:
            if not run.peer.has_control:
                return load.burst(events, BURST_WINDOW)
            load.begin(f"expect {events}")
            server.control(f"spread {events} {channels}")
            return load.answer()

        run.row("channels", channels, lambda: _delivered(server, spread))


def idle_sessions(run: Run) -> None:
    """Sessions to which nothing is sent, then one event at a time to all of them."""
    with run.server() as server, run.load(server) as load:
        before = _settled_memory(server)
        for sessions in run.scale.idle_sessions:

            def idle(sessions: int = sessions) -> dict[str, float]:
                began = server.cpu()
                opened = sessions - _opened(run.scale.idle_sessions, sessions)
                per_second = load.connect(sessions)
                cpu = server.cpu().since(began)
                figures = {
                    "connects_per_s": per_second,
                    "connect_us": cpu.total / opened * 1e6,
                    "kib": (_settled_memory(server) - before) / sessions,
                }
                if run.peer.has_control and run.peer.alias != "better-sse":
                    figures["tasks"] = server.control("tasks") / sessions
                    pauses = [server.control("collect") for _ in range(_COLLECTIONS)]
                    figures["collection_ms"] = median(pauses)
                return figures

            if "idle" in run.selected:
                run.row("idle", sessions, idle)
            else:
                load.connect(sessions)

        def last() -> dict[str, float]:
            events = run.fitting(run.scale.last_events)
            return _delivered(server, lambda: load.closed(events, 60))

        if "last" in run.selected:
            load.closed(1, 60)
            run.row("last", run.scale.idle_sessions[-1], last)


def growing_sessions(run: Run) -> None:
    """More and more sessions on one channel."""
    with run.server() as server, run.load(server) as load:
        publish_us = _publish_us(server)
        for sessions in run.scale.growth_sessions:
            load.connect(sessions)
            load.closed(_WARM_UP_EVENTS, 10)

            def grown(sessions: int = sessions) -> dict[str, float]:
                seconds = run.scale.closed_seconds / 2
                figures = _delivered(server, lambda: load.closed(10_000, seconds))
                # a request for each event weighs much with few sessions, little with many
                figures["cpu_us"] -= publish_us / sessions
                figures["publish_us"] = publish_us
                return figures

            run.row("growth-sessions", sessions, grown)


def growing_channels(run: Run) -> None:
    """Publishing to more and more channels, all of which keep their history."""
    with run.server({"BENCHMARK_BROKER": "memory://keep-all"}) as server:
        for channels in run.scale.growth_channels:
            # so that every channel is there before it is measured
            server.control(f"spread {channels} {channels}")

            def grown(channels: int = channels) -> dict[str, float]:
                events = run.scale.growth_events
                began = server.cpu()
                server.control(f"spread {events} {channels}")
                return {"cpu_us": server.cpu().since(began).total / events * 1e6}

            run.row("growth-channels", channels, grown)


def _delivered(server: Pinned, deliver: Callable[[], dict[str, Any]]) -> dict[str, float]:
    began, began_at = server.cpu(), time.monotonic()
    answer = deliver()
    cpu, seconds = server.cpu().since(began), time.monotonic() - began_at
    check(answer)
    return delivery_figures(answer, cpu, seconds)


def delivery_figures(answer: dict[str, Any], cpu: Cpu, seconds: float) -> dict[str, float]:
    """Derive the figures of a run in which everything arrived."""
    deliveries = answer["deliveries"]
    figures = {
        "cpu_us": cpu.total / deliveries * 1e6,
        "user_us": cpu.user / deliveries * 1e6,
        "deliveries_per_s": deliveries / answer["seconds"],
        "p50_ms": answer["p50_ms"],
        "p99_ms": answer["p99_ms"],
        "deliveries": deliveries,
        "server_busy": cpu.total / seconds,
        "client_busy": answer["client_cpu_seconds"] / answer["seconds"],
    }
    if "last_ms" in answer:
        figures["last_ms"] = answer["last_ms"]
    return figures


def _publish_us(server: Server) -> float:
    """Measure the CPU of a publish by POST that nobody hears."""
    connection = HTTPConnection("127.0.0.1", server.port)
    body = event_json(0, 0, TEXT)
    began = Cpu(0, 0)
    for number in range(-_WARM_UP_EVENTS, _SILENT_PUBLISHES):
        if not number:
            began = server.cpu()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/publish/nobody", body, headers)
        connection.getresponse().read()
    cpu = server.cpu().since(began)
    connection.close()
    return cpu.total / _SILENT_PUBLISHES * 1e6


def _opened(steps: tuple[int, ...], sessions: int) -> int:
    """Return how many sessions were there before this step."""
    return max((step for step in steps if step < sessions), default=0)


def _settled_memory(server: Pinned) -> float:
    """Wait until a server's memory stays as it is."""
    memory = server.memory_kib()
    for _ in range(10):
        time.sleep(0.3)
        later = server.memory_kib()
        if abs(later - memory) < _SETTLED_KIB:
            break
        memory = later
    return server.memory_kib()
