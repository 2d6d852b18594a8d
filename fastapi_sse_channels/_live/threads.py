"""Runs a coroutine on another thread's event loop, and waits for it while that loop lives.

A coroutine that is handed to a loop in its last turn is never run, and its future never done.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any

from .._errors import BrokerClosedError, ConfigurationError

_LOOP_ENDED = "the event loop ended before the event was known to be stored"
_LOOK_INTERVAL = 0.5


def result_of(publishing: Coroutine[Any, Any, str], loop: asyncio.AbstractEventLoop) -> str:
    """Wait in a thread without an event loop.

    Raises:
        BrokerClosedError: The event loop ended before the event was known to be stored.
    """
    future = _hand_over(publishing, loop)
    while not (future.done() or loop.is_closed()):
        wait([future], timeout=_LOOK_INTERVAL)
    return _outcome(future, publishing)


async def result_from(loop: asyncio.AbstractEventLoop, publishing: Coroutine[Any, Any, str]) -> str:
    """Wait in another event loop; see `result_of`."""
    future = _hand_over(publishing, loop)
    waiting = asyncio.wrap_future(future)
    try:
        while not (waiting.done() or loop.is_closed()):
            await asyncio.wait([waiting], timeout=_LOOK_INTERVAL)
    except asyncio.CancelledError:
        waiting.cancel()
        raise
    if waiting.done() and not waiting.cancelled():
        return waiting.result()
    return _outcome(future, publishing)


def current_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that runs in this thread.

    Raises:
        ConfigurationError: There is none; Trio's is none either.
    """
    loop = running_loop()
    if loop is None:
        msg = (
            "no asyncio event loop runs here, and channels need one; call this in async code, and "
            "under a server that uses asyncio (hypercorn: --worker-class asyncio or uvloop, not "
            "trio; anyio's tests: anyio_backend='asyncio')"
        )
        raise ConfigurationError(msg)
    return loop


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _hand_over(
    publishing: Coroutine[Any, Any, str], loop: asyncio.AbstractEventLoop
) -> Future[str]:
    try:
        return asyncio.run_coroutine_threadsafe(publishing, loop)
    except RuntimeError as error:  # the loop is closed already
        publishing.close()
        raise BrokerClosedError(_LOOP_ENDED) from error


def _outcome(future: Future[str], publishing: Coroutine[Any, Any, str]) -> str:
    if inspect.getcoroutinestate(publishing) == inspect.CORO_CREATED:
        publishing.close()
    if not future.done() or future.cancelled():
        raise BrokerClosedError(_LOOP_ENDED)
    return future.result()
