"""How many sessions each node has.

A channel has a hash of node → count. A node's counts hold as long as its lease, one key that it
renews; so a killed node is gone everywhere when one key expires.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from ._explain import UNAVAILABLE
from ._tasks import end

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ._names import Names

logger = logging.getLogger("fastapi_sse_channels")

_COUNTS_TTL_MS = 24 * 3_600_000
_RETRY_DELAY = 0.5
_BATCH = 16


class SessionCounts:
    """This node's counts, written in the background, and everybody's total."""

    def __init__(self, client: Redis, names: Names, node: str) -> None:
        """Start with no sessions."""
        self._client = client
        self._names = names
        self._node = node
        self._own: dict[str, int] = {}
        self._unwritten: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop writing; the lease ends what was written."""
        await end(self._task)

    def set(self, key: str, count: int) -> None:
        """Write a count soon."""
        if count:
            self._own[key] = count
        else:
            self._own.pop(key, None)
        self._unwritten[key] = None
        self._changed.set()

    def rewrite(self) -> None:
        """Write every count again; the server may have lost them."""
        self._unwritten.update(dict.fromkeys(self._own))
        self._changed.set()

    async def total(self, key: str) -> int:
        """Add up the counts of the nodes that live.

        Raises:
            RedisError: The server is away.
        """
        counts = await _reply(self._client.hgetall(self._names.counts(key)))
        others = {name.decode(): int(n) for name, n in counts.items() if n.isdigit()}
        others.pop(self._node, None)
        alive = await asyncio.gather(*(self._is_alive(node) for node in others))
        dead = [node for node, lives in zip(others, alive, strict=True) if not lives]
        if dead:
            await _reply(self._client.hdel(self._names.counts(key), *dead))
        total = sum(n for n, lives in zip(others.values(), alive, strict=True) if lives)
        return total + self._own.get(key, 0)

    async def _is_alive(self, node: str) -> bool:
        return bool(await _reply(self._client.exists(self._names.lease(node))))

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            keys = tuple(self._unwritten)
            self._unwritten.clear()
            try:
                await asyncio.gather(*(self._write(key) for key in keys[:_BATCH]))
                self._unwritten.update(dict.fromkeys(keys[_BATCH:]))
            except UNAVAILABLE:
                self._unwritten.update(dict.fromkeys(keys))
                await asyncio.sleep(_RETRY_DELAY)
            if self._unwritten:
                self._changed.set()

    async def _write(self, key: str) -> None:
        name = self._names.counts(key)
        if count := self._own.get(key):
            await _reply(self._client.hset(name, self._node, str(count)))
            await _reply(self._client.pexpire(name, _COUNTS_TTL_MS))
        else:
            await _reply(self._client.hdel(name, self._node))


async def _reply(command: Any) -> Any:
    """Await a command; redis-py types it for two kinds of client."""
    return await command
