"""What a feed and its fan-out know of those who read the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Reader(Protocol):
    """A cursor into a feed's log."""

    @property
    def offset(self) -> int:
        """The offset of the last entry taken."""
        ...

    @property
    def stuck_since(self) -> float | None:
        """When it last took something, by the event loop's time; `None` if it takes all it gets."""
        ...

    @property
    def credit(self) -> float:
        """Seconds for which it may hold up publishers while it is stuck; see `earned`."""
        ...

    @property
    def is_guest(self) -> bool:
        """Whether it has not begun to take what is published."""
        ...

    def flush(self, now: float) -> Coroutine[object, object, None] | None:
        """Take what the log holds beyond the cursor.

        Returns:
            What is left to await, where it could not be done at once.
        """
        ...
