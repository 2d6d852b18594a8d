"""The guard keeps `make unit` free of processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

MESSAGE = "this test starts a process, .* mark it `processes`"


def test_unmarked_test_cannot_start_a_process():
    with pytest.raises(AssertionError, match=MESSAGE):
        subprocess.run([sys.executable, "--version"], check=True)


async def test_unmarked_test_cannot_start_a_process_from_an_event_loop():
    with pytest.raises(AssertionError, match=MESSAGE):
        await asyncio.create_subprocess_exec(sys.executable, "--version")


def test_fixture_that_starts_processes_marks_the_test(request, run_python):
    assert request.node.get_closest_marker("processes")
    assert run_python("print(1)") == "1\n"
