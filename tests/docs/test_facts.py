"""What the documents say of names, defaults and figures is so."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

import fastapi_sse_channels
from benchmarks.cli import PAGE
from benchmarks.plot import draw
from benchmarks.report import PLOT_NAME, figures_in, headline, page_figures
from benchmarks.results import Results, newest
from fastapi_sse_channels import ChannelManager
from fastapi_sse_channels.brokers.redis import RedisBroker
from tests.docs.documents import DOCUMENTS, PAGES

OPTIONS = DOCUMENTS["reference/options.md"]
PERFORMANCE = DOCUMENTS["explanation/performance.md"]


def test_every_name_of_the_names_table_exists():
    called = set(re.findall(r"(\w+)\(", DOCUMENTS["reference/names.md"])) - {"Depends"}

    known = {*dir(fastapi_sse_channels), *dir(ChannelManager), *dir(fastapi_sse_channels.Channel)}
    assert len(called) > 8
    assert called <= known


UNITS = {"events": 1, "s": 1, "ms": 1, "": 1, "KiB": 1024, "MiB": 1024 * 1024}


def defaults_of(table):
    """The defaults of a table of options, by name."""
    for line in table.splitlines():
        if line.startswith("| `"):
            names, values = (cell.strip() for cell in line.split("|")[1:3])
            yield from zip(names.split("`")[1::2], values.split(", "), strict=True)


@pytest.mark.parametrize(
    ("make", "heading"),
    [
        (ChannelManager, "| argument of `ChannelManager`"),
        (RedisBroker, "| option of `RedisBroker`"),
    ],
)
def test_options_have_the_defaults_that_their_table_names(make, heading):
    table = OPTIONS.split(heading)[1].split("\n\n")[0]
    parameters = inspect.signature(make).parameters

    defaults = dict(defaults_of(table))

    assert len(defaults) > 5
    for name, text in defaults.items():
        [number, unit] = re.findall(r"^([\d ]+|`.+`) ?(\w*)$", text)[0]
        value = ast.literal_eval(number.strip("`").replace(" ", ""))
        assert value * UNITS[unit] == parameters[name].default


def cells_of(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_readme_sums_up_the_table_of_faults():
    rows = re.findall(r"^\| .+ \|$", DOCUMENTS["explanation/survival.md"], re.MULTILINE)[2:]
    *faults, total = (cells_of(row) for row in rows)

    said = re.search(r"^Under .*?\.", DOCUMENTS["README.md"], re.DOTALL | re.MULTILINE)
    assert said
    assert total[0] == "**all**"
    assert re.findall(r"\d+(?: \d{3})*", said[0]) == [str(len(faults)), total[1], *total[3:6]]


def test_performance_figures_are_those_of_the_newest_result_file():
    path = newest()
    results = None if path is None else Results.read(path)

    assert figures_in(PERFORMANCE) == page_figures(results, path.name if path else "")
    assert figures_in(DOCUMENTS["README.md"]) == headline(results)


def test_performance_page_has_no_figures_but_those():
    own_words = PERFORMANCE.replace(figures_in(PERFORMANCE), "")

    assert re.findall(r"\d[\d., ]*\s*(?:µs|ms|KiB|MiB|%|times|deliver|events|per)", own_words) == []


def test_plot_shows_the_newest_result_file(tmp_path):
    path = newest()
    assert path
    draw(Results.read(path), tmp_path / PLOT_NAME)

    # another version of Matplotlib draws another path, but writes the same words
    words = [
        re.findall(r"<text[^>]*>([^<]*)</text>", (folder / PLOT_NAME).read_text())
        for folder in (tmp_path, PAGE.parent)
    ]
    assert words[0] == words[1]
    assert PAGES in PAGE.parents
