"""The stream of a channel inside Python."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from ._core.encoder import decode
from ._core.position import initial_received
from ._errors import ConfigurationError
from ._live.subscriber import Subscriber

if TYPE_CHECKING:
    from types import TracebackType

    from ._core.union import EventUnion
    from ._live.hub import Hub

T = TypeVar("T")


class Subscription(Generic[T]):
    """Events of one channel, replay first, then live, without a hole between them.

    Iteration ends when the process drains its streams. It raises `StreamResetError` once where
    events were missed, and can then be continued.
    """

    def __init__(
        self, hub: Hub, key: str, union: EventUnion[T], *, last_event_id: str | None
    ) -> None:
        """Use `Channel.subscribe`; the subscription begins when it is entered."""
        self._hub = hub
        self._key = key
        self._union = union
        self._last_event_id = last_event_id and initial_received(last_event_id)
        self._subscriber: Subscriber | None = None

    async def __aenter__(self) -> Subscription[T]:
        """Follow the channel; from here on the subscription misses nothing.

        Raises:
            DrainingError: The streams of this process are being ended.
            BrokerError: The broker cannot follow the channel, or the store cannot say whether
                events were missed.
        """
        self._subscriber = await self._hub.subscribe(
            self._key, self._last_event_id, lambda feed: Subscriber(feed, self._last_event_id)
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop following."""
        self._hub.unsubscribe(self._entered())

    def __aiter__(self) -> Subscription[T]:
        """Iterate over the events."""
        return self

    async def __anext__(self) -> T:
        """Return the next event.

        Raises:
            StreamResetError: Events were missed; raised once for each hole.
            InvalidEventError: Another version of the program published an event that this
                one's union does not have. The next call goes on after it.
            ConfigurationError: The subscription was not entered.
        """
        data = await self._entered().next()
        if data is None:
            raise StopAsyncIteration
        return decode(self._union, data)

    @property
    def last_event_id(self) -> str:
        """The id from which a later subscription can resume.

        Raises:
            ConfigurationError: The subscription was not entered.
        """
        return self._entered().position.event_id

    def _entered(self) -> Subscriber:
        if self._subscriber is None:
            msg = "nothing is followed yet; use `async with channel.subscribe() as events:`"
            raise ConfigurationError(msg)
        return self._subscriber
