"""The start's rehearsal: what cannot work later is told at once."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..._core.log import Retention
from ..._core.wire import event_body
from ._errors import lacks_rights

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
_RETRY_DELAY = 0.1


class Rehearsal:
    """Does everything once that a started broker does, so that missing rights prevent the start."""

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
                if lacks_rights(error):
                    raise
                # a full server, or one unable to save, may recover, and can be read meanwhile
                logger.warning("Redis takes no events at present: %s", error)
            except (RedisConnectionError, RedisTimeoutError, OSError):
                # the server is loading, or failing over
                await asyncio.sleep(_RETRY_DELAY)
                continue
            return

    async def _do_everything(self) -> None:
        await self._lease.renew()
        await self._publish(self._lease.id)
        # the second publish drops the first
        await self._publish(None)
        client, limited = self._commands.client, self._commands.limited
        await limited(client.delete(self._names.log(_KEY)))
        await limited(client.hdel(self._names.counts(_KEY), self._lease.id))
        await limited(client.exists(self._names.lease(self._lease.id)))
        await self._counts.total(_KEY)

    async def _publish(self, idempotency_key: str | None) -> None:
        await self._commands.publish(_KEY, _BODY, _FORGOTTEN_SOON, idempotency_key=idempotency_key)
