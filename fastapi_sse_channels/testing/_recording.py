"""A publisher that records events, for tests without streams."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, TypeVar

from .._manager import engine_of
from .._publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from .._manager import ChannelManager

T = TypeVar("T")


class RecordingPublisher(Publisher[T]):
    """Checks events as the real publisher does, and keeps them instead of sending them.

    `with RecordingPublisher(manager) as recorder:` takes every event that this process publishes
    with the manager meanwhile, through whatever publisher, channel or the manager itself. A
    `SyncPublisher` has a store of its own, and is not recorded.

    Attributes:
        published: The resource id and the event of each publish, in order.
    """

    def __init__(self, manager: ChannelManager[T]) -> None:
        """Stand in for the publisher of a manager."""
        self._manager = manager
        self._adapter = engine_of(manager).union.adapter
        self._ids: dict[tuple[str, str], str] = {}
        self._undo = ExitStack()
        self.published: list[tuple[str, T]] = []

    def __repr__(self) -> str:
        """Show how many events were recorded."""
        return f"<RecordingPublisher of {self._manager!r} published={len(self.published)}>"

    def __enter__(self) -> Self:
        """Take what is published from now on."""
        engine = engine_of(self._manager)
        self._undo.callback(setattr, engine, "record", engine.record)
        engine.record = lambda key, event, idempotency_key: self._record(
            engine.keys.resource_id(key), event, idempotency_key
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Let events be published again."""
        self._undo.close()

    async def publish(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Record an event.

        Returns:
            A made-up id, which no stream knows.

        Raises:
            InvalidEventError: The manager would refuse it.
            InvalidResourceIdError: The id cannot name a channel.
        """
        return self._record(resource_id, event, idempotency_key)

    def publish_sync(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Record an event; see `publish`."""
        return self._record(resource_id, event, idempotency_key)

    def events(self, resource_id: str | int | UUID) -> list[T]:
        """Return what was published to one resource, in order."""
        wanted = engine_of(self._manager).keys.canonical(resource_id)
        return [event for found, event in self.published if found == wanted]

    def clear(self) -> None:
        """Forget everything."""
        self.published.clear()
        self._ids.clear()

    def _record(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        idempotency_key: str | None,
    ) -> str:
        resource = engine_of(self._manager).keys.canonical(resource_id)
        # encoded too: some events are only refused then
        engine_of(self._manager).encoder.encode(event)
        key = None if idempotency_key is None else (resource, idempotency_key)
        if key in self._ids:
            return self._ids[key]
        model = engine_of(self._manager).encoder.validate(event).model_copy(deep=True)
        self.published.append((resource, self._adapter.validate_python(model)))
        event_id = f"recorded.{len(self.published)}"
        if key is not None:
            self._ids[key] = event_id
        return event_id
