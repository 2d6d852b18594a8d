"""What handlers publish with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

from ._errors import WrongThreadError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ._manager import ChannelManager

T = TypeVar("T")


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
        """Publish from a `def` handler or any other thread, and wait until it is stored.

        Raises:
            WrongThreadError: Called on the event loop's thread.
        """
        if _running_loop() is self._loop:
            msg = "publish_sync would block the event loop; use `await publisher.publish(…)`"
            raise WrongThreadError(msg)
        publishing = self._manager.publish(resource_id, event, idempotency_key=idempotency_key)
        return asyncio.run_coroutine_threadsafe(publishing, self._loop).result()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
