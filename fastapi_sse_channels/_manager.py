"""The channels of one kind of resource."""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from fastapi import Path
from pydantic import AfterValidator, BeforeValidator
from typing_extensions import TypeForm

from ._channel import Channel, Session
from ._checks import check_choice, check_finite, check_positive, check_whole
from ._core.encoder import EventNames
from ._core.keys import MAX_RESOURCE_ID_LENGTH, checked_resource_id
from ._declaration import declare
from ._engine import Engine
from ._errors import BrokerError, ConfigurationError
from ._live.playback import SlowPolicy, StreamSettings
from ._live.threads import current_loop
from ._publisher import Publisher
from ._servers.uvicorn import Chunks
from ._subscription import Subscription
from ._sync_publisher import SyncPublisher, made_of
from .brokers import Broker, MemoryBroker
from .brokers._address import without_password

if TYPE_CHECKING:
    from uuid import UUID


T = TypeVar("T")


class ChannelManager(Generic[T]):
    """Typed channels of one kind of resource: what is published reaches every open stream.

    Make one when the program is loaded, and use it from routers and handlers. It binds to the
    event loop that first uses it, and to another one once that loop is closed.
    """

    def __init__(
        self,
        event_type: TypeForm[T],
        *,
        key_prefix: str,
        key_suffix: str = "events",
        resource_id_type: TypeForm[str | int | UUID] = str,
        broker: str | Broker = "memory://",
        name: str | None = None,
        event_names: EventNames = "none",
        history_size: int = 256,
        history_bytes: int = 1024 * 1024,
        history_ttl: float = 300.0,
        max_event_bytes: int = 256 * 1024,
        ping_interval: float | None = 15.0,
        retry: int = 2_000,
        send_timeout: float = 15.0,
        slow_after: float = 1.0,
        slow_policy: SlowPolicy = "reset",
        drain_spread: float = 5.0,
        max_sessions: int | None = 10_000,
        write_directly: bool = False,
    ) -> None:
        """Check the event union and prepare its channels.

        Args:
            event_type: `Annotated[A | B, Field(discriminator="type")]`, or one model.
            key_prefix: With `key_suffix`, distinguishes the channels of this manager from those
                of others.
            key_suffix: See `key_prefix`.
            resource_id_type: What resource ids are: `str`, `int` or `UUID`, or one of them with
                constraints, such as `Annotated[str, StringConstraints(to_lower=True)]`. Paths and
                publishers are held to it, and different spellings of one id name one channel.
            broker: `"memory://"` for one process, `"redis://…"` for any number, or a broker
                object that several managers share.
            name: The union's name in the OpenAPI document, which no model should have; by default
                its declared name, or one made of the key parts, such as `Note-EventsEvent`.
            event_names: `"discriminator"` names events on the wire, for htmx and
                `addEventListener`; by default `onmessage` gets them all.
            history_size: Events kept for each channel.
            history_bytes: Bytes of events kept for each channel.
            history_ttl: Seconds for which an event is kept, and a channel that nobody uses.
            max_event_bytes: Size of the largest event accepted, in bytes of JSON.
            ping_interval: Seconds of silence before a ping; `None` for no pings.
            retry: Milliseconds after which clients reconnect; varied by up to half, both ways.
            send_timeout: Seconds after which a client that reads nothing is dropped.
            slow_after: Seconds for which one publish waits, at most, for clients that would be
                overrun. Those that read nothing get a tenth of it, then a five-hundredth of the
                time.
            slow_policy: `"reset"` sends an overrun client a reset, `"close"` ends its stream.
            drain_spread: Seconds over which clients come back after a shutdown.
            max_sessions: Streams of this manager open at once in this process, `None` for any
                number; more are answered with 503. Those of other managers are not counted.
            write_directly: Write events past uvicorn's `send`, which takes less CPU time. Has an
                effect only under uvicorn's httptools protocol, where no middleware wraps `send`.

        Raises:
            ConfigurationError: The union or a value cannot work; the message names the fix.
        """
        check_whole(retry=retry)
        check_positive(send_timeout=send_timeout, slow_after=slow_after)
        check_finite(drain_spread=drain_spread)
        check_choice("slow_policy", slow_policy, SlowPolicy)
        if ping_interval is not None:
            check_positive(ping_interval=ping_interval)
            check_finite(ping_interval=ping_interval)
        if max_sessions is not None:
            check_whole(max_sessions=max_sessions)
        declaration = declare(
            event_type,
            key_prefix=key_prefix,
            key_suffix=key_suffix,
            resource_id_type=resource_id_type,
            name=name,
            event_names=event_names,
            history_size=history_size,
            history_bytes=history_bytes,
            history_ttl=history_ttl,
            max_event_bytes=max_event_bytes,
        )
        self._engine = Engine(
            declaration,
            _broker(broker),
            stream_settings=StreamSettings(
                ping_interval=ping_interval,
                send_timeout=send_timeout,
                slow_after=slow_after,
                slow_policy=slow_policy,
                chunks=Chunks() if write_directly else None,
                retry=lambda: int(retry * random.uniform(0.5, 1.5)),
                drain_retry=lambda: int(500 + 1000 * random.uniform(0, drain_spread)),
            ),
            slow_after=slow_after,
            max_sessions=max_sessions,
        )
        self.broker.claim(self._engine.keys.name)

    def __repr__(self) -> str:
        """Show the channels' key and the sessions of this process."""
        hub = self._engine.running_hub
        sessions = len(hub.streams) if hub else 0
        return f"<ChannelManager {self._engine.keys.name} sessions={sessions}>"

    @property
    def broker(self) -> Broker:
        """Where the channels are stored."""
        return self._engine.broker

    def channel(self, resource_id: str | int | UUID) -> Channel[T]:
        """Return the channel of a resource.

        Raises:
            InvalidResourceIdError: The id cannot name a channel.
        """
        return Channel(self._engine, resource_id)

    async def publish(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Send an event to every stream of a resource, and keep it for those that come back.

        The call waits for the store, and for streams that keep up and would be overrun.

        Args:
            resource_id: The resource on whose channel to publish.
            event: A model of the union, or a mapping that validates as one.
            idempotency_key: Publishing again with the same key within five minutes stores
                nothing new and returns the first id.

        Returns:
            The event's id.

        Raises:
            InvalidEventError: The event was refused, before anything was stored.
            InvalidResourceIdError: The id cannot name a channel.
            ConfigurationError: The idempotency key is not a non-empty string.
            PublishError: The broker could not confirm that the event is stored.
            BrokerError: The broker was not started, or was stopped.
        """
        key = self._engine.keys.key(resource_id)
        return await self._engine.publish(key, event, idempotency_key)

    def publish_sync(
        self,
        resource_id: str | int | UUID,
        event: T | Mapping[str, object],
        *,
        idempotency_key: str | None = None,
    ) -> str:
        """Publish from any thread but the event loop's, and wait until the event is stored.

        See `publish` for the arguments and for further errors.

        Raises:
            BrokerError: No running application uses the manager.
            WrongThreadError: Called on the event loop's thread.
        """
        hub = self._engine.running_hub
        if hub is None or not hub.loop.is_running():
            msg = (
                "no event loop runs this manager; call publish_sync while the application is up, "
                "with its lifespan hook (the router or sse_lifespan) in place"
            )
            raise BrokerError(msg)
        publisher = Publisher(self._engine, hub.loop)
        return publisher.publish_sync(resource_id, event, idempotency_key=idempotency_key)

    def subscribe(
        self, resource_id: str | int | UUID, *, last_event_id: str | None = None
    ) -> Subscription[T]:
        """Follow a resource's channel inside Python; see `Channel.subscribe`."""
        return self.channel(resource_id).subscribe(last_event_id=last_event_id)

    def session_count(self, resource_id: str | int | UUID) -> int:
        """Count the streams of a resource in this process."""
        return self.channel(resource_id).session_count

    async def total_session_count(self, resource_id: str | int | UUID) -> int:
        """Count the streams of a resource in all processes.

        Raises:
            BrokerError: The store does not answer, or the broker is not running.
        """
        return await self.broker.total_sessions(self._engine.keys.key(resource_id))

    def sessions(self, resource_id: str | int | UUID) -> tuple[Session[T], ...]:
        """Return the streams of a resource in this process."""
        return self.channel(resource_id).sessions

    def cleanup_if_empty(self, resource_id: str | int | UUID) -> bool:
        """Free what this process keeps of a channel without streams, including its history.

        The library does so by itself once a channel has not been used for `history_ttl`.

        Returns:
            Whether there was something to free.
        """
        return self.broker.forget(self._engine.keys.key(resource_id))

    async def publisher(self) -> Publisher[T]:
        """Provide a publisher: `Annotated[Publisher[E], Depends(manager.publisher)]`."""
        return Publisher(self._engine, current_loop())

    def sync_publisher(self) -> SyncPublisher[T]:
        """Make a publisher for code without an event loop: Celery tasks, cron jobs, scripts.

        It works without a running application, and agrees with this manager in everything.

        Raises:
            ConfigurationError: The broker cannot be reached without an event loop: it is the
                in-memory one, or Redis behind Sentinel or in a cluster.
        """
        return made_of(self._engine.declaration, self.broker.sync_store())

    def channel_for(self, parameter: str) -> Callable[..., Awaitable[Channel[T]]]:
        """Make a dependency that provides the channel named by a path parameter.

        Args:
            parameter: The path parameter that holds the resource id.
        """

        async def channel(**path: str | int | UUID) -> Channel[T]:
            return self.channel(path[parameter])

        channel.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [
                inspect.Parameter(
                    parameter,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=_path_parameter(self._engine.keys.resource_id_type),
                )
            ]
        )
        return channel

    async def start(self) -> None:
        """Start the broker and accept streams, as `sse_lifespan` does; starts are counted.

        Raises:
            BrokerError: The broker's store cannot be used.
        """
        await self._engine.start()

    async def stop(self) -> None:
        """Undo one `start`; the last one ends every stream and releases the broker."""
        await self._engine.stop()

    async def drain(self) -> None:
        """End every stream of this process and refuse new ones until the next `start`.

        Clients come back spread over `drain_spread`. SIGTERM and SIGINT have the same effect.
        """
        await self._engine.hub.drain.run()


def engine_of(manager: ChannelManager[T]) -> Engine[T]:
    """Return what a manager is made of; for the modules beside this one."""
    return manager._engine  # noqa: SLF001  # users are not meant to see it


def _path_parameter(resource_id_type: Any) -> Any:
    if resource_id_type is not str:
        return Annotated[resource_id_type, AfterValidator(_checked), Path()]
    return Annotated[
        str,
        # a path converter such as {id:int} passes what it converted
        BeforeValidator(str),
        Path(min_length=1, max_length=MAX_RESOURCE_ID_LENGTH),
    ]


def _checked(resource_id: str | int | UUID) -> str | int | UUID:
    checked_resource_id(resource_id)  # its error is one of the request, too
    return resource_id


def _broker(broker: object) -> Broker:
    if isinstance(broker, Broker):
        return broker
    if broker == "memory://":
        return MemoryBroker()
    if isinstance(broker, str) and broker.startswith(("redis://", "rediss://", "unix://")):
        try:
            from .brokers.redis import RedisBroker  # noqa: PLC0415  # an optional extra
        except ModuleNotFoundError as error:
            raise ConfigurationError(str(error)) from error
        return RedisBroker(broker)
    shown = without_password(broker) if isinstance(broker, str) else broker
    msg = (
        f"broker={shown!r} is not known; use 'memory://', 'redis://host:port/db', or a Broker "
        "object"
    )
    raise ConfigurationError(msg)
