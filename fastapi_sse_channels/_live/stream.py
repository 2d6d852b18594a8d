"""One open stream: a cursor into a channel's log, and a way to send."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._core import wire
from .._core.log import pieces_of
from .delivery import Delivery

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Message

    from .._core.wire import CloseReason
    from .feed import Feed
    from .playback import LoadInitial, StreamSettings
    from .reader import Reader
    from .sender import Sender


class Stream(Delivery):
    """One open stream.

    Attributes:
        id: Names the stream in this process's logs.
        ping_slot: Where the pinger keeps it.
    """

    __slots__ = ("__weakref__", "_wake", "id", "ping_slot")

    def __init__(
        self,
        feed: Feed,
        sender: Sender,
        *,
        last_event_id: str | None,
        load_initial: LoadInitial,
        settings: StreamSettings,
        wake: Callable[[Reader], None],
    ) -> None:
        """Fix the cursor; nothing is sent before `open`.

        Args:
            feed: The log, and those who read it.
            sender: Sends to the client.
            last_event_id: Where the client wants to go on.
            load_initial: Loads the bodies of the initial events.
            settings: The manager's.
            wake: Has the stream flushed soon.
        """
        super().__init__(
            feed, sender, last_event_id=last_event_id, load_initial=load_initial, settings=settings
        )
        self.id = secrets.token_hex(8)
        self.ping_slot = 0
        self._wake = wake

    def __repr__(self) -> str:
        """Show which stream this is and where it stands."""
        state = "ended" if self._is_ended else "open"
        return f"<Stream {self.id} of {self.feed.key} at {self.offset} {state}>"

    def close(self, reason: CloseReason = "ended", *, reconnect: bool = False) -> None:
        """End the stream with `stream-close`, after what is already published.

        Args:
            reason: Sent to the client.
            reconnect: Whether the client should connect again.
        """
        retry = self._settings.drain_retry() if reason == "shutdown" else self._settings.retry()
        self._close_with(wire.StreamClose(reason, reconnect, retry).encode())

    def drop(self) -> None:
        """End the stream of a client whose leaving the server does not report."""
        # the last message is sent because the server complains of a response that is cut short
        self._close_with(self._extra or wire.PING)

    def _close_with(self, last: bytes) -> None:
        self._extra = last
        self._is_closing = True
        self._wake(self)

    async def send_first(self, start: Message, frames: Sequence[bytes]) -> bool:
        """Send the response's head and first frames.

        Returns:
            Whether the stream goes on.
        """
        opening = self.sender.send_opening(start, pieces_of(frames), self._settings.chunks)
        return await self._succeeds(opening)

    def go_live(self, task: asyncio.Task[Any]) -> None:
        """Let the fan-out send from now on.

        Args:
            task: What waits for the client; cancelled when the stream ends by itself.
        """
        self._task = task
        self.stuck_since = None
        self._wake(self)

    @property
    def has_woken_task(self) -> bool:
        """Whether the task was cancelled by the stream that it waits for."""
        return self._task is None
