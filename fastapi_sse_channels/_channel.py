"""The channel of one resource and its sessions, as users hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_choice
from ._core.wire import CloseReason
from ._live.stream import Stream
from ._subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from ._engine import Engine

T = TypeVar("T")


class Session(Generic[T]):
    """One open stream, as handed to `on_connect` and `on_disconnect`.

    Attributes:
        channel: The channel that it streams.
    """

    __slots__ = ("_stream", "channel")

    def __init__(self, channel: Channel[T], stream: Stream) -> None:
        """Use what hooks are called with, or `Channel.sessions`."""
        self.channel = channel
        self._stream = stream

    def __repr__(self) -> str:
        """Show which stream this is and where it stands."""
        return repr(self._stream).replace("<Stream", "<Session", 1)

    def __eq__(self, other: object) -> bool:
        """Whether both stand for the same stream."""
        return isinstance(other, Session) and self._stream is other._stream

    def __hash__(self) -> int:
        """Agree with `__eq__`."""
        return hash(self._stream)

    @property
    def id(self) -> str:
        """Names the session in this process's logs."""
        return self._stream.id

    @property
    def last_event_id(self) -> str | None:
        """The id after which the client asked to resume, if any."""
        return self._stream.last_event_id

    @property
    def resumed(self) -> bool:
        """Whether the stream continues after `last_event_id`."""
        return self._stream.resumed

    def close(self, reason: CloseReason = "ended", *, reconnect: bool = False) -> None:
        """End the stream with `stream-close`, after what is already published.

        Args:
            reason: Sent to the client.
            reconnect: Whether the client should connect again.

        Raises:
            ConfigurationError: `reason` is not one that `stream-close` can have.
        """
        check_choice("reason", reason, CloseReason)
        self._stream.close(reason, reconnect=reconnect)


class Channel(Generic[T]):
    """A handle on one resource's channel; it is cheap to make and holds nothing open.

    Attributes:
        resource_id: The resource's id, as a string.
    """

    __slots__ = ("_engine", "_key", "resource_id")

    def __init__(self, engine: Engine[T], resource_id: str | int | UUID) -> None:
        """Use `ChannelManager.channel`.

        Raises:
            InvalidResourceIdError: The id cannot name a channel.
        """
        self._engine = engine
        self.resource_id = engine.keys.canonical(resource_id)
        self._key = engine.keys.key_of(self.resource_id)

    def __repr__(self) -> str:
        """Show the key and how many sessions are open here."""
        return f"<Channel {self._key} sessions={self.session_count}>"

    async def publish(
        self, event: T | Mapping[str, object], *, idempotency_key: str | None = None
    ) -> str:
        """Publish to this channel; see `ChannelManager.publish`."""
        return await self._engine.publish(self._key, event, idempotency_key)

    def subscribe(self, *, last_event_id: str | None = None) -> Subscription[T]:
        """Follow the channel inside Python: `async with channel.subscribe() as events`.

        Args:
            last_event_id: The id of an event after which to resume; without it, the subscription
                begins with the next event.
        """
        engine = self._engine
        return Subscription(engine.hub, self._key, engine.union, last_event_id=last_event_id)

    def close(self, reason: CloseReason = "ended", *, reconnect: bool = False) -> int:
        """End every stream of this channel in this process.

        Args:
            reason: Sent to the clients.
            reconnect: Whether they should connect again.

        Returns:
            The number of streams that were open.

        Raises:
            ConfigurationError: `reason` is not one that `stream-close` can have.
        """
        check_choice("reason", reason, CloseReason)
        sessions = self.sessions
        for session in sessions:
            session.close(reason, reconnect=reconnect)
        return len(sessions)

    @property
    def sessions(self) -> tuple[Session[T], ...]:
        """The sessions open in this process."""
        hub = self._engine.running_hub
        feed = None if hub is None else hub.feed(self._key)
        # the copy is made in one step, for the event loop may go on while another thread looks
        readers = () if feed is None else tuple(feed.readers)
        return tuple(Session(self, reader) for reader in readers if isinstance(reader, Stream))

    @property
    def session_count(self) -> int:
        """The number of sessions open in this process."""
        hub = self._engine.running_hub
        feed = None if hub is None else hub.feed(self._key)
        return 0 if feed is None else feed.session_count


def parts_of(channel: Channel[T]) -> tuple[Engine[T], str]:
    """Return what a channel works with, and its key; for the modules beside this one."""
    return channel._engine, channel._key  # noqa: SLF001  # users are not meant to see them
