"""The one lease of a process, by which others take it for alive."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING, Any, Protocol

from redis.exceptions import OutOfMemoryError

from ._errors import UNAVAILABLE

if TYPE_CHECKING:
    from ._commands import Commands
    from ._names import Names

logger = logging.getLogger("fastapi_sse_channels")


class Table(Protocol):
    """What a process writes under its lease; it holds as long as the lease does."""

    def rewrite(self) -> None:
        """Write everything again; the server may have lost it."""
        ...

    def rename(self, node: str) -> None:
        """Write everything under another lease from now on, and disown the former one."""
        ...


class Lease:
    """A key that expires unless this process renews it.

    Attributes:
        id: Names the incarnation of this process; another begins after a cut-off.
    """

    def __init__(
        self, node: str, table: Table, commands: Commands, names: Names, *, seconds: float
    ) -> None:
        """Hold no lease yet.

        Args:
            node: Names the first incarnation.
            table: What is written under the lease.
            commands: Write the lease.
            names: Say where.
            seconds: How long the lease lives after a renewal.
        """
        self.id = node
        self._table = table
        self._commands = commands
        self._names = names
        self._ms = int(seconds * 1000)
        self._was_kept = True
        self._is_in_doubt = False

    def doubt(self) -> None:
        """Take another lease at the next renewal, for this process was cut off from the server."""
        self._is_in_doubt = True

    async def renew(self) -> None:
        """Keep the lease, or take it again.

        Raises:
            RedisError: The server is away, or refuses.
        """
        if self._is_in_doubt:
            await self._take_another()
        lease = self._names.lease(self.id)
        # unlike SET, this is allowed when memory is full
        is_kept = bool(await self._commands.limited(self._commands.client.pexpire(lease, self._ms)))
        if not is_kept:
            await self._write(self.id)
        if not (is_kept and self._was_kept):
            # The lease was flushed, or expired while this process was stopped: the table may be
            # gone too. The next renewal writes it again, for a node that saw no lease may delete
            # this one's share only now.
            self._table.rewrite()
        self._was_kept = is_kept

    async def give_up(self) -> None:
        """End the lease; where the server is away, it expires."""
        try:
            await self._commands.limited(self._commands.client.delete(self._names.lease(self.id)))
        except UNAVAILABLE:
            logger.debug("leaving Redis failed; the lease will expire", exc_info=True)

    async def _take_another(self) -> None:
        """Disown what was written so far: a server that lost its last writes has an old state."""
        node = new_incarnation()
        if await self._write(node):
            self._is_in_doubt = False
            self.id = node
            self._table.rename(node)

    async def _write(self, node: str) -> bool:
        lease = self._names.lease(node)
        try:
            await self._commands.limited(self._commands.client.set(lease, "1", px=self._ms))
        except OutOfMemoryError:
            logger.debug("the lease cannot be written", exc_info=True)
            return False
        return True


def new_incarnation() -> str:
    """Draw a name that no other process has, nor this one before."""
    return secrets.token_hex(8)


async def is_alive(client: Any, names: Names, node: str) -> bool:
    """Whether a node's lease is there. Nothing else tells whether a node lives."""
    return bool(await client.exists(names.lease(node)))
