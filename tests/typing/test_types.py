"""Type checkers infer events from the union that users declare, and refuse wrong use."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CHECKERS = {
    "mypy": ["mypy", "--strict", "--no-error-summary", "--no-color-output", "--config-file="],
    "pyright": ["pyright", "--pythonpath", sys.executable],
    "ty": ["ty", "check", "--output-format", "concise", "--color", "never", "--python", sys.prefix],
}
ERROR = re.compile(r"^\s*\S*?(\w+\.py):(\d+):(?:\d+:)?.*\berror\b", re.MULTILINE)


@pytest.fixture(params=CHECKERS)
def check(request, tmp_path):
    """Run a checker over a file and return the lines of its errors, with what it printed."""
    name, *arguments = CHECKERS[request.param]

    def run(file):
        # a directory without settings, as a user's may be
        copied = shutil.copy(file, tmp_path)
        done = subprocess.run(
            [Path(sys.executable).parent / name, *arguments, str(copied)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        output = done.stdout + done.stderr
        lines = {int(number) for found, number in ERROR.findall(output) if found == file.name}
        return lines, done.returncode, output

    return run


@pytest.mark.parametrize("file", sorted((HERE / "right").glob("*.py")), ids=lambda file: file.name)
def test_events_are_inferred_from_the_union(check, file):
    lines, status, output = check(file)

    assert (lines, status) == (set(), 0), output


@pytest.mark.parametrize(
    ("file", "count"), [("channels.py", 34), ("client_and_testing.py", 5)], ids=lambda value: value
)
def test_wrong_use_is_an_error_on_its_line(check, file, count):
    source = (HERE / "wrong" / file).read_text().splitlines()
    expected = {number for number, line in enumerate(source, 1) if line.endswith("# error")}

    lines, status, output = check(HERE / "wrong" / file)

    assert len(expected) == count
    assert lines == expected, output
    assert status != 0
