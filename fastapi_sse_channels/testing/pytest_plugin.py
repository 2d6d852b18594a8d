"""Fixtures for pytest: `pytest_plugins = ["fastapi_sse_channels.testing.pytest_plugin"]`.

The fixtures are plain functions, so they work with any plugin that runs `async def` tests on
asyncio.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

from ._client import SSETestClient
from ._memory import in_memory
from ._recording import RecordingPublisher

if TYPE_CHECKING:
    from .._manager import ChannelManager

T = TypeVar("T")


class RecordPublisher(Protocol):
    """The type of the fixture `recording_publisher`."""

    def __call__(self, manager: ChannelManager[T]) -> RecordingPublisher[T]:
        """Record what a manager would publish."""
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
    """Records what is published with a manager, instead of publishing it, until the test ends.

    `recorder = recording_publisher(manager)`; see `RecordingPublisher`.
    """
    with ExitStack() as stack:
        yield lambda manager: stack.enter_context(RecordingPublisher(manager))


@pytest.fixture
def memory_broker() -> Iterator[Callable[..., None]]:
    """Runs managers on an empty `MemoryBroker` until the test ends, whatever broker they have.

    `memory_broker(manager, …)`, before the application starts; see `in_memory`.
    """
    with ExitStack() as stack:
        yield lambda *managers: stack.enter_context(in_memory(*managers))
