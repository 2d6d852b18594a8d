"""Type checkers infer events from the union that users declare, and refuse wrong use."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.documents import snippets

HERE = Path(__file__).parent
CHECKERS = {
    "mypy": ["mypy", "--strict", "--no-error-summary", "--no-color-output", "--config-file="],
    "pyright": ["pyright", "--pythonpath", sys.executable],
    "ty": ["ty", "check", "--output-format", "concise", "--color", "never", "--python", sys.prefix],
}
ERROR = re.compile(r"^\s*\S*?(\w+\.py):(\d+):(?:\d+:)?.*\berror\b", re.MULTILINE)
Lines = set[tuple[str, int]]


@pytest.fixture(params=CHECKERS)
def check(request, tmp_path, processes):
    """Run a checker over a folder and return the lines of its errors, with what it printed."""
    name, *arguments = CHECKERS[request.param]

    def run(folder, **more):
        # a directory without settings, as a user's may be
        files = [shutil.copy(file, tmp_path) for file in (HERE / folder).glob("*.py")]
        for module, code in more.items():
            files.append(tmp_path / f"{module}.py")
            files[-1].write_text(code)
        done = subprocess.run(
            [Path(sys.executable).parent / name, *arguments, *files],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        output = done.stdout + done.stderr
        lines = {(Path(file).name, int(number)) for file, number in ERROR.findall(output)}
        return lines, done.returncode, output

    return run


def test_inferred_events_and_the_broker_of_the_guide_have_no_errors(check):
    store, following, suite = (s.code for s in snippets("python", "guides/write-a-broker.md"))
    lines, status, output = check(
        "right", sqlite_broker=store + following, test_sqlite_broker=suite
    )

    assert (lines, status) == (set(), 0), output


def test_wrong_use_is_an_error_on_its_line(check):
    expected: Lines = set()
    for file in (HERE / "wrong").glob("*.py"):
        marked = enumerate(file.read_text().splitlines(), 1)
        expected |= {(file.name, number) for number, line in marked if line.endswith("# error")}

    lines, status, output = check("wrong")

    assert len(expected) == 39
    assert lines == expected, output
    assert status != 0
