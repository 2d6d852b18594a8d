"""Servers for tests that break them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest


@pytest.fixture(scope="session", autouse=True)
def redis_server_version(redis_server: str, redis_version: tuple[int, ...]) -> str:
    """What the server says it is; without one nothing here can run."""
    if not Path("/proc/thread-self/schedstat").exists():
        _give_up("Linux is needed, to tell a stalled event loop from a busy machine")
    return f"{Path(redis_server).name} {'.'.join(map(str, redis_version))}"


def _give_up(message: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
