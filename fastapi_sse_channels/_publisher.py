"""What handlers publish with."""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ._errors import BrokerClosedError, WrongThreadError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from uuid import UUID

    from ._manager import ChannelManager

T = TypeVar("T")

_LOOP_ENDED = "the event loop ended before the event was known to be stored"
_LOOK_INTERVAL = 0.5


class Publisher(Generic[T]):
    """Publishes to the channels of one manager, from `async def` and `def` handlers alike."""

    def __init__(self, manager: ChannelManager[T], loop: asyncio.AbstractEventLoop) -> None:
        """Use `Depends(manager.publisher)`."""
        self._manager = manager
        self._loop = loop

    def __repr__(self) -> str:
        """Show where it publishes."""
        return f"<Publisher of {self._manager!r}>"

    async def publish(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Publish an event; see `ChannelManager.publish`."""
        return await self._manager.publish(resource_id, event, idempotency_key=idempotency_key)

    def publish_sync(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Publish from a `def` handler or any other thread, and wait until the event is stored.

        See `ChannelManager.publish` for the arguments and for further errors.

        Raises:
            WrongThreadError: Called on the event loop's thread.
            BrokerClosedError: The event loop ended before the event was known to be stored.
        """
        if _running_loop() is self._loop:
            msg = "publish_sync would block the event loop; use `await publisher.publish(…)`"
            raise WrongThreadError(msg)
        publishing = self._manager.publish(resource_id, event, idempotency_key=idempotency_key)
        return _result_of(publishing, self._loop)


def _result_of(publishing: Coroutine[Any, Any, str], loop: asyncio.AbstractEventLoop) -> str:
    """Run a coroutine on another thread's loop, and wait for it as long as that loop lives.

    A coroutine that is handed to a loop in its last turn is never run, and its future never done.
    """
    future = _hand_over(publishing, loop)
    while not (future.done() or loop.is_closed()):
        wait([future], timeout=_LOOK_INTERVAL)
    return _outcome(future, publishing)


async def result_from(loop: asyncio.AbstractEventLoop, publishing: Coroutine[Any, Any, str]) -> str:
    """Do what `_result_of` does, from another thread's event loop."""
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


def _hand_over(
    publishing: Coroutine[Any, Any, str], loop: asyncio.AbstractEventLoop
) -> Future[str]:
    try:
        return asyncio.run_coroutine_threadsafe(publishing, loop)
    except RuntimeError as error:  # closed already
        publishing.close()
        raise BrokerClosedError(_LOOP_ENDED) from error


def _outcome(future: Future[str], publishing: Coroutine[Any, Any, str]) -> str:
    if inspect.getcoroutinestate(publishing) == inspect.CORO_CREATED:
        publishing.close()
    if not future.done() or future.cancelled():
        raise BrokerClosedError(_LOOP_ENDED)
    return future.result()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
