"""Time limits, and waiting for a number of sessions."""

# ruff: noqa: ASYNC109  # a time limit that cannot be forgotten is what these functions are for

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ._errors import StreamTimeoutError

if TYPE_CHECKING:
    from uuid import UUID

    from .._manager import ChannelManager

_POLL_INTERVAL = 0.002


@asynccontextmanager
async def time_limit(
    seconds: float | None, too_late: Callable[[], Exception]
) -> AsyncIterator[None]:
    """Raise the caller's error once the time is over.

    A `TimeoutError` that the application raised passes through: it does not mean slowness here.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise too_late() from None
        raise


async def wait_for_sessions(
    manager: ChannelManager[Any],
    resource_id: str | int | UUID,
    count: int,
    *,
    timeout: float = 5.0,
) -> None:
    """Wait until a resource has exactly so many streams in this process.

    Args:
        manager: The manager of the channel.
        resource_id: The resource.
        count: The number of streams.
        timeout: Seconds.

    Raises:
        StreamTimeoutError: The number was another one until the end.
    """

    def too_late() -> StreamTimeoutError:
        found = manager.session_count(resource_id)
        msg = f"{resource_id!r} has {found} sessions after {timeout} s, not {count}"
        return StreamTimeoutError(msg)

    async with time_limit(timeout, too_late):
        while manager.session_count(resource_id) != count:  # noqa: ASYNC110  # a plain count
            await asyncio.sleep(_POLL_INTERVAL)
