"""The table of the outcomes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .outcome import Outcome

_HEAD = (
    "fault",
    "acknowledged",
    "lost by Redis",
    "lost",
    "duplicated",
    "out of order",
    "resets (due)",
    "healed → first event",
    "noticed after",
    "worst loop stall",
    "longest publish",
)


def table(outcomes: Sequence[Outcome]) -> str:
    """Lay out the outcomes in Markdown, one row a fault: counts are sums, times the worst."""
    names = dict.fromkeys(outcome.fault for outcome in outcomes)
    groups = [[outcome for outcome in outcomes if outcome.fault == name] for name in names]
    rows = [_row(name, group) for name, group in zip(names, groups, strict=True)]
    total = _row("**all**", outcomes)
    lines = [_HEAD, ("---", *["---:"] * (len(_HEAD) - 1)), *rows, total]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    noticed = [outcome.noticed for outcome in outcomes if outcome.noticed is not None]
    due = sum(outcome.tally.due_resets for outcome in outcomes)
    return (
        name,
        f"{sum(outcome.acknowledged for outcome in outcomes):,}".replace(",", " "),
        str(sum(outcome.forgotten for outcome in outcomes)),
        str(sum(outcome.tally.lost for outcome in outcomes)),
        str(sum(outcome.tally.duplicated for outcome in outcomes)),
        str(sum(outcome.tally.disordered for outcome in outcomes)),
        f"{sum(outcome.tally.resets for outcome in outcomes)} ({due})",
        f"{max(outcome.healed for outcome in outcomes):.2f} s",
        f"{max(noticed):.1f} s" if noticed else "",
        f"{max(outcome.stall for outcome in outcomes) * 1000:.0f} ms",
        f"{max(outcome.slowest for outcome in outcomes):.2f} s",
    )
