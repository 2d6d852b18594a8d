"""What the report and the documents say of a result file."""

from __future__ import annotations

import pytest

from benchmarks.plot import draw
from benchmarks.report import (
    FIGURES_BEGIN,
    FIGURES_END,
    NO_RESULTS,
    figures_in,
    headline,
    number,
    page_figures,
    replaced_figures,
    report_parts,
)
from benchmarks.results import FLOOR, OURS, Results, Row

CPU_US = {OURS: 9.0, "FastAPI": 360.0, "nchan": 10.0}
RATES = {OURS: 800_000.0, "FastAPI": 3_000.0, "nchan": 100_000.0}


@pytest.fixture
def results() -> Results:
    rows = [
        Row("fanout", 1000, server, number, {"cpu_us": cpu * (1 + number), "last_ms": 2 * cpu})
        for server, cpu in CPU_US.items()
        for number in range(2)
    ]
    rows += [Row("burst", 1000, s, 0, {"deliveries_per_s": rate}) for s, rate in RATES.items()]
    rows += [Row("redis", 1, server, 0, {"cpu_us": cpu}) for server, cpu in [(OURS, 2), (FLOOR, 1)]]
    rows += [Row("growth-channels", size, OURS, 0, {"cpu_us": 5.0}) for size in (1, 100_000)]
    machine = {"cpu": "A Processor", "cpus": "2", "kernel": "6.1"}
    return Results("2026-01-02T03:04:05+00:00", machine, {"python": "3.11.7"}, {}, {}, rows)


def part(results: Results, beginning: str) -> str:
    [found] = [part for part in report_parts(results) if part.startswith(beginning)]
    return found


def test_table_shows_medians_ranges_and_ratios(results):
    table = part(results, "One channel, 1 000 sessions, event by event")

    lines = [" ".join(line.split()) for line in table.splitlines()[1:]]
    assert lines == [
        "server CPU µs user µs deliveries/s p50 ms p99 ms last ms client CPU % ours / its CPU µs",
        f"{OURS} 13.5 [9.00-18.0] - - - - 18.0 -",
        "FastAPI 540 [360-720] - - - - 720 - 0.0250 [0.0250-0.0250]",
        "nchan 15.0 [10.0-20.0] - - - - 20.0 - 0.900 [0.900-0.900]",
    ]


def test_targets_are_judged_by_their_direction(results):
    lines = [" ".join(line.split()) for line in part(results, "target").splitlines()]

    assert "CPU per delivery / nchan <= 1.2 0.900 [0.900-0.900] holds" in lines
    assert "burst deliveries per second / nchan >= 6 8.00 holds" in lines
    assert "Redis subscriber: CPU µs per event above the parser <= 1 1.00 holds" in lines
    assert "last delivery / nchan <= 1 - not measured" in lines


def test_missed_target_is_called_so(results):
    results.rows.append(Row("burst", 1000, OURS, 1, {"deliveries_per_s": 10.0}))
    results.rows.append(Row("burst", 1000, "nchan", 1, {"deliveries_per_s": 10.0}))

    lines = [" ".join(line.split()) for line in part(results, "target").splitlines()]
    assert "burst deliveries per second / nchan >= 6 4.50 [1.00-8.00] missed" in lines


def test_failures_and_what_was_left_out_are_told(results):
    results.rows.append(Row("last", 9900, "nchan", 1, failure="closed: 2"))
    results.left_out["better-sse"] = "npm is not there"

    parts = report_parts(results)

    assert "left out: better-sse: npm is not there" in parts
    assert "FAILED, not counted: last of nchan in round 2: closed: 2" in parts


def test_load_client_without_reserve_is_marked(results):
    for row in results.rows[:2]:
        row.figures["client_busy"] = 0.95

    assert "95.0 (!)" in part(results, "One channel, 1 000 sessions, event by event")


def test_page_table_says_how_many_times_better(results):
    table = [line for line in page_figures(results, "a.json").splitlines() if "|" in line]

    assert table == [
        "|  | CPU per delivery, µs | last of 1 000, ms | deliveries in bursts, per s |",
        "| --- | ---: | ---: | ---: |",
        f"| **{OURS}** | 13.5 | 18.0 | 800 000 |",
        "| FastAPI | 540 (40) | 720 (40) | 3 000 (267) |",
        "| nchan | 15.0 (1.1) | 20.0 (1.1) | 100 000 (8.0) |",
    ]


def test_page_shows_growth_beside_that_of_a_peer(results):
    for server, cpu in ((OURS, 4.0), ("nchan", 3.0)):
        results.rows += [
            Row("growth-sessions", size, server, 0, {"cpu_us": cpu * size}) for size in (1, 1000)
        ]

    lines = [line for line in page_figures(results, "a.json").splitlines() if " by " in line]

    assert lines == [
        "- CPU per delivery by sessions of a channel: 4.00 µs at 1, 4 000 µs at 1 000.",
        "- CPU per delivery by sessions of a channel (nchan): 3.00 µs at 1, 3 000 µs at 1 000.",
        "- CPU per publish by channels: 5.00 µs at 1, 5.00 µs at 100 000.",
    ]


def test_headline_has_our_own_figures_alone(results):
    assert headline(results) == (
        "13.5 µs of CPU for each delivery to 1 000 streams, "
        "800 000 deliveries per second in bursts."
    )
    assert headline(None) == NO_RESULTS


def test_page_says_what_is_missing_from_the_figures(results):
    results.rows.append(Row("last", 9900, "nchan", 1, failure="closed: 2"))
    results.left_out["better-sse"] = "npm is not there"

    figures = page_figures(results, "a.json")

    assert figures.endswith(" Not counted: 1 of 14 runs (nchan). Left out: better-sse.")


def test_figures_replace_what_was_there(results):
    document = f"before\n\n{FIGURES_BEGIN}\n{NO_RESULTS}\n{FIGURES_END}\n\nafter\n"

    figures = page_figures(results, "a.json")
    replaced = replaced_figures(document, figures)

    assert figures_in(replaced) == figures
    assert replaced.startswith("before\n\n")
    assert replaced.endswith("\n\nafter\n")
    assert replaced_figures(replaced, NO_RESULTS) == document


def test_document_without_marks_is_refused(results):
    with pytest.raises(ValueError, match="needs <!-- figures"):
        replaced_figures("no marks", page_figures(results, "a.json"))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01234, "0.0123"), (9.876, "9.88"), (98.76, "98.8"), (987.6, "988"),
     (98_765.4, "98 765")],
)  # fmt: skip
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_plot_names_every_server_and_is_the_same_each_time(results, tmp_path):
    for name in ("a.svg", "b.svg"):
        draw(results, tmp_path / name)

    svg = (tmp_path / "a.svg").read_text()
    for text in (*CPU_US, "13.5 µs", "800 000 /s", "100k"):
        assert f">{text}</text>" in svg
    assert svg == (tmp_path / "b.svg").read_text()
