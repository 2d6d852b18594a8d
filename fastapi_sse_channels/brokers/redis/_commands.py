"""What a process asks Redis to do, each command for a limited time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._envelope import Look, parse_look
from ._scripts import (
    HISTORY,
    MISSING,
    PUBLISH,
    history_call,
    parse_position,
    publish_call,
    run_script,
)
from ._tasks import TimeLimit
from ._verbs import verbs_of

if TYPE_CHECKING:
    from ..._core.log import Retention
    from ..._core.position import Position
    from ._connect import Connector
    from ._names import Names

# what the broker and its scripts run, but for the commands of pub/sub and of scripts themselves
_USED = (
    *("DEL", "EXISTS", "HDEL", "HGETALL", "HMGET", "HSET", "PEXPIRE", "SET", "TIME"),
    *("XADD", "XLEN", "XRANGE"),
)


class Commands:
    """Runs scripts and commands of a started broker.

    Attributes:
        client: The redis-py client, for commands that are no scripts.
        limited: Awaits one of them for a limited time.
    """

    def __init__(self, connector: Connector, names: Names, *, seconds: float) -> None:
        """Allow each command `seconds`."""
        self.client = connector.client
        self.limited = TimeLimit(seconds)
        self._names = names
        self._verbs = verbs_of(is_sharded=connector.is_sharded)

    async def publish(
        self, key: str, body: bytes, retention: Retention, *, idempotency_key: str | None
    ) -> Position:
        """Store an event and announce it: run `publish.lua`."""
        call = publish_call(
            self._names,
            key,
            body,
            retention,
            idempotency_key=idempotency_key,
            verb=self._verbs.publish,
        )
        return parse_position(await self.limited(run_script(self.client, PUBLISH, *call)))

    async def look(self, key: str, since: int, retention: Retention) -> Look:
        """Read a channel's position and entries: run `history.lua`."""
        call = history_call(self._names, key, since, retention)
        return parse_look(await self.limited(run_script(self.client, HISTORY, *call)))

    async def missing(self, key: str) -> list[str]:
        """Name the commands that the server does not have: run `missing.lua`."""
        names = (*_USED, self._verbs.publish)
        call = ([self._names.log(key)], names)
        found = await self.limited(run_script(self.client, MISSING, *call))
        return [name.decode() for name in found]

    async def announce(self, channel: str, text: str) -> None:
        """Send a message that is not stored."""
        await self.limited(self.client.execute_command(self._verbs.publish, channel, text))

    async def stop(self) -> None:
        """End the commands that still go on."""
        await self.limited.stop()
