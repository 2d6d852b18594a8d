"""Publishers that record what was acknowledged, and clients that record what they got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from fastapi_sse_channels import PublishError, SyncPublisher

from .clock import cpu_wait
from .events import HISTORY_BYTES, HISTORY_SIZE, KEY_PREFIX, NAMESPACE, Numbered
from .processes import NodeProcess
from .verdict import Got, Heard, Opened, WasReset

_RETRY_AFTER = 0.05
_BATCH = 4


class Client:
    """Follows a channel over a socket; goes to the next node when its own goes away.

    Attributes:
        heard: All that it was sent, but pings.
        first: Counts the nodes round and round up to the one that it went to first.
        asked: How often each node, by its number, answered its request.
    """

    def __init__(self, channel: str, nodes: Sequence[NodeProcess], first: int) -> None:
        self.channel = channel
        self.heard: list[Heard] = []
        self.last_event_id: str | None = None
        self.asked: Counter[int] = Counter()
        self.first = first
        self._nodes = nodes
        self._turn = first
        self._task: asyncio.Task[None] | None = None
        self._stream: asyncio.Task[None] | None = None

    def come(self) -> None:
        """Connect, and come back whenever the stream ends."""
        self._task = asyncio.create_task(self._run())

    async def leave(self) -> None:
        """Disconnect; `come` resumes."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def go_to(self, number: int) -> None:
        """Cut the stream, and come back to a node."""
        self._turn = number
        self.go_on_elsewhere()

    def go_on_elsewhere(self) -> None:
        """Cut the stream, and come back to the next node."""
        if self._stream is not None:
            self._stream.cancel()

    @property
    def is_listening(self) -> bool:
        return bool(self.heard)

    async def _run(self) -> None:
        while True:
            number = self._turn % len(self._nodes)
            self._turn += 1
            self._stream = asyncio.create_task(self._follow(number))
            try:
                await asyncio.wait([self._stream])
            finally:
                self._stream.cancel()
            await asyncio.sleep(_RETRY_AFTER)

    async def _follow(self, number: int) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
            await self._request(number)

    async def _request(self, number: int) -> None:
        node = self._nodes[number]
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=2**20)
        try:
            had_id = self.last_event_id is not None
            resume = f"Last-Event-ID: {self.last_event_id}\r\n" if had_id else ""
            path = f"/channels/{self.channel}/events"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: node\r\n{resume}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked[number] += 1
            if not head.startswith(b"HTTP/1.1 200 "):
                return
            rest = b""
            while chunk := await _chunk(reader):
                *blocks, rest = (rest + chunk).split(b"\n\n")
                for block in blocks:
                    self._take(block.decode(), had_id=had_id)
        finally:
            writer.close()

    def _take(self, block: str, *, had_id: bool) -> None:
        lines = [line for line in block.split("\n") if line not in {":", ""}]
        fields = dict(line.split(": ", 1) for line in lines)
        data: Any = json.loads(fields["data"])
        now = time.monotonic()
        match fields.get("event"):
            case "stream-open":
                # where a reset follows, that has the id
                cursor = fields.get("id", self.last_event_id or "")
                self.heard.append(Opened(cursor, data["resumed"], had_id, now))
            case "stream-reset":
                self.heard.append(WasReset(fields["id"], data["reason"], now))
            case None:
                self.heard.append(Got(fields["id"], data["publisher"], data["number"], now))
        self.last_event_id = fields.get("id", self.last_event_id)


async def _chunk(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readline()).strip() or b"0", 16)
    data = await reader.readexactly(size)
    await reader.readline()
    return data


class Publisher(ABC):
    """Publishes numbers in order, each until it is acknowledged.

    Attributes:
        channel: Where.
        acknowledged: The ids of its events.
        failures: How often a publish raised `PublishError`.
        slowest: Seconds that the longest publish took, whatever came of it.
        starved: Seconds of that for which the machine had no CPU for it.
        surprises: Anything but `PublishError` that a publish raised.
    """

    def __init__(self, name: str, channel: str, pause: float) -> None:
        self.name = name
        self.channel = channel
        self.acknowledged: list[str] = []
        self.failures = 0
        self.slowest = 0.0
        self.starved = 0.0
        self.surprises: list[str] = []
        self._pause = pause
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def abandon(self) -> None:
        """Stop at once, whatever is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def stop(self) -> None:
        """Publish no more, and wait for the last answer."""
        self._is_stopping = True
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while not self._is_stopping:
            is_well = await self.publish_next()
            await asyncio.sleep(self._pause if is_well else _RETRY_AFTER)

    async def publish_next(self) -> bool:
        """Try once to publish what follows the last number that was acknowledged.

        Returns:
            Whether nothing failed.
        """
        return await self._publish_from(len(self.acknowledged))

    def key(self, number: int) -> str:
        """The idempotency key of every attempt to publish a number."""
        return f"{self.name}-{number}"

    def _took(self, seconds: float, starved: float) -> None:
        if seconds > self.slowest:
            self.slowest, self.starved = seconds, starved

    @abstractmethod
    async def _publish_from(self, number: int) -> bool: ...


class NodePublisher(Publisher):
    """Publishes through a handler of a node.

    An answer that never came is asked for again at the next node, with the same idempotency keys.
    """

    def __init__(
        self, name: str, channel: str, nodes: Sequence[NodeProcess], first: int, pause: float
    ) -> None:
        super().__init__(name, channel, pause)
        self._nodes = nodes
        self._turn = first

    async def _publish_from(self, number: int) -> bool:
        node = self._nodes[self._turn % len(self._nodes)]
        numbers = range(number, number + _BATCH)
        batch = [{"number": n, "idempotency_key": self.key(n)} for n in numbers]
        try:
            answer = await node.post(
                f"/channels/{self.channel}", {"publisher": self.name, "batch": batch}
            )
        except httpx2.TransportError:
            self._turn += 1
            return False
        except httpx2.HTTPStatusError as error:
            self.surprises.append(f"{self.name}: {error.response.status_code}")
            return False
        self.acknowledged += answer["acknowledged"]
        self._took(answer["slowest"], answer["starved"])
        self.failures += answer["failure"] is not None
        return answer["failure"] is None


class ScriptPublisher(Publisher):
    """Publishes from a thread without an event loop."""

    def __init__(
        self, name: str, channel: str, redis_port: int, pause: float, *, padding: int = 0
    ) -> None:
        super().__init__(name, channel, pause)
        self._padding = "x" * padding
        self._thread = ThreadPoolExecutor(1)
        self._publisher = SyncPublisher(
            Numbered,
            broker=f"redis://127.0.0.1:{redis_port}/0",
            namespace=NAMESPACE,
            key_prefix=KEY_PREFIX,
            history_size=HISTORY_SIZE,
            history_bytes=HISTORY_BYTES,
        )

    async def stop(self) -> None:
        """See `Publisher.stop`."""
        await super().stop()
        self._close()

    async def abandon(self) -> None:
        """See `Publisher.abandon`."""
        await super().abandon()
        self._close()

    def _close(self) -> None:
        self._thread.shutdown()
        self._publisher.close()

    async def _publish_from(self, number: int) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._publish, number)

    def _publish(self, number: int) -> bool:
        event = Numbered(publisher=self.name, number=number, padding=self._padding)
        waited, began = cpu_wait(), time.monotonic()
        try:
            event_id = self._publisher.publish(
                self.channel, event, idempotency_key=self.key(number)
            )
        except PublishError:
            self.failures += 1
            return False
        except Exception as error:
            self.surprises.append(f"{self.name}: {error!r}")
            return False
        else:
            self.acknowledged.append(event_id)
            return True
        finally:
            self._took(time.monotonic() - began, cpu_wait() - waited)
