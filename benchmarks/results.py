"""What was measured, and what follows from it. Pure but for reading and writing the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

DIRECTORY = Path(__file__).parent / "results"
OURS = "fastapi-sse-channels"
FLOOR = "parser alone"


@dataclass(frozen=True)
class Row:
    """One run of one workload against one server.

    Attributes:
        workload: Its name.
        size: Sessions, channels or nodes: what the workload varies.
        server: Which server.
        round: Runs of one round follow each other, so ratios are taken within it.
        figures: What was measured; empty where the run failed.
        failure: Why the run cannot be counted.
    """

    workload: str
    size: int
    server: str
    round: int
    figures: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


class Spread(NamedTuple):
    """The median over rounds, with the range."""

    median: float
    least: float
    most: float
    rounds: int

    def times(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.least * factor, self.most * factor, self.rounds)


@dataclass
class Results:
    """A result file."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    settings: dict[str, Any]
    left_out: dict[str, str]
    rows: list[Row] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Results:
        content = json.loads(path.read_text())
        return cls(**{**content, "rows": [Row(**row) for row in content["rows"]]})

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        head = asdict(self)
        rows = ",\n".join(f"  {json.dumps(row)}" for row in head.pop("rows"))
        text = json.dumps(head, indent=1)[:-2]
        path.write_text(f'{text},\n "rows": [\n{rows}\n ]\n}}\n')

    def servers(self, workload: str, size: int | None = None) -> list[str]:
        rows = (row for row in self.rows if row.workload == workload and size in {None, row.size})
        return list(dict.fromkeys(row.server for row in rows))

    def sizes(self, workload: str) -> list[int]:
        """Return the sizes at which anything counted."""
        rows = (row for row in self.rows if row.workload == workload and row.failure is None)
        return sorted({row.size for row in rows})

    def figure(self, workload: str, size: int, server: str, name: str) -> Spread | None:
        """Return a figure over the rounds that counted."""
        return _spread(self._by_round(workload, size, server, name).values())

    def ratio(self, workload: str, size: int, server: str, other: str, name: str) -> Spread | None:
        """Return `server / other` over the rounds in which both counted."""
        return _spread(
            ours / theirs for ours, theirs in self._pairs(workload, size, server, other, name)
        )

    def difference(
        self, workload: str, size: int, server: str, other: str, name: str
    ) -> Spread | None:
        """Return `server - other` over the rounds in which both counted."""
        return _spread(
            ours - theirs for ours, theirs in self._pairs(workload, size, server, other, name)
        )

    def growth(self, workload: str, server: str, name: str) -> Spread | None:
        """Return the figure at the largest size over that at the smallest, by rounds."""
        sizes = self.sizes(workload)
        if not sizes:
            return None
        small = self._by_round(workload, sizes[0], server, name)
        large = self._by_round(workload, sizes[-1], server, name)
        return _spread(large[number] / small[number] for number in small if number in large)

    def failures(self) -> list[Row]:
        return [row for row in self.rows if row.failure is not None]

    def _pairs(
        self, workload: str, size: int, server: str, other: str, name: str
    ) -> list[tuple[float, float]]:
        ours = self._by_round(workload, size, server, name)
        theirs = self._by_round(workload, size, other, name)
        return [(ours[number], theirs[number]) for number in ours if number in theirs]

    def _by_round(self, workload: str, size: int, server: str, name: str) -> dict[int, float]:
        wanted = (workload, size, server)
        return {
            row.round: row.figures[name]
            for row in self.rows
            if (row.workload, row.size, row.server) == wanted
            and row.failure is None
            and name in row.figures
        }


def newest(directory: Path = DIRECTORY) -> Path | None:
    """Return the result file that the documents speak of: the last by date, which names it."""
    return max(directory.glob("[0-9]*.json"), default=None)


def _spread(values: Iterable[float]) -> Spread | None:
    found = list(values)
    return Spread(median(found), min(found), max(found), len(found)) if found else None


Recorder = Callable[[Row], None]
