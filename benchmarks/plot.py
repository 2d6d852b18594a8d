"""Draws a result file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from .report import number, whole
from .results import OURS, Results, Spread

# sizes from here on are written short, or they would overlap
_THOUSANDS = 10_000
_OURS_COLOUR = "#0b7a75"
_PEER_COLOUR = "#b8c0c8"
_TEXT_COLOUR = "#30363d"
_MUTED_COLOUR = "#6a737d"
# a bar longer than this many times the next one is cut, or it would flatten the others
_CUT = 2.0
_TITLE: dict[str, Any] = {"fontweight": "bold", "fontsize": 10}

mpl.rcParams.update(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.color": _TEXT_COLOUR,
        "axes.edgecolor": _PEER_COLOUR,
        "axes.labelcolor": _MUTED_COLOUR,
        "xtick.color": _MUTED_COLOUR,
        "ytick.color": _TEXT_COLOUR,
        # text stays text, and the same results give the same file
        "svg.fonttype": "none",
        "svg.hashsalt": "benchmarks",
    }
)


@dataclass(frozen=True)
class Bars:
    """One figure of one workload, for every server."""

    workload: str
    figure: str
    title: str
    unit: str
    is_less_better: bool = True


_BARS = (
    Bars("fanout", "cpu_us", "CPU per delivery", "µs"),
    Bars(
        "burst", "deliveries_per_s", "Deliveries per second in bursts", "/s", is_less_better=False
    ),
    Bars("idle", "kib", "Memory per idle session", "KiB"),
    Bars("last", "last_ms", "Last delivery to {size} sessions", "ms"),
)


def draw(results: Results, path: Path) -> None:
    """Write the figure of a result file; the suffix says in which format."""
    bars = [panel for panel in _BARS if results.sizes(panel.workload)]
    growths = [name for name in ("growth-sessions", "growth-channels") if results.sizes(name)]
    rows = (len(bars) + 1) // 2 + bool(growths)
    layout = ConstrainedLayoutEngine(w_pad=0.2, h_pad=0.12)
    figure = Figure(figsize=(10, 0.7 + 2.5 * rows), layout=layout, facecolor="white")
    grid = figure.subplots(rows, 2, squeeze=False)
    axes = [axis for row in grid for axis in row]
    for axis, panel in zip(axes, bars, strict=False):
        _draw_bars(axis, results, panel)
    rest = axes[len(bars) + len(bars) % 2 :]
    for axis, workload in zip(rest, growths, strict=False):
        _draw_growth(axis, results, workload)
    for axis in axes:
        if not axis.has_data():
            axis.set_axis_off()
    machine = f"{results.machine['cpu']}, {results.date[:10]}; lines are ranges over rounds"
    figure.supxlabel(machine, fontsize=8, color=_MUTED_COLOUR)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _draw_bars(axis: Axes, results: Results, panel: Bars) -> None:
    size = results.sizes(panel.workload)[-1]
    found = [
        (server, spread)
        for server in results.servers(panel.workload, size)
        if (spread := results.figure(panel.workload, size, server, panel.figure)) is not None
    ]
    found.sort(key=lambda entry: entry[1].median, reverse=panel.is_less_better)
    # the best is drawn last, which is on top
    end = _end_of_axis([(server, spread.median) for server, spread in found])
    for place, (server, spread) in enumerate(found):
        colour = _OURS_COLOUR if server == OURS else _PEER_COLOUR
        axis.barh(place, min(spread.median, end), 0.66, color=colour)
        _mark_bar(axis, place, spread, end)
        _label_bar(axis, place, spread, end, panel.unit, is_ours=server == OURS)
    _label_places(axis, [server for server, _ in found])
    axis.set_xlim(0, end * 1.28)
    axis.xaxis.set_visible(False)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    hint = "less is better" if panel.is_less_better else "more is better"
    axis.set_title(panel.title.format(size=whole(size)), loc="left", pad=18, **_TITLE)
    axis.text(0, 1.04, hint, transform=axis.transAxes, fontsize=8, color=_MUTED_COLOUR)


def _mark_bar(axis: Axes, place: int, spread: Spread, end: float) -> None:
    """Show that a bar is cut, or else the range over rounds."""
    if spread.median > end:
        for shift in (-0.045, -0.03):
            xs, ys = (end * (1 + shift), end * (1.01 + shift)), (place - 0.4, place + 0.4)
            axis.plot(xs, ys, color="white", linewidth=2)
    elif spread.rounds > 1:
        ends = (spread.least, min(spread.most, end * 1.02))
        axis.plot(ends, (place, place), color=_TEXT_COLOUR, linewidth=1, alpha=0.55)


def _label_bar(
    axis: Axes, place: int, spread: Spread, end: float, unit: str, *, is_ours: bool
) -> None:
    axis.text(
        max(min(spread.median, end), min(spread.most, end * 1.02)) + end * 0.02,
        place,
        f"{number(spread.median)} {unit}".strip(),
        va="center",
        fontweight="bold" if is_ours else "normal",
        color=_OURS_COLOUR if is_ours else _TEXT_COLOUR,
    )


def _label_places(axis: Axes, servers: Sequence[str]) -> None:
    axis.set_yticks(range(len(servers)), servers)
    for label, server in zip(axis.get_yticklabels(), servers, strict=True):
        label.set_color(_OURS_COLOUR if server == OURS else _TEXT_COLOUR)
        label.set_fontweight("bold" if server == OURS else "normal")
    axis.tick_params(axis="y", length=0)


def _end_of_axis(medians: Sequence[tuple[str, float]]) -> float:
    """Return where the longest bar ends, or where it is cut; ours never is."""
    *rest, longest = sorted(medians, key=lambda entry: entry[1])
    is_cut = len(rest) > 1 and longest[0] != OURS and longest[1] > _CUT * rest[-1][1]
    return rest[-1][1] * 1.15 if is_cut else longest[1]


def _draw_growth(axis: Axes, results: Results, workload: str) -> None:
    sizes = results.sizes(workload)
    found = [(size, results.figure(workload, size, OURS, "cpu_us")) for size in sizes]
    steps = [(size, spread) for size, spread in found if spread is not None]
    xs = [size for size, _ in steps]
    axis.fill_between(
        xs,
        [spread.least for _, spread in steps],
        [spread.most for _, spread in steps],
        color=_OURS_COLOUR,
        alpha=0.15,
        linewidth=0,
    )
    medians = [spread.median for _, spread in steps]
    axis.plot(xs, medians, color=_OURS_COLOUR, marker="o", markersize=4)
    for x, median in zip(xs, medians, strict=True):
        axis.annotate(
            number(median), (x, median), (0, 7), textcoords="offset points", ha="center", fontsize=8
        )
    axis.set_xscale("log")
    axis.set_xticks(xs, [_short(x) for x in xs])
    axis.minorticks_off()
    axis.set_ylim(0, max(spread.most for _, spread in steps) * 1.35)
    axis.set_yticks([])
    axis.spines[["top", "right", "left"]].set_visible(False)
    is_sessions = workload == "growth-sessions"
    axis.set_xlabel("sessions of the channel" if is_sessions else "channels with a history")
    title = f"CPU per {'delivery' if is_sessions else 'publish'} as it grows, µs"
    axis.set_title(title, loc="left", **_TITLE)


def _short(size: int) -> str:
    return whole(size) if size < _THOUSANDS else f"{size // 1000}k"
