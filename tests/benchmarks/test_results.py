"""Figures are medians over rounds that counted, ratios are taken within a round."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import OURS, Results, Row, Spread, newest


def results(*rows: Row) -> Results:
    return Results("2026-01-02T03:04:05+00:00", {"cpu": "A"}, {}, {}, {}, list(rows))


def row(server: str, number: int, value: float | None) -> Row:
    if value is None:
        return Row("fanout", 10, server, number, failure="closed: 1")
    return Row("fanout", 10, server, number, {"cpu_us": value})


def test_figure_is_the_median_with_the_range():
    found = results(row(OURS, 0, 3.0), row(OURS, 1, 1.0), row(OURS, 2, 5.0))

    assert found.figure("fanout", 10, OURS, "cpu_us") == Spread(3.0, 1.0, 5.0, 3)


def test_failed_run_takes_part_in_no_figure_and_is_listed():
    failed = row(OURS, 1, None)
    found = results(row(OURS, 0, 3.0), failed, row("nchan", 0, 2.0), row("nchan", 1, 100.0))

    assert found.figure("fanout", 10, OURS, "cpu_us") == Spread(3.0, 3.0, 3.0, 1)
    assert found.ratio("fanout", 10, OURS, "nchan", "cpu_us") == Spread(1.5, 1.5, 1.5, 1)
    assert found.failures() == [failed]


def test_ratio_is_taken_within_a_round():
    # the machine slowed down in between: the medians alone would say 10 / 1
    ours = [row(OURS, 0, 1.0), row(OURS, 1, 10.0), row(OURS, 2, 10.0)]
    theirs = [row("nchan", 0, 1.0), row("nchan", 1, 10.0), row("nchan", 2, 1.0)]
    found = results(*ours, *theirs)

    assert found.ratio("fanout", 10, OURS, "nchan", "cpu_us") == Spread(1.0, 1.0, 10.0, 3)
    assert found.difference("fanout", 10, OURS, "nchan", "cpu_us") == Spread(0.0, 0.0, 9.0, 3)


def test_growth_compares_the_ends_by_rounds():
    found = results(
        *(
            Row("growth-sessions", size, OURS, number, {"cpu_us": value})
            for number, values in enumerate([(1.0, 9.0, 2.0), (2.0, 1.0, 2.0)])
            for size, value in zip((10, 20, 30), values, strict=True)
        )
    )

    assert found.growth("growth-sessions", OURS, "cpu_us") == Spread(1.5, 1.0, 2.0, 2)


@pytest.mark.parametrize("other", ["nchan", OURS])
def test_nothing_measured_gives_no_figure(other):
    assert results().figure("fanout", 10, other, "cpu_us") is None
    assert results().ratio("fanout", 10, OURS, other, "cpu_us") is None
    assert results().growth("fanout", other, "cpu_us") is None


def test_file_holds_everything(tmp_path):
    written = results(row(OURS, 0, 3.0), row(OURS, 1, None))
    path = tmp_path / "2026-01-02T0304.json"

    written.write(path)

    assert Results.read(path) == written


def test_newest_is_the_last_whole_run(tmp_path):
    for name in ("2026-01-02T0304.json", "2026-02-01T0000.json", "latest-part.json"):
        results().write(tmp_path / name)

    assert newest(tmp_path) == tmp_path / "2026-02-01T0000.json"
    assert newest(Path(tmp_path / "nowhere")) is None
