"""The command line: installs what is measured, runs it round by round, writes the result file."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from .deploying import deploy
from .load import EVENT_BYTES, SOURCE
from .peers import CACHE, PEERS, ROOT, Peer, apt_install, run
from .plot import draw
from .processes import CLIENT_CPU, SERVER_CPU, BenchmarkError, raise_file_limit
from .report import PLOT_NAME, headline, page_figures, print_report, replaced_figures
from .results import DIRECTORY, OURS, Results, Row, newest
from .store import prepare_redis
from .subscribing import through_redis
from .workloads import (
    FULL,
    QUICK,
    Run,
    Scale,
    growing_channels,
    growing_sessions,
    idle_sessions,
    many_channels,
    many_sessions,
)

PAGE = ROOT / "docs" / "pages" / "explanation" / "performance.md"

_SPARE_FILES = 200
_QUIET_LOAD = 0.7
PART = "latest-part"


@dataclass(frozen=True)
class Stage:
    """Workloads that share one start of a server.

    Attributes:
        workloads: What it measures.
        work: Runs one server once.
        rounds: How many rounds at most.
        only: The servers that take part; all of them where it is empty.
    """

    workloads: tuple[str, ...]
    work: Callable[[Run], None]
    rounds: int
    only: tuple[str, ...] = ()


STAGES = (
    Stage(("fanout", "burst"), many_sessions, 5),
    Stage(("channels",), many_channels, 3),
    Stage(("idle", "last"), idle_sessions, 3),
    Stage(("deploy",), deploy, 2),
    Stage(("redis", "redis-streams"), through_redis, 3, only=(OURS,)),
    Stage(("growth-sessions",), growing_sessions, 3, only=(OURS, "nchan")),
    Stage(("growth-channels",), growing_channels, 3, only=(OURS,)),
)
WORKLOADS = tuple(name for stage in STAGES for name in stage.workloads)


def main() -> int:
    """Run what was asked for."""
    # so that contexts are left, which end what was started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = _options()
    if options.report or options.docs:
        return _report(options)
    if shutil.which("taskset") is None or (os.cpu_count() or 1) <= CLIENT_CPU:
        print("needs Linux, taskset and two CPUs", file=sys.stderr)
        return 1
    CACHE.mkdir(exist_ok=True)
    scale = _within(QUICK if options.quick else FULL, raise_file_limit() - _SPARE_FILES)
    results = Results(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        versions={},
        settings={"quick": options.quick, "event_bytes": EVENT_BYTES, **asdict(scale)},
        left_out={},
    )
    began = time.monotonic()
    _measure(options, scale, results)
    path = options.out or _default_path(options, results)
    results.write(path)
    print(f"\n{(time.monotonic() - began) / 60:.1f} minutes, written to {_shown(path)}\n")
    print_report(results)
    if path.stem != PART:
        draw(results, path.with_suffix(".svg"))
    return 1 if results.failures() else 0


def _measure(options: argparse.Namespace, scale: Scale, results: Results) -> None:
    sseload = _build_load_client()
    peers = _prepare([peer for peer in PEERS if peer.alias in options.only], results)
    chosen = frozenset(options.workload)
    chosen -= _without_redis(chosen, results)
    # the harness mostly sleeps; what it does must not fall on the server's CPU
    os.sched_setaffinity(0, {CLIENT_CPU})
    if (load := os.getloadavg()[0]) > _QUIET_LOAD:
        print(f"the machine is busy (load {load:.1f}): no figures to keep", flush=True)
    for stage in STAGES:
        if chosen.intersection(stage.workloads):
            _run_stage(
                stage,
                peers,
                scale=_with_rounds(scale, stage, options.rounds),
                chosen=chosen,
                sseload=sseload,
                results=results,
            )
            # what was measured so far survives an interruption, but not as a whole run
            results.write(DIRECTORY / f"{PART}.json")


def _with_rounds(scale: Scale, stage: Stage, wanted: int | None) -> Scale:
    """Return the scale with the rounds of a stage."""
    return replace(scale, rounds=wanted or min(scale.rounds, stage.rounds))


def _run_stage(
    stage: Stage,
    peers: Sequence[Peer],
    *,
    scale: Scale,
    chosen: frozenset[str],
    sseload: Path,
    results: Results,
) -> None:
    taking_part = [peer for peer in peers if not stage.only or peer.name in stage.only]

    def record(row: Row) -> None:
        results.rows.append(row)
        print(_line(row), flush=True)

    for number in range(scale.rounds):
        # another one begins each time, so that no server always follows the same one
        start = number % max(1, len(taking_part))
        for peer in (*taking_part[start:], *taking_part[:start]):
            known = len(results.rows)
            try:
                stage.work(Run(peer, number, scale, chosen, record, sseload))
            except (BenchmarkError, OSError, TimeoutError) as error:
                # a failure inside a workload is on record already
                if len(results.rows) == known or results.rows[-1].failure is None:
                    record(Row(stage.workloads[0], 0, peer.name, number, failure=str(error)))


def _line(row: Row) -> str:
    head = f"{row.round + 1} {row.workload:<16}{row.size:>7} {row.server:<22}"
    if row.failure is not None:
        return f"{head}FAILED: {row.failure}"
    return head + " ".join(f"{name}={value:.4g}" for name, value in row.figures.items())


def _prepare(peers: Sequence[Peer], results: Results) -> list[Peer]:
    ready = []
    for peer in peers:
        try:
            results.versions.update(peer.prepare())
            ready.append(peer)
        except BenchmarkError as error:
            results.left_out[peer.name] = str(error)
            print(f"left out: {peer.name} ({error})", flush=True)
    results.versions["python"] = platform.python_version()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    results.versions["commit"] = commit.stdout.strip()
    return ready


def _without_redis(chosen: frozenset[str], results: Results) -> frozenset[str]:
    """Install Redis where it is needed, and return the workloads that it leaves out."""
    needing = chosen & {"redis", "redis-streams", "deploy"}
    try:
        if needing:
            results.versions.update(prepare_redis())
    except BenchmarkError as error:
        results.left_out["Redis"] = str(error)
        print(f"left out: {', '.join(sorted(needing))} ({error})", flush=True)
        return needing
    return frozenset()


def _build_load_client() -> Path:
    if shutil.which("gcc") is None:
        apt_install("gcc", "libc6-dev")
    program = CACHE / "sseload"
    run(["gcc", "-O2", "-std=gnu11", "-Wall", "-o", str(program), str(SOURCE)])
    return program


def _within(scale: Scale, limit: int) -> Scale:
    """Take no more sessions than files may be open."""
    if max(scale.idle_sessions) > limit:
        print(f"the limit of open files allows {limit} sessions: ulimit -Hn", flush=True)
    idle = tuple(dict.fromkeys(min(size, limit) for size in scale.idle_sessions))
    growth = tuple(dict.fromkeys(min(size, limit) for size in scale.growth_sessions))
    return replace(scale, idle_sessions=idle, growth_sessions=growth)


def _machine() -> dict[str, str]:
    model = next(
        (line.split(":")[1] for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    memory = next(line.split()[1] for line in _lines("/proc/meminfo") if "MemTotal" in line)
    return {
        "cpu": model.strip(),
        "cpus": str(os.cpu_count()),
        "memory": f"{int(memory) / 1024**2:.0f} GiB",
        "kernel": platform.release(),
        "pinned": f"server on CPU {SERVER_CPU}, load client and Redis on CPU {CLIENT_CPU}",
        "load_at_start": f"{os.getloadavg()[0]:.2f}",
    }


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _default_path(options: argparse.Namespace, results: Results) -> Path:
    is_whole = options.workload == list(WORKLOADS) and len(options.only) == len(PEERS)
    if options.quick or not is_whole:
        # looks while developing; the documents speak of whole runs
        return DIRECTORY / f"{PART}.json"
    return DIRECTORY / f"{results.date[:16].replace(':', '')}.json"


def _shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _report(options: argparse.Namespace) -> int:
    """Show a result file instead of making one."""
    path = options.out or newest()
    if path is None:
        print("no result file in benchmarks/results", file=sys.stderr)
        return 1
    results = Results.read(path)
    print_report(results)
    draw(results, path.with_suffix(".svg"))
    if options.docs:
        draw(results, PAGE.with_name(PLOT_NAME))
        for document, figures in (
            (PAGE, page_figures(results, path.name)),
            (ROOT / "README.md", headline(results)),
        ):
            document.write_text(replaced_figures(document.read_text(), figures))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, one round: does it work")
    parser.add_argument(
        "--only", type=_names({peer.alias for peer in PEERS}), help="servers, such as ours,nchan"
    )
    parser.add_argument(
        "--workload", type=_names(set(WORKLOADS)), help="such as fanout,burst; all by default"
    )
    parser.add_argument("--rounds", type=int, help="of everything; by default 2 to 5")
    parser.add_argument("--out", type=Path, help="the result file")
    parser.add_argument(
        "--report", action="store_true", help="only show the result file, the newest by default"
    )
    parser.add_argument("--docs", action="store_true", help="likewise, and fill the documentation")
    options = parser.parse_args()
    options.only = options.only or [peer.alias for peer in PEERS]
    options.workload = options.workload or list(WORKLOADS)
    return options


def _names(known: set[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - known:
            raise argparse.ArgumentTypeError(
                f"{', '.join(sorted(unknown))} not among {', '.join(sorted(known))}"
            )
        return found

    return names
