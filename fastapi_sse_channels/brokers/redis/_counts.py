"""The number of sessions that each node has.

A channel has a hash of node → count. A node's counts hold as long as its lease, one key that it
renews; so a killed node is gone everywhere when one key expires.
"""

from __future__ import annotations

import asyncio
import logging
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from ._errors import UNAVAILABLE
from ._lease import is_alive
from ._scripts import COUNT, run_script
from ._tasks import end

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from ._names import Names

logger = logging.getLogger("fastapi_sse_channels")

_NODE = re.compile(rb"[0-9a-f]{16}")
_TTL = 24 * 3600.0
_RETRY_DELAY = 0.5
_BATCH = 16


class SessionCounts:
    """This node's counts, written in the background, and everybody's total."""

    def __init__(self, client: Redis, names: Names, node: str, *, ttl: float = _TTL) -> None:
        """Start with no sessions.

        Args:
            client: Reaches the server that holds the counts.
            names: Where it holds them.
            node: Names this process; its lease makes the counts hold.
            ttl: Seconds for which a channel's counts are kept after the last write.
        """
        self._client = client
        self._ttl = ttl
        self._names = names
        self._node = node
        self._former_node = ""
        self._own: dict[str, int] = {}
        self._unwritten: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._has_complained = False

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
        """See `Table.rewrite`."""
        self._unwritten.update(dict.fromkeys(self._own))
        self._changed.set()

    def rename(self, node: str) -> None:
        """See `Table.rename`."""
        self._node, self._former_node = node, self._node
        self.rewrite()

    async def total(self, key: str) -> int:
        """Add up the counts of the nodes that live.

        Raises:
            RedisError: The server is away.
        """
        counts = await _reply(self._client.hgetall(self._names.counts(key)))
        others = {
            name.decode(): int(n)
            for name, n in counts.items()
            if _NODE.fullmatch(name) and n.isdigit()
        }
        for own in (self._node, self._former_node):
            others.pop(own, None)
        alive = await asyncio.gather(
            *(is_alive(self._client, self._names, node) for node in others)
        )
        dead = [node for node, lives in zip(others, alive, strict=True) if not lives]
        if dead:
            await _reply(self._client.hdel(self._names.counts(key), *dead))
        total = sum(n for n, lives in zip(others.values(), alive, strict=True) if lives)
        return total + self._own.get(key, 0)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        rewritten_at = loop.time()
        while True:
            try:
                async with asyncio.timeout_at(rewritten_at + self._ttl / 2):
                    await self._changed.wait()
            except TimeoutError:
                # streams may stay open for longer than that, with no change to report
                rewritten_at = loop.time()
                self.rewrite()
            self._changed.clear()
            keys = tuple(islice(self._unwritten, _BATCH))
            for key in keys:
                del self._unwritten[key]
            written = await asyncio.gather(*(self._write(key) for key in keys))
            # a failed write goes behind the others, which must not wait for it
            unwritten = [key for key, is_done in zip(keys, written, strict=True) if not is_done]
            self._unwritten.update(dict.fromkeys(unwritten))
            if self._unwritten:
                self._changed.set()
            if unwritten:
                await asyncio.sleep(_RETRY_DELAY)

    async def _write(self, key: str) -> bool:
        name = self._names.counts(key)
        try:
            if count := self._own.get(key):
                await run_script(
                    self._client,
                    COUNT,
                    [name],
                    [self._node, count, int(self._ttl * 1000), self._former_node],
                )
            else:
                await _reply(self._client.hdel(name, self._node, self._former_node))
        except ResponseError as error:
            self._complain(key, error)
            return not isinstance(error, OutOfMemoryError | ReadOnlyError)
        except UNAVAILABLE:
            return False
        return True

    def _complain(self, key: str, error: ResponseError) -> None:
        if not self._has_complained:
            self._has_complained = True
            logger.error(
                "sessions of %r cannot be counted across processes (%s); further errors of the "
                "kind will not be logged",
                key,
                error,
            )


async def _reply(command: Any) -> Any:
    """Await a command; redis-py types it for two kinds of client."""
    return await command
