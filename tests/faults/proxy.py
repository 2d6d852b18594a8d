"""A TCP relay whose wire can be cut, slowed and reset."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field

# a small buffer leaves little on its way when the wire is cut
_BUFFER = 32 * 1024
_CHUNKS_ON_THE_WAY = 64


@dataclass(eq=False)
class _Wire:
    client: socket.socket
    server: socket.socket
    is_subscription: bool = False
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Proxy:
    """Relays connections to a port on this machine.

    Attributes:
        port: Where it listens.
        upstream: Where new connections lead.
    """

    def __init__(self, upstream: int) -> None:
        self.upstream = upstream
        self.port = 0
        self._delay = 0.0
        self._rate: float | None = None
        self._spares_commands = False
        self._refuses = False
        self._is_fast = asyncio.Event()
        self._to_server = asyncio.Event()
        self._to_client = asyncio.Event()
        self._listener: socket.socket | None = None
        self._wires: set[_Wire] = set()
        self.heal()

    async def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.settimeout(0)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    async def stop(self) -> None:
        assert self._listener is not None
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        await self.reset()

    def heal(self) -> None:
        """Let everything pass; held-back bytes arrive, as they do when TCP sends them again."""
        self._delay, self._rate = 0.0, None
        self._spares_commands = self._refuses = False
        self._is_fast.set()
        self._to_server.set()
        self._to_client.set()

    def slow_down(
        self, delay: float, rate: float | None = None, *, spare_commands: bool = False
    ) -> None:
        """Carry everything late.

        Args:
            delay: Seconds that every byte takes, each way.
            rate: Bytes a second, each way of each connection; `None` without limit.
            spare_commands: Slow down only what subscribers receive.
        """
        self._delay, self._rate = delay, rate
        self._spares_commands = spare_commands
        self._is_fast.clear()

    async def refuse(self) -> None:
        """Break every connection, and each one that is made until `heal`."""
        self._refuses = True
        await self.reset()

    def black_hole(self) -> None:
        """Carry nothing, and say nothing."""
        self._to_server.clear()
        self._to_client.clear()

    def stall_replies(self) -> None:
        """Carry nothing from the server, as if the client did not read."""
        self._to_client.clear()

    async def reset(self) -> None:
        """Break every connection with an RST to both sides."""
        wires, self._wires = self._wires, set()
        for wire in wires:
            _break(wire)
        if tasks := [task for wire in wires for task in wire.tasks]:
            await asyncio.wait(tasks)

    def _accept(self, listener: socket.socket) -> None:
        client, _ = listener.accept()
        if self._refuses:
            _abort(client)
            return
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        for end in (client, server):
            end.settimeout(0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire = _Wire(client, server)
        self._wires.add(wire)
        wire.tasks = [asyncio.create_task(self._open(wire))]

    async def _open(self, wire: _Wire) -> None:
        # while the wire is cut, nobody answers
        await self._to_server.wait()
        try:
            address = ("127.0.0.1", self.upstream)
            await asyncio.get_running_loop().sock_connect(wire.server, address)
        except OSError:
            self._wires.discard(wire)
            _break(wire)
        else:
            wire.tasks += self._carry(wire, wire.client, wire.server, self._to_server)
            wire.tasks += self._carry(wire, wire.server, wire.client, self._to_client)

    def _delay_of(self, wire: _Wire, source: socket.socket) -> float:
        if self._spares_commands and not (wire.is_subscription and source is wire.server):
            return 0.0
        return self._delay

    def _carry(
        self, wire: _Wire, source: socket.socket, sink: socket.socket, gate: asyncio.Event
    ) -> list[asyncio.Task[None]]:
        loop = asyncio.get_running_loop()
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_ON_THE_WAY)

        async def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    await gate.wait()
                    data = await loop.sock_recv(source, _BUFFER)
                    wire.is_subscription |= source is wire.client and b"SUBSCRIBE" in data
                    await on_the_way.put((loop.time() + self._delay_of(wire, source), data))
                    if not data:
                        return
            await on_the_way.put((0, b""))

        async def give() -> None:
            with contextlib.suppress(OSError):
                while True:
                    due, data = await on_the_way.get()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout_at(due):
                            await self._is_fast.wait()
                    await gate.wait()
                    if not data:
                        break
                    await loop.sock_sendall(sink, data)
                    if self._rate:
                        await asyncio.sleep(len(data) / self._rate)
            if wire in self._wires:
                self._wires.discard(wire)
                _break(wire, abruptly=False)

        return [asyncio.create_task(take()), asyncio.create_task(give())]


def _break(wire: _Wire, *, abruptly: bool = True) -> None:
    for task in wire.tasks:
        task.cancel()
    for end in (wire.client, wire.server):
        if abruptly:
            _abort(end)
        else:
            end.close()


def _abort(end: socket.socket) -> None:
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()
