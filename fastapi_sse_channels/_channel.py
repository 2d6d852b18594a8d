"""The channel of one resource, as users hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_choice
from ._core.wire import CloseReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._live.stream import Session
    from ._live.subscription import Subscription
    from ._manager import ChannelManager

T = TypeVar("T")


class Channel(Generic[T]):
    """A handle on one resource's channel; cheap to make, holds nothing open."""

    __slots__ = ("key", "manager", "resource_id")

    def __init__(self, manager: ChannelManager[T], resource_id: str, key: str) -> None:
        """Use `ChannelManager.channel`."""
        self.manager = manager
        self.resource_id = resource_id
        self.key = key

    def __repr__(self) -> str:
        """Show the key and how many sessions are open here."""
        return f"<Channel {self.key} sessions={self.session_count}>"

    async def publish(
        self, event: T | Mapping[str, object], *, idempotency_key: str | None = None
    ) -> str:
        """Publish to this channel; see `ChannelManager.publish`."""
        return await self.manager.publish(self.resource_id, event, idempotency_key=idempotency_key)

    def subscribe(self, *, last_event_id: str | None = None) -> Subscription[T]:
        """Follow the channel inside Python: `async with channel.subscribe() as events`.

        Args:
            last_event_id: The id of an event after which to resume; without it, the subscription
                begins with the next event.
        """
        return self.manager.subscribe(self.resource_id, last_event_id=last_event_id)

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
        return self.manager.sessions(self.resource_id)

    @property
    def session_count(self) -> int:
        """The number of sessions open in this process."""
        return self.manager.session_count(self.resource_id)
