"""Tables from a result file: for the terminal, and for the documents. Pure but for `print`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .results import FLOOR, OURS, Results, Spread

FIGURES_BEGIN = "<!-- figures: made by `make bench`, not by hand -->"
FIGURES_END = "<!-- end of figures -->"
NO_RESULTS = "No result file is committed yet."
PLOT_NAME = "performance.svg"

# beyond it, a wall-clock figure may be the load client's
_BUSY_CLIENT = 0.9
# ratios below have a decimal
_PRECISE = 10


@dataclass(frozen=True)
class Figure:
    """What a column shows.

    Attributes:
        name: As in the rows.
        title: Over the column.
        scale: What it is multiplied by for display.
    """

    name: str
    title: str
    scale: float = 1.0


@dataclass(frozen=True)
class Table:
    """How a workload is shown; its first figure is the one that is compared.

    Attributes:
        workload: Its name in the rows.
        title: What it does; `{size}` is filled in.
        figures: Its columns.
        is_per_size: Whether sizes are rows of one table.
    """

    workload: str
    title: str
    figures: tuple[Figure, ...]
    is_per_size: bool = False


_CPU = Figure("cpu_us", "CPU µs")
_USER = Figure("user_us", "user µs")
_RATE = Figure("deliveries_per_s", "deliveries/s")
_P50 = Figure("p50_ms", "p50 ms")
_P99 = Figure("p99_ms", "p99 ms")
_LAST = Figure("last_ms", "last ms")
_LOAD = Figure("client_busy", "client CPU %", 100)

TABLES = (
    Table(
        "fanout",
        "One channel, {size} sessions, event by event",
        (_CPU, _USER, _RATE, _P50, _P99, _LAST, _LOAD),
    ),
    Table(
        "burst",
        "One channel, {size} sessions, bursts of publishes by POST",
        (_RATE, _CPU, _USER, _P50, _P99, _LOAD),
    ),
    Table(
        "channels",
        "{size} channels, one session each",
        (_CPU, _USER, _RATE, _P50, _P99, _LOAD),
    ),
    Table(
        "idle",
        "{size} idle sessions",
        (
            Figure("kib", "KiB/session"),
            Figure("connects_per_s", "connects/s"),
            Figure("connect_us", "CPU µs/connect"),
            Figure("tasks", "tasks/session"),
            Figure("collection_ms", "full collection ms"),
        ),
    ),
    Table(
        "last",
        "One event at a time to {size} sessions",
        (_LAST, _CPU, _RATE, _P50, _LOAD),
    ),
    Table(
        "deploy",
        "A server with {size} sessions is replaced",
        (
            Figure("all_back_s", "all back s"),
            Figure("down_p50_s", "away p50 s"),
            Figure("down_p99_s", "away p99 s"),
            Figure("down_max_s", "away worst s"),
            Figure("busiest_tenth", "% in busiest 0.1 s", 100),
            Figure("server_gone_s", "server gone s"),
            Figure("events", "events, none lost"),
        ),
    ),
    Table(
        "redis",
        "Through Redis, {size} node(s), events of channels without a stream there",
        (
            _CPU,
            _USER,
            Figure("events_per_s", "events/s and core"),
            Figure("redis_us", "Redis CPU µs"),
        ),
    ),
    Table(
        "redis-streams",
        "Through Redis, {size} node(s), each event also delivered to a stream",
        (
            _CPU,
            _USER,
            Figure("events_per_s", "events/s and core"),
            Figure("redis_us", "Redis CPU µs"),
        ),
    ),
    Table(
        "growth-sessions",
        "CPU per delivery by sessions, without the publish",
        (_CPU, Figure("publish_us", "publish µs"), _LAST, _LOAD),
        is_per_size=True,
    ),
    Table(
        "growth-channels",
        "CPU per publish by channels",
        (_CPU,),
        is_per_size=True,
    ),
)


@dataclass(frozen=True)
class Target:
    """A bound on one figure.

    Attributes:
        text: What is bounded.
        bound: The bound.
        is_upper: Whether the figure has to be at most that, or at least.
        measured: Finds the figure.
    """

    text: str
    bound: float
    measured: Callable[[Results], Spread | None]
    is_upper: bool = True


def _ratio(workload: str, figure: str, other: str) -> Callable[[Results], Spread | None]:
    def measured(results: Results) -> Spread | None:
        sizes = results.sizes(workload)
        return results.ratio(workload, sizes[-1], OURS, other, figure) if sizes else None

    return measured


def _above_floor(results: Results) -> Spread | None:
    sizes = results.sizes("redis")
    return results.difference("redis", sizes[0], OURS, FLOOR, "cpu_us") if sizes else None


def _growth(workload: str) -> Callable[[Results], Spread | None]:
    return lambda results: results.growth(workload, OURS, "cpu_us")


TARGETS = (
    Target("CPU per delivery / nchan", 1.2, _ratio("fanout", "cpu_us", "nchan")),
    Target("CPU per delivery / better-sse", 0.6, _ratio("fanout", "cpu_us", "better-sse")),
    Target("CPU per delivery / sse-starlette", 0.27, _ratio("fanout", "cpu_us", "sse-starlette")),
    Target(
        "burst deliveries per second / nchan",
        6,
        _ratio("burst", "deliveries_per_s", "nchan"),
        is_upper=False,
    ),
    Target(
        "burst deliveries per second / better-sse",
        11,
        _ratio("burst", "deliveries_per_s", "better-sse"),
        is_upper=False,
    ),
    Target("memory per idle session / nchan", 1.1, _ratio("idle", "kib", "nchan")),
    Target("memory per idle session / sse-starlette", 0.22, _ratio("idle", "kib", "sse-starlette")),
    Target("last delivery / nchan", 1.0, _ratio("last", "last_ms", "nchan")),
    Target("Redis subscriber: CPU µs per event above the parser", 1.0, _above_floor),
    Target("CPU per delivery, most sessions / fewest", 1.2, _growth("growth-sessions")),
    Target("CPU per publish, most channels / fewest", 1.2, _growth("growth-channels")),
)


def print_report(results: Results) -> None:
    """Print every table, the targets, and what failed or was left out."""
    print("\n\n".join(report_parts(results)))


def report_parts(results: Results) -> list[str]:
    """Return the parts of the report."""
    parts = [_about(results)]
    for table in TABLES:
        sizes = results.sizes(table.workload)
        if table.is_per_size and sizes:
            parts.append(f"{table.title}\n{_by_size(results, table, sizes)}")
        elif not table.is_per_size:
            parts += [
                f"{table.title.format(size=whole(size))}\n{_by_server(results, table, size)}"
                for size in sizes
            ]
    parts.append(_targets(results))
    parts += [f"left out: {name}: {why}" for name, why in results.left_out.items()]
    parts += [
        f"FAILED, not counted: {row.workload} of {row.server} in round {row.round + 1}: "
        f"{row.failure}"
        for row in results.failures()
    ]
    return parts


def _about(results: Results) -> str:
    machine, versions = (
        ", ".join(f"{name} {value}" for name, value in found.items())
        for found in (results.machine, results.versions)
    )
    return f"{results.date}\n{machine}\n{versions}"


def _by_server(results: Results, table: Table, size: int) -> str:
    compared = table.figures[0]
    head = ["server", *(figure.title for figure in table.figures), f"ours / its {compared.title}"]
    lines = []
    for server in results.servers(table.workload, size):
        cells = [_shown(results, table, size, server, figure) for figure in table.figures]
        ratio = results.ratio(table.workload, size, OURS, server, compared.name)
        lines.append([server, *cells, "" if server == OURS or ratio is None else spread(ratio)])
    return _aligned([head, *lines])


def _by_size(results: Results, table: Table, sizes: Sequence[int]) -> str:
    lines = [["server", "size", *(figure.title for figure in table.figures)]]
    for server in results.servers(table.workload):
        for size in sizes:
            cells = (_shown(results, table, size, server, figure) for figure in table.figures)
            lines.append([server, whole(size), *cells])
    return _aligned(lines)


def _shown(results: Results, table: Table, size: int, server: str, figure: Figure) -> str:
    found = results.figure(table.workload, size, server, figure.name)
    if found is None:
        return "-"
    scaled = found.times(figure.scale)
    if figure is _LOAD:
        return number(scaled.median) + (" (!)" if found.median > _BUSY_CLIENT else "")
    return spread(scaled) if figure is table.figures[0] else number(scaled.median)


def _targets(results: Results) -> str:
    lines = [["target", "bound", "measured", ""]]
    for target in TARGETS:
        found = target.measured(results)
        sign = "<=" if target.is_upper else ">="
        if found is None:
            lines.append([target.text, f"{sign} {target.bound:g}", "-", "not measured"])
            continue
        holds = (found.median <= target.bound) == target.is_upper or found.median == target.bound
        verdict = "holds" if holds else "missed"
        lines.append([target.text, f"{sign} {target.bound:g}", spread(found), verdict])
    return _aligned(lines)


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if not position else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def number(value: float) -> str:
    """Write three significant digits, and all before the point."""
    decimals = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:,.{decimals}f}".replace(",", " ")


def whole(value: int) -> str:
    """Write a count."""
    return f"{value:,}".replace(",", " ")


def spread(found: Spread) -> str:
    """Write a median with its range."""
    if found.rounds == 1:
        return f"{number(found.median)}"
    return f"{number(found.median)} [{number(found.least)}-{number(found.most)}]"


# ---- the documents ------------------------------------------------------------------------


def page_figures(results: Results | None, file_name: str = "") -> str:
    """Return what stands between the two marks of the page about performance.

    Every number in it comes from the result file.
    """
    if results is None:
        return NO_RESULTS
    return "\n\n".join(
        part
        for part in (
            f"![The figures below as bars]({PLOT_NAME})",
            _page_table(results),
            _page_growth(results),
            _page_deploy(results),
            _page_source(results, file_name),
        )
        if part
    )


def headline(results: Results | None) -> str:
    """Return what stands between the two marks of the README: the figures in a line."""
    if results is None:
        return NO_RESULTS
    found = [
        text.format(figure=number(figure.median), size=whole(size))
        for workload, name, text in _HEADLINE
        for size in results.sizes(workload)[-1:]
        if (figure := results.figure(workload, size, OURS, name)) is not None
    ]
    return f"{', '.join(found)}."


def replaced_figures(document: str, figures: str) -> str:
    """Return a document with other figures.

    Raises:
        ValueError: The marks are not there.
    """
    pattern = re.compile(f"{re.escape(FIGURES_BEGIN)}\n.*?{re.escape(FIGURES_END)}", re.DOTALL)
    replaced, count = pattern.subn(lambda _: f"{FIGURES_BEGIN}\n{figures}\n{FIGURES_END}", document)
    if count != 1:
        raise ValueError(f"it needs {FIGURES_BEGIN} once, and {FIGURES_END} after it")
    return replaced


def figures_in(document: str) -> str:
    """Return what stands between the marks.

    Raises:
        ValueError: The marks are not there.
    """
    begin, end = document.index(FIGURES_BEGIN) + len(FIGURES_BEGIN), document.index(FIGURES_END)
    return document[begin:end].strip("\n")


@dataclass(frozen=True)
class _Column:
    workload: str
    figure: str
    title: str
    unit: str
    is_less_better: bool = True


_COLUMNS = (
    _Column("fanout", "cpu_us", "CPU per delivery", "µs"),
    _Column("fanout", "last_ms", "last of {size}", "ms"),
    _Column("burst", "deliveries_per_s", "deliveries in bursts", "per s", is_less_better=False),
    _Column("idle", "kib", "memory per session", "KiB"),
    _Column("last", "last_ms", "last of {size}", "ms"),
)


_HEADLINE = (
    ("fanout", "cpu_us", "{figure} µs of CPU for each delivery to {size} streams"),
    ("burst", "deliveries_per_s", "{figure} deliveries per second in bursts"),
    ("idle", "kib", "{figure} KiB for each idle stream"),
)


def _page_table(results: Results) -> str:
    columns = [column for column in _COLUMNS if results.sizes(column.workload)]
    sizes = {column: results.sizes(column.workload)[-1] for column in columns}
    titles = [
        f"{column.title.format(size=whole(sizes[column]))}, {column.unit}" for column in columns
    ]
    lines = [["", *titles], ["---", *("---:" for _ in columns)]]
    for server in results.servers("fanout"):
        name = f"**{server}**" if server == OURS else server
        cells = [_cell(results, column, sizes[column], server) for column in columns]
        lines.append([name, *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(results: Results, column: _Column, size: int, server: str) -> str:
    found = results.figure(column.workload, size, server, column.figure)
    if found is None:
        return "-"
    pair = (server, OURS) if column.is_less_better else (OURS, server)
    ratio = results.ratio(column.workload, size, *pair, column.figure)
    if server == OURS or ratio is None:
        return number(found.median)
    return f"{number(found.median)} ({ratio.median:.{1 if ratio.median < _PRECISE else 0}f})"


def _page_growth(results: Results) -> str:
    sentences = []
    for workload, subject in (
        ("growth-sessions", "CPU per delivery by sessions of a channel"),
        ("growth-channels", "CPU per publish by channels"),
    ):
        for server in results.servers(workload):
            whose = "" if server == OURS else f" ({server})"
            sentences.append(f"{subject}{whose}: {_steps(results, workload, server)}.")
    if heard := results.figure("redis", 1, OURS, "cpu_us"):
        sentences.append(
            f"Hearing of an event through Redis: {number(heard.median)} µs of CPU, where its "
            "channel has no stream."
        )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _page_deploy(results: Results) -> str:
    for size in results.sizes("deploy"):
        names = ("all_back_s", "down_p50_s", "busiest_tenth", "events")
        figures = {name: results.figure("deploy", size, OURS, name) for name in names}
        found = {name: value.median for name, value in figures.items() if value is not None}
        if len(found) == len(names):
            return (
                f"A deploy under {whole(size)} sessions, with Redis: half are back after "
                f"{number(found['down_p50_s'])} s and all after {number(found['all_back_s'])} s, "
                f"{number(found['busiest_tenth'] * 100)} % of them in the busiest tenth of a "
                f"second; none of {whole(int(found['events']))} events was lost on any."
            )
    return ""


def _steps(results: Results, workload: str, server: str) -> str:
    sizes = results.sizes(workload)
    found = [(size, results.figure(workload, size, server, "cpu_us")) for size in sizes]
    return ", ".join(
        f"{number(step.median)} µs at {whole(size)}" for size, step in found if step is not None
    )


def _page_source(results: Results, file_name: str) -> str:
    machine, versions = results.machine, results.versions
    shown = ", ".join(
        f"{name} {versions[name]}"
        for name in ("python", "uvicorn", "sse-starlette", "fastapi", "litestar", "broadcaster",
                     "better-sse", "node", "libnginx-mod-nchan")
        if name in versions
    )  # fmt: skip
    about = (
        f"{results.date[:10]}, {machine['cpu']}, {machine['cpus']} CPUs, "
        f"Linux {machine['kernel']}; {shown}."
    )
    return (
        f"{about} Medians over rounds; in brackets how many times better this library was in the "
        f"same round, less than one where it was worse. All rows: "
        f"`benchmarks/results/{file_name}`.{_page_gaps(results)}"
    )


def _page_gaps(results: Results) -> str:
    """Say what is missing from the figures."""
    gaps = []
    if failed := results.failures():
        servers = ", ".join(dict.fromkeys(row.server for row in failed))
        gaps.append(f" Not counted: {len(failed)} of {len(results.rows)} runs ({servers}).")
    if results.left_out:
        gaps.append(f" Left out: {', '.join(results.left_out)}.")
    return "".join(gaps)
