"""The least that hearing of an event costs: hiredis on a socket, and nothing done with it.

    python -m benchmarks.servers.redis_floor REDIS_PORT PATTERN END

Prints a line once it listens, and the number of events once one on the channel END has come.
"""

from __future__ import annotations

import asyncio
import sys
from typing import cast

import hiredis
import uvloop

from ..store import packed

_PIECE = 65536


class Floor(asyncio.Protocol):
    def __init__(self, pattern: bytes, end: bytes) -> None:
        self._pattern = pattern
        self._end = end
        self._reader = hiredis.Reader()
        self._heard = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no asyncio.Transport
        cast("asyncio.Transport", transport).write(packed("PSUBSCRIBE", self._pattern))

    def data_received(self, data: bytes) -> None:
        # as much at once as redis-py reads: hiredis takes twice as long from larger pieces
        for start in range(0, len(data), _PIECE):
            self._feed(data[start : start + _PIECE])

    def _feed(self, piece: bytes) -> None:
        reader = self._reader
        reader.feed(piece)
        while (message := reader.gets()) is not False:
            if message[0] == b"pmessage":
                self._heard += 1
                if message[2] == self._end:
                    print(self._heard, flush=True)
            else:
                print("listening", flush=True)


async def main(port: int, pattern: str, end: str) -> None:
    loop = asyncio.get_running_loop()
    protocol = Floor(pattern.encode(), end.encode())
    await loop.create_connection(lambda: protocol, "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
