"""Wait for what has no event of its own."""

# ruff: noqa: ASYNC109  # a time limit that cannot be forgotten is what these functions are for

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._errors import StreamTimeoutError

if TYPE_CHECKING:
    from uuid import UUID

    from .._manager import ChannelManager

_POLL_INTERVAL = 0.002


async def wait_for_sessions(
    manager: ChannelManager[Any],
    resource_id: str | int | UUID,
    count: int,
    *,
    timeout: float = 5.0,
) -> None:
    """Wait until a resource has exactly so many streams in this process.

    Args:
        manager: Whose channel.
        resource_id: The resource.
        count: How many streams.
        timeout: Seconds.

    Raises:
        StreamTimeoutError: It had another number until the end.
    """
    try:
        async with asyncio.timeout(timeout):
            while manager.session_count(resource_id) != count:  # noqa: ASYNC110  # a plain count
                await asyncio.sleep(_POLL_INTERVAL)
    except TimeoutError:
        found = manager.session_count(resource_id)
        msg = f"{resource_id!r} has {found} sessions after {timeout} s, not {count}"
        raise StreamTimeoutError(msg) from None
