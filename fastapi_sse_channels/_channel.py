"""The channel of one resource, as users hold it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ._checks import check_choice
from ._wire import CloseReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._manager import ChannelManager
    from ._session import Session
    from ._subscription import Subscription

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
            last_event_id: Go on after this event instead of now.
        """
        return self.manager.subscribe(self.resource_id, last_event_id=last_event_id)

    def close(self, reason: CloseReason = "ended", *, reconnect: bool = False) -> int:
        """End every stream of this channel in this process.

        Args:
            reason: Tells the clients why.
            reconnect: Whether they should come back.

        Returns:
            How many streams were open.

        Raises:
            ConfigurationError: There is no such reason on the wire.
        """
        check_choice("reason", reason, CloseReason)
        sessions = self.sessions
        for session in sessions:
            session.close(reason, reconnect=reconnect)
        return len(sessions)

    @property
    def sessions(self) -> tuple[Session[T], ...]:
        """The streams that are open in this process."""
        return self.manager.sessions(self.resource_id)

    @property
    def session_count(self) -> int:
        """How many streams are open in this process."""
        return self.manager.session_count(self.resource_id)
