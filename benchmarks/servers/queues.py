"""A queue for each client: what servers without channels of their own are given."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class Event(NamedTuple):
    id: str
    data: str


class Queues:
    """Channels as sets of queues."""

    def __init__(self) -> None:
        self._channels: defaultdict[str, set[asyncio.Queue[Event]]] = defaultdict(set)
        self._published = 0

    @contextmanager
    def subscribed(self, channel: str) -> Iterator[asyncio.Queue[Event]]:
        queue: asyncio.Queue[Event] = asyncio.Queue()
        self._channels[channel].add(queue)
        try:
            yield queue
        finally:
            self._channels[channel].discard(queue)

    def publish(self, channel: str, data: str) -> None:
        self._published += 1
        event = Event(str(self._published), data)
        for queue in self._channels[channel]:
            queue.put_nowait(event)
