"""The README's code does what the README says."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import httpx2
import pytest

import fastapi_sse_channels
from benchmarks.report import figures_in, readme_figures
from benchmarks.results import Results, newest
from fastapi_sse_channels import ChannelManager
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.brokers.redis._names import Names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


async def test_quick_start_serves_what_it_publishes(serve, open_stream, tmp_path):
    (tmp_path / "main.py").write_text(snippets("python")[0])
    server = serve("main:app", env={"PYTHONPATH": str(tmp_path)})

    stream = await open_stream(f"{server.url}/discussions/42/events")
    await stream.until(b"stream-open")
    async with httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/discussions/42/comments")).status_code == 201

    body = await stream.until(b"comment_count")
    assert body.endswith(b'data: {"type":"comment-added","comment_count":1}\n\n')


def test_every_python_snippet_runs_after_those_before_it(redis_url, monkeypatch):
    # snippets are cumulative, as a reader reads them
    module = types.ModuleType("main")
    monkeypatch.setitem(sys.modules, "main", module)
    namespace = module.__dict__
    for snippet in snippets("python"):
        code = snippet.replace("redis://localhost:6379/0", redis_url)
        exec(compile(code, "README.md", "exec", dont_inherit=True), namespace)  # noqa: S102

    assert namespace["publisher"] is not None


def test_testing_section_is_a_suite_that_passes(run_suite, async_runner):
    [section] = re.findall(r"### Test your own application\n(.*?)\n## ", README, re.DOTALL)
    suite, conftest, more = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    files = {"main.py": snippets("python")[0], "test_main.py": suite + more}
    options, settings = async_runner

    output = run_suite({**files, "conftest.py": conftest}, *options, **settings)

    assert "3 passed" in output, output
    assert any(f"`{name} = auto`" in section for name in settings)


def test_every_name_of_the_names_table_exists():
    [table] = re.findall(r"## Names\n(.*?)\n## ", README, re.DOTALL)
    called = set(re.findall(r"(\w+)\(", table)) - {"Depends"}

    known = {*dir(fastapi_sse_channels), *dir(ChannelManager), *dir(fastapi_sse_channels.Channel)}
    assert len(called) > 8
    assert called <= known


@pytest.mark.parametrize(
    "argument",
    [
        name
        for line in README.split("## Limits")[1].splitlines()
        if line.startswith("| `")
        for name in line.split("|")[1].split("`")[1::2]
    ],
)
def test_limits_table_names_arguments_of_the_manager(argument):
    assert argument in inspect.signature(ChannelManager).parameters


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
    table = README.split(heading)[1].split("\n\n")[0]
    parameters = inspect.signature(make).parameters

    defaults = dict(defaults_of(table))

    assert len(defaults) > 5
    for name, text in defaults.items():
        [number, unit] = re.findall(r"^([\d ]+|`.+`) ?(\w*)$", text)[0]
        value = ast.literal_eval(number.strip("`").replace(" ", ""))
        assert value * UNITS[unit] == parameters[name].default


def test_rights_are_those_that_the_broker_asks_for():
    assert re.findall(r"^ACL SETUSER shop on >secret (.+)$", README, re.MULTILINE) == [
        Names("shop").rights
    ]


def test_javascript_snippets_parse():
    node = shutil.which("node")
    assert node, "node is needed: apt-get install nodejs"
    for snippet in snippets("js"):
        subprocess.run([node, "--check", "-"], input=snippet.encode(), check=True)


def test_performance_figures_are_those_of_the_newest_result_file():
    path = newest()
    results = None if path is None else Results.read(path)

    assert figures_in(README) == readme_figures(results, path.name if path else "")


def test_performance_section_has_no_figures_but_those():
    [section] = re.findall(r"## Performance\n(.*?)\n## ", README, re.DOTALL)
    own_words = section.replace(figures_in(README), "")

    assert re.findall(r"\d[\d., ]*\s*(?:µs|ms|KiB|MiB|%|times|deliver|events|per)", own_words) == []


def test_result_file_has_its_plot():
    path = newest()
    assert path is None or path.with_suffix(".svg").exists()
