"""The code of the documents does what they say: each snippet is executed somewhere.

Those of Python, JavaScript and the shell are executed here. The pages of HTML are shown in
Chromium, by `tests/browser/test_documented_pages.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import httpx2
import pytest

from fastapi_sse_channels.brokers.redis._names import Names
from tests.docs.documents import DOCUMENTS, QUICK_START, ROOT, SNIPPETS, code_of, snippets


def test_every_snippet_is_of_a_kind_that_is_executed():
    fences = re.findall(r"^ *(?:```|~~~)", "\n".join(DOCUMENTS.values()), re.MULTILINE)

    assert len(fences) == 2 * len(SNIPPETS)
    assert {snippet.language for snippet in SNIPPETS} <= {"python", "js", "html", "bash", "text"}


def test_tutorial_writes_the_application_of_the_quick_start():
    assert snippets("python", "tutorial.md")[0].code == QUICK_START


# ---- Python -------------------------------------------------------------------------------


@pytest.fixture
def execute(redis_url, monkeypatch) -> Callable[..., dict[str, Any]]:
    """Run the code of a document as a reader does, one snippet after the other."""

    def execute_(document: str, server: str = "http://localhost:8000") -> dict[str, Any]:
        parts = code_of(document)
        named = re.match(r"# (\w+)\.py\n", parts[0])
        module = types.ModuleType(named[1] if named else "main")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for snippet in parts:
            code = snippet.replace("redis://localhost:6379/0", redis_url)
            code = code.replace("http://localhost:8000", server)
            exec(compile(code, document, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        return module.__dict__

    return execute_


@pytest.mark.parametrize(
    "document", sorted({snippet.document for snippet in snippets("python")}), ids=str
)
def test_code_of_a_document_runs_from_its_beginning_to_its_end(execute, document):
    names = execute(document)

    assert names.keys() - {"__name__", "__doc__", "__builtins__"}


@pytest.fixture
def main_file(tmp_path) -> dict[str, str]:
    """The environment of a server that imports `main.py` of the quick start."""
    (tmp_path / "main.py").write_text(QUICK_START)
    return {"PYTHONPATH": f"{tmp_path}:{ROOT}"}


async def test_quick_start_serves_what_it_publishes(serve, open_stream, main_file):
    server = serve("main:app", env=main_file)

    stream = await open_stream(f"{server.url}/discussions/42/events")
    await stream.until(b"stream-open")
    async with httpx2.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/discussions/42/comments")).status_code == 201

    body = await stream.until(b"comment_count")
    assert body.endswith(b'data: {"type":"comment-added","comment_count":1}\n\n')


@contextlib.asynccontextmanager
async def running(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(coroutine)
    yield
    task.cancel()
    await asyncio.wait([task])


async def test_follower_inside_prints_what_is_published(execute, eventually, capsys):
    names = execute("guides/follow-inside.md")

    async def is_printed() -> bool:
        await names["discussions"].publish("42", {"type": "comment-added", "comment_count": 7})
        return "comment_count=7" in capsys.readouterr().out

    async with running(names["print_comments"]()):
        await eventually(is_printed)


async def test_follower_outside_prints_what_is_published(
    execute, serve, main_file, eventually, capsys
):
    server = serve("main:app", env=main_file)
    names = execute("guides/follow-from-a-program.md", server.url)

    async def is_printed() -> bool:
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/discussions/42/comments")
        return "comment_count=1" in capsys.readouterr().out

    async with running(names["print_remote_comments"]()):
        await eventually(is_printed)


def test_page_about_testing_is_a_suite_that_passes(run_suite, async_runner):
    code = [snippet.code for snippet in snippets("python", "guides/test.md")]
    suite, conftest, more, fixture = code
    files = {"main.py": QUICK_START, "test_main.py": suite + more}
    options, settings = async_runner

    output = run_suite({**files, "conftest.py": conftest + fixture}, *options, **settings)

    assert "3 passed" in output, output
    assert any(f"`{name} = auto`" in DOCUMENTS["guides/test.md"] for name in settings)


# ---- JavaScript ---------------------------------------------------------------------------


@pytest.mark.processes
def test_javascript_snippets_parse():
    node = shutil.which("node")
    assert node, "node is needed: apt-get install nodejs"
    for snippet in snippets("js"):
        subprocess.run([node, "--check", "-"], input=snippet.code.encode(), check=True)


# ---- the shell ----------------------------------------------------------------------------


def lines_of(code: str) -> list[str]:
    return [line.split("  #")[0] for line in code.splitlines()]


def is_of_tools(code: str) -> bool:
    """Whether it installs or makes something, which takes no server."""
    return all(line.startswith(("pip install ", "make ")) for line in lines_of(code))


@pytest.mark.processes
@pytest.mark.parametrize(
    "line",
    sorted({line for s in snippets("bash") if is_of_tools(s.code) for line in lines_of(s.code)}),
)
def test_command_names_what_can_be_installed_or_made(line):
    tool, *words = line.replace("'", "").split()

    if tool == "make":
        subprocess.run(["make", "-n", *words], cwd=ROOT, check=True, capture_output=True)
    else:
        assert [importlib.metadata.version(word.split("[")[0]) for word in words[1:]]


# a stream does not end by itself: it is left open, until what the page promises has come
OPEN = "{} >stream & until grep -q '^event: stream-open' stream; do sleep 0.02; done"
READ = "until grep -qF '{}' stream; do sleep 0.02; done; kill %1; cat stream"


@pytest.mark.parametrize(
    "snippet", [s for s in snippets("bash") if not is_of_tools(s.code)], ids=str
)
def test_commands_show_what_the_application_publishes(serve, main_file, tmp_path, snippet):
    server = serve("main:app", env=main_file)
    [published] = {line for s in snippets("text", "tutorial.md") for line in lines_of(s.code)[1:]}
    lines = [line for line in lines_of(snippet.code) if line != "uvicorn main:app"]
    script = [OPEN.format(line) if line.startswith("curl -N ") else line for line in lines]
    script = [line.replace("localhost:8000", server.url) for line in script]

    done = subprocess.run(
        ["bash", "-ec", "\n".join([*script, READ.format(published)])],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert ('"resumed":true' in done.stdout) == ("Last-Event-ID" in snippet.code)


def test_rights_are_those_that_the_broker_asks_for():
    rights = re.findall(
        r"^ACL SETUSER shop on >secret (.+)$", DOCUMENTS["guides/redis.md"], re.MULTILINE
    )

    assert rights == [Names("shop").rights]
