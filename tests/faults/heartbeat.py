"""A heartbeat on an event loop tells a stalled loop from a busy machine."""

from __future__ import annotations

import asyncio
import time

from .clock import cpu_wait

INTERVAL = 0.01


class Heartbeat:
    """Beats on the event loop that runs it.

    Attributes:
        stall: How late a beat was at most, in seconds for which the loop's thread had a CPU;
            something computed or blocked then.
        starved: The longest that the thread waited for a CPU between two beats.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.stall = self.starved = 0.0

    async def run(self) -> None:
        while True:
            waited, began = cpu_wait(), time.monotonic()
            await asyncio.sleep(INTERVAL)
            starved = cpu_wait() - waited
            self.starved = max(self.starved, starved)
            self.stall = max(self.stall, time.monotonic() - began - starved - INTERVAL)
