"""Fixtures for pytest: `pytest_plugins = ["fastapi_sse_channels.testing.pytest_plugin"]`.

The fixtures are plain functions, so they work with any plugin that runs `async def` tests on
asyncio.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pytest

from ._client import SSETestClient
from ._recording import RecordingPublisher

if TYPE_CHECKING:
    from fastapi import FastAPI

    from .._manager import ChannelManager

T = TypeVar("T")


class RecordPublisher(Protocol):
    """The type of the fixture `recording_publisher`."""

    def __call__(self, app: FastAPI, manager: ChannelManager[T]) -> RecordingPublisher[T]:
        """Replace a manager's publisher with one that records."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the plugin's setting."""
    parser.addini(
        "sse_timeout",
        "Seconds after which a wait of the sse_client fixture fails",
        type="string",
        default="5",
    )


@pytest.fixture
def sse_client(pytestconfig: pytest.Config) -> Callable[..., SSETestClient]:
    """Makes an `SSETestClient` for an application, to be entered with `async with`."""
    timeout = float(pytestconfig.getini("sse_timeout"))
    return functools.partial(SSETestClient, timeout=timeout)


@pytest.fixture
def recording_publisher() -> Iterator[RecordPublisher]:
    """Records what handlers publish, given an application and a manager.

    `recorder = recording_publisher(app, manager)`; the override ends with the test.
    """
    undo: list[Callable[[], object]] = []

    def record(app: FastAPI, manager: ChannelManager[T]) -> RecordingPublisher[T]:
        recorder = RecordingPublisher(manager)
        previous = dict(app.dependency_overrides)
        app.dependency_overrides[manager.publisher] = lambda: recorder
        undo.append(lambda: _restore(app, previous))
        return recorder

    yield record
    while undo:
        undo.pop()()


def _restore(app: FastAPI, overrides: dict[Any, Any]) -> None:
    app.dependency_overrides.clear()
    app.dependency_overrides.update(overrides)
