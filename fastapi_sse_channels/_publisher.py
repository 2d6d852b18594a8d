"""What handlers publish with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ._errors import WrongThreadError
from ._live.threads import result_of, running_loop

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping
    from uuid import UUID

    from ._engine import Engine

T = TypeVar("T")


class Publisher(Generic[T]):
    """Publishes to the channels of one manager, from `async def` and `def` handlers alike."""

    def __init__(self, engine: Engine[T], loop: asyncio.AbstractEventLoop) -> None:
        """Use `Depends(manager.publisher)`."""
        self._engine = engine
        self._loop = loop

    def __repr__(self) -> str:
        """Show where it publishes."""
        return f"<Publisher of {self._engine.keys.name}>"

    async def publish(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Publish an event; see `ChannelManager.publish`."""
        return await self._publish(resource_id, event, idempotency_key)

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
        if running_loop() is self._loop:
            msg = "publish_sync would block the event loop; use `await publisher.publish(…)`"
            raise WrongThreadError(msg)
        return result_of(self._publish(resource_id, event, idempotency_key), self._loop)

    async def _publish(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        idempotency_key: str | None,
    ) -> str:
        key = self._engine.keys.key(resource_id)
        return await self._engine.publish(key, event, idempotency_key)
