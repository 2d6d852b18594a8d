"""Tells whether what Redis holds goes on where the log of this process ends.

An entry follows another if it has the next offset and names the nonce of the one before it. No
I/O here: `read_log` is handed the function that looks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..._core.log import Log, Retention
from ..._core.position import NOWHERE, Position

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..._core.wire import ResetReason
    from ._envelope import Look, Stored


def append_next(log: Log, stored: Stored) -> bool:
    """Append an entry if it is the next one.

    Returns:
        Whether the log and the store still agree.
    """
    top = log.top
    position = stored.position
    if position.epoch != top.epoch:
        return False
    if position.offset == top.offset + 1 and stored.previous == top.nonce:
        log.append(stored.body, position.nonce, time.monotonic())
        return True
    # the log has had this entry already; the nonce tells it from an offset that was used again
    return position.offset <= top.offset and log.gap(position) is None


def continues(log: Log, look: Look) -> bool:
    """Whether what was read after the log's top follows it without a hole."""
    if look.top.epoch != log.epoch:
        return False
    if not look.entries:
        return look.top == log.top
    first = look.entries[0][0]
    return first.position.offset == log.top.offset + 1 and first.previous == log.top.nonce


def has_reached(log: Log, top: Position) -> bool:
    """Whether the log holds this very position, or has held it."""
    return log.gap(top) in {None, "trimmed", "expired"}


async def read_log(
    retention: Retention, look_at: Callable[[int], Awaitable[Look]], first: Look | None = None
) -> Log:
    """Make a log of what the store holds, piece by piece.

    A piece that does not follow the one before starts the log over: the store dropped what was
    between them, or began a new epoch.
    """
    log = Log(retention, NOWHERE)
    look = first or await look_at(0)
    while True:
        if not continues(log, look):
            log.restart(_floor(look), before=_why_earlier_is_gone(look))
        now = time.monotonic()
        for stored, age in look.entries:
            log.append(stored.body, stored.position.nonce, now - age)
        log.expire(now)
        if look.is_last:
            return log
        look = await look_at(look.read)
        if look.top.epoch != log.epoch:
            look = await look_at(0)


def _floor(look: Look) -> Position:
    if not look.entries:
        return look.top
    oldest = look.entries[0][0]
    return Position(look.top.epoch, oldest.position.offset - 1, oldest.previous)


def _why_earlier_is_gone(look: Look) -> ResetReason:
    # Redis drops a log as a whole when it is too old, and entry by entry when there are too many
    return "trimmed" if look.entries else "expired"
