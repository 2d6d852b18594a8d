"""Servers for tests that break them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest


@pytest.fixture(scope="session", autouse=True)
def redis_server_version(processes: None) -> str:
    """What `redis-server` says it is; without one nothing here can run."""
    executable = shutil.which("redis-server")
    if executable is None:
        _give_up("redis-server is needed: apt-get install redis-server")
    if not Path("/proc/thread-self/schedstat").exists():
        _give_up("Linux is needed, to tell a stalled event loop from a busy machine")
    said = subprocess.run([executable, "--version"], check=True, capture_output=True, text=True)
    return "redis-server " + said.stdout.split("v=")[1].split()[0]


def _give_up(message: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
