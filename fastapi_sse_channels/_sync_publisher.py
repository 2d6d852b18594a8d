"""Publishes from programs without an application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from typing_extensions import TypeForm

from ._checks import check_finite, check_positive, check_text
from ._declaration import Declaration, declare
from ._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ._core.encoder import EventNames
    from .brokers import SyncStore

T = TypeVar("T")


class SyncPublisher(Generic[T]):
    """Publishes without an event loop: from Celery tasks, cron jobs and scripts.

    Made by `ChannelManager.sync_publisher`, it cannot differ from the manager. Where a program
    cannot import that, pass the values that the manager has; a difference is logged with the first
    publish. It reaches the streams of every process, and threads may share it.
    """

    def __init__(
        self,
        event_type: TypeForm[T],
        *,
        broker: str,
        key_prefix: str,
        key_suffix: str = "events",
        resource_id_type: TypeForm[str | int | UUID] = str,
        namespace: str = "sse",
        event_names: EventNames = "none",
        history_size: int = 256,
        history_bytes: int = 1024 * 1024,
        history_ttl: float = 300.0,
        max_event_bytes: int = 256 * 1024,
        publish_timeout: float = 1.9,
    ) -> None:
        """Prepare a publisher; it connects with the first publish.

        Args:
            event_type: See `ChannelManager`.
            broker: The URL of the application's Redis server.
            key_prefix: See `ChannelManager`.
            key_suffix: See `ChannelManager`.
            resource_id_type: See `ChannelManager`.
            namespace: The namespace of the application's `RedisBroker`.
            event_names: See `ChannelManager`.
            history_size: See `ChannelManager`.
            history_bytes: See `ChannelManager`.
            history_ttl: See `ChannelManager`.
            max_event_bytes: See `ChannelManager`.
            publish_timeout: Seconds after which a publish fails if Redis does not answer.

        Raises:
            ConfigurationError: The union or the URL cannot work; the message names the fix.
        """
        if broker == "memory://":
            msg = (
                "the in-memory broker lives inside the server's process, where no script can "
                "reach it; use broker='redis://…' here and in the application"
            )
            raise ConfigurationError(msg)
        if not isinstance(broker, str):
            msg = f"broker={broker!r} is not a server's address; use broker='redis://host:port/db'"
            raise ConfigurationError(msg)
        check_positive(publish_timeout=publish_timeout)
        check_finite(publish_timeout=publish_timeout)
        try:
            from .brokers.redis import BlockingStore  # noqa: PLC0415  # an optional extra
        except ModuleNotFoundError as error:
            raise ConfigurationError(str(error)) from error

        self._declaration = declare(
            event_type,
            key_prefix=key_prefix,
            key_suffix=key_suffix,
            resource_id_type=resource_id_type,
            name=None,
            event_names=event_names,
            history_size=history_size,
            history_bytes=history_bytes,
            history_ttl=history_ttl,
            max_event_bytes=max_event_bytes,
        )
        self._store: SyncStore = BlockingStore(broker, namespace=namespace, seconds=publish_timeout)

    def __repr__(self) -> str:
        """Show where it publishes."""
        return f"<SyncPublisher {self._declaration.keys.name}>"

    def publish(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Publish an event and wait until it is stored; see `ChannelManager.publish`.

        Raises:
            InvalidEventError: Refused before anything was stored.
            InvalidResourceIdError: The id cannot name a channel.
            ConfigurationError: The idempotency key is not a non-empty string.
            PublishError: Redis could not confirm that the event is stored.
        """
        declaration = self._declaration
        key = declaration.keys.key(resource_id)
        if idempotency_key is not None:
            check_text(idempotency_key=idempotency_key)
        body = declaration.encoder.body(event)
        position = self._store.publish(key, body, declaration.retention, idempotency_key)
        self._store.compare(declaration.keys.name, declaration.summary)
        return position.event_id

    def close(self) -> None:
        """Close the connections; the next publish opens one again."""
        self._store.close()


def made_of(declaration: Declaration[T], store: SyncStore) -> SyncPublisher[T]:
    """Make a publisher of what a manager is made of."""
    publisher: SyncPublisher[T] = SyncPublisher.__new__(SyncPublisher)
    publisher._declaration = declaration  # noqa: SLF001  # its constructor takes what users write
    publisher._store = store  # noqa: SLF001
    return publisher
