"""Breaks Redis, its wires and its nodes, and prints the outcomes: `python -m tests.faults`."""

from __future__ import annotations

import argparse
import asyncio
import sys

from .outcome import Outcome
from .scenarios import FAULTS, run_all
from .table import table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="times that each fault happens")
    parser.add_argument("--quota", type=int, default=1500, help="events of each fault and round")
    parser.add_argument("--lanes", type=int, default=2, help="faults at the same time")
    parser.add_argument("--only", default="", help="part of the name of the faults wanted")
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.only in fault.name]
    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        said = "; ".join(outcome.problems()) or "ok"
        sys.stderr.write(f"{outcome.fault}: {said}\n")

    runs = faults * options.rounds
    asyncio.run(run_all(runs, report, lanes=options.lanes, quota=options.quota))
    outcomes.sort(key=lambda outcome: [fault.name for fault in FAULTS].index(outcome.fault))
    sys.stdout.write(table(outcomes) + "\n")
    return any(outcome.problems() for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
