"""The Lua scripts with their arguments, for asyncio and blocking clients alike."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, ResponseError

from ..._core.position import new_epoch, new_nonce, start_of
from .._base import IDEMPOTENCY_WINDOW
from ._envelope import NotOursError, position_of
from ._errors import inner_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._core.log import Retention
    from ..._core.position import Position
    from ._names import Names


class Script:
    """A Lua script and the name that Redis gives it.

    Attributes:
        text: Its source.
        sha1: What `EVALSHA` takes.
    """

    __slots__ = ("sha1", "text")

    def __init__(self, file_name: str) -> None:
        """Read a file of this package, after the one that every script begins with."""
        folder = files("fastapi_sse_channels.brokers.redis")
        self.text = "".join(
            folder.joinpath(name).read_text("ascii") for name in ("rights.lua", file_name)
        )
        self.sha1 = hashlib.sha1(self.text.encode()).hexdigest()  # noqa: S324  # Redis' choice


PUBLISH = Script("publish.lua")
HISTORY = Script("history.lua")
COUNT = Script("count.lua")
MISSING = Script("missing.lua")

_RECEIPT_TTL_MS = int(IDEMPOTENCY_WINDOW * 1000)
# Positions outlive entries by far: "nothing was missed" can then be told from "it expired".
POSITION_TTL_MS = 30 * 24 * 3_600_000
# Redis refuses what overflows its clock, and `history_ttl` may be infinite.
_LONGEST_TTL_MS = 100 * 365 * 24 * 3_600_000
# Anyone may open streams of made-up resources; their positions must not fill the server.
EMPTY_POSITION_TTL_MS = 3_600_000
# What a look returns is parsed in one go, which must not keep the event loop from the streams.
PIECE_ENTRIES = 512
_PIECE_BYTES = 1024 * 1024


async def run_script(
    client: Any, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]
) -> Any:
    """Run a script, which the server keeps from the first time on."""
    try:
        try:
            return await client.evalsha(script.sha1, len(keys), *keys, *arguments)
        except NoScriptError:  # not known to the server, so nothing was run
            return await client.eval(script.text, len(keys), *keys, *arguments)
    except ResponseError as error:
        raise inner_error(error) from None


def publish_call(
    names: Names,
    key: str,
    body: bytes,
    retention: Retention,
    *,
    idempotency_key: str | None = None,
    verb: str = "PUBLISH",
) -> tuple[list[str], list[str | bytes | int]]:
    """Return the keys and arguments of `publish.lua`."""
    keys = [names.position(key), names.log(key)]
    if idempotency_key is not None:
        keys.append(names.receipt(key, idempotency_key))
    start = start_of(new_epoch())
    return keys, [
        names.channel(key),
        verb,
        body,
        start.epoch,
        start.nonce,
        new_nonce(),
        retention.size,
        retention.max_bytes,
        max(1, _ms(retention.ttl)),
        max(POSITION_TTL_MS, _ms(retention.ttl * 2)),
        _RECEIPT_TTL_MS,
    ]


def history_call(
    names: Names, key: str, since: int, retention: Retention
) -> tuple[list[str], list[str | int]]:
    """Return the keys and arguments of `history.lua`."""
    ttl = _ms(retention.ttl * 2)
    start = start_of(new_epoch())
    return [names.position(key), names.log(key)], [
        since,
        start.epoch,
        start.nonce,
        max(EMPTY_POSITION_TTL_MS, ttl),
        max(POSITION_TTL_MS, ttl),
        PIECE_ENTRIES,
        _PIECE_BYTES,
    ]


def parse_position(reply: Any) -> Position:
    """Read the reply of `publish.lua`.

    Raises:
        NotOursError: It is not one.
    """
    try:
        epoch, offset, nonce = reply
        return position_of(epoch, offset, nonce)
    except (ValueError, TypeError) as error:
        raise NotOursError(f"unexpected reply to a publish: {reply!r}") from error


def _ms(seconds: float) -> int:
    return int(min(seconds * 1000, _LONGEST_TTL_MS))
