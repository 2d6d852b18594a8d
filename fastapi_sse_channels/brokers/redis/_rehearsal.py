"""The start's rehearsal: what cannot work later prevents the start."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..._core.log import Retention
from ..._core.wire import event_body
from ._errors import may_pass
from ._scripts import COUNT, run_script

if TYPE_CHECKING:
    from ._commands import Commands
    from ._counts import SessionCounts
    from ._lease import Lease
    from ._names import Names

logger = logging.getLogger("fastapi_sse_channels")

# every channel's key has colons, so this name is free
_KEY = "start"
_BODY = event_body(b"{}")
_FORGOTTEN_SOON = Retention(1, 1, 1.0)
_COUNTED_MS = 1000
_RETRY_DELAY = 0.1


class Rehearsal:
    """Does everything once that a started broker does; what the server refuses ends the start."""

    def __init__(
        self, commands: Commands, names: Names, lease: Lease, counts: SessionCounts
    ) -> None:
        """Prepare a rehearsal of what these parts do."""
        self._commands = commands
        self._names = names
        self._lease = lease
        self._counts = counts

    async def run(self) -> None:
        """Return once the server took everything, or refused only for the time being.

        Raises:
            ResponseError: The server refuses for good.
            RedisError: The password or user is wrong.
        """
        while True:
            try:
                await self._do_everything()
            except (AuthenticationError, ReadOnlyError):
                raise
            except ResponseError as error:
                if not may_pass(error):
                    raise
                # a full server, or one unable to save, may recover, and can be read meanwhile
                logger.warning("Redis takes no events at present: %s", error)
            except (RedisConnectionError, RedisTimeoutError, OSError):
                # the server is loading, or failing over
                await asyncio.sleep(_RETRY_DELAY)
                continue
            return

    async def _do_everything(self) -> None:
        if missing := await self._commands.missing(_KEY):
            msg = f"unknown command {', '.join(missing)}"
            raise ResponseError(msg)
        client, limited = self._commands.client, self._commands.limited
        counts, lease = self._names.counts(_KEY), self._lease
        # what a full server takes too goes first
        await lease.renew()
        await limited(client.exists(self._names.lease(lease.id)))
        await self._commands.announce(self._names.probe(_KEY), "")
        await self._commands.look(_KEY, 0, _FORGOTTEN_SOON)
        await self._publish(lease.id)
        # the second publish drops the first
        await self._publish(None)
        await limited(run_script(client, COUNT, [counts], [lease.id, 1, _COUNTED_MS, ""]))
        await self._counts.total(_KEY)
        await limited(client.hdel(counts, lease.id))
        await limited(client.delete(self._names.log(_KEY)))

    async def _publish(self, idempotency_key: str | None) -> None:
        await self._commands.publish(_KEY, _BODY, _FORGOTTEN_SOON, idempotency_key=idempotency_key)
