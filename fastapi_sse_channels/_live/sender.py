"""The sending of one stream, message by message.

The fan-out drives a `send` by hand, since most complete at once: see `Sender.step`.
"""

from __future__ import annotations

import asyncio
import contextvars
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any

from .._servers.shutdown import shutdown_of_server
from .._servers.transport import (
    AbortableTransport,
    bound_buffer,
    past_forwarders,
    transport_behind,
)
from .._servers.uvicorn import Chunks, DirectWriter, direct_writer

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Send


# bytes a second
_SLOWEST = 64 * 1024


class StalledError(Exception):
    """The client reads nothing."""


class Sender:
    """Sends the messages of one response.

    Attributes:
        direct: Writes pieces past `send`, where that is possible.
    """

    __slots__ = (
        "_context",
        "_is_encrypted",
        "_receive",
        "_send",
        "_timeout",
        "_transport",
        "direct",
    )

    def __init__(
        self, send: Send, receive: Receive, *, timeout: float, is_encrypted: bool = False
    ) -> None:
        """Prepare to send.

        Args:
            send: The request's `send`.
            receive: The request's `receive`.
            timeout: Seconds after which a client that reads nothing is given up.
            is_encrypted: Whether the client speaks TLS, be it with the server or a proxy.
        """
        self._send = send
        self._receive = receive
        self._timeout = timeout
        self._is_encrypted = is_encrypted
        self.direct: DirectWriter | None = None
        self._transport: AbortableTransport | None = None
        # Middleware may read the request's contextvars in `send`. This is None where they are
        # empty, which saves memory for each stream, and a switch for each delivery.
        self._context = contextvars.copy_context() or None

    async def send_opening(
        self, start: Message, pieces: Iterable[bytes], chunks: Chunks | None
    ) -> None:
        """Send the head and the first pieces of the body.

        Args:
            start: The response's head.
            pieces: The body's first bytes.
            chunks: Allows later pieces to be written past `send`.

        Raises:
            StalledError: The client reads nothing.
        """
        if self._is_encrypted and (connection := self.connection) is not None:
            bound_buffer(connection)
        opening = tuple(pieces)
        # a client that takes its time over much is not one that reads nothing
        seconds = self._timeout + sum(map(len, opening)) / _SLOWEST
        await self._complete(self._send_all(start, opening), seconds)
        if chunks is not None:
            self.direct = direct_writer(self._send, chunks)

    async def _send_all(self, start: Message, pieces: Iterable[bytes]) -> None:
        await self._send(start)
        self._send = past_forwarders(self._send)
        for piece in pieces:
            await self._send(body(piece))

    def step(self, message: Message) -> Awaitable[None] | None:
        """Take the first step of a send, which is the only one unless the client reads slowly.

        Returns:
            What is left of the send; await it with `complete`.
        """
        try:
            call: Any = self._send(message)
            if type(call) is not types.CoroutineType:
                call = _await(call)
            waiting_for = (
                call.send(None) if self._context is None else self._context.run(call.send, None)
            )
        except StopIteration:
            return None
        return _rest_of(call, waiting_for)

    async def send(self, message: Message) -> None:
        """Send a message whose first step was not taken.

        Raises:
            StalledError: The client reads nothing.
        """
        # `send` itself may raise (granian's does); the caller meets that error when it awaits, too
        await self.complete(self._call(message))

    async def _call(self, message: Message) -> None:
        await self._send(message)

    async def complete(self, sending: Awaitable[None]) -> None:
        """Wait for a send.

        Raises:
            StalledError: The client reads nothing.
        """
        await self._complete(sending, self._timeout)

    async def _complete(self, sending: Awaitable[None], seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await sending
        except TimeoutError as error:
            raise StalledError from error

    def within_context(self, call: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """Run every step of a coroutine in the request's context."""
        return call if self._context is None else _steps_within(self._context, call)

    @property
    def connection(self) -> AbortableTransport | None:
        """The connection that the stream has for itself, where the server gives access to it."""
        if self._transport is None:
            self._transport = transport_behind(self._send, self._receive)
        return self._transport

    def server_shutdown(self) -> Callable[[], Awaitable[None]] | None:
        """Return what ends once the server shuts down without a signal, for the caller to await."""
        return shutdown_of_server(self._send, self._receive)


def body(piece: bytes, *, more: bool = True) -> Message:
    """Make the message that carries a piece of a response's body."""
    return {"type": "http.response.body", "body": piece, "more_body": more}


async def _await(sending: Awaitable[None]) -> None:
    await sending


async def _steps_within(context: contextvars.Context, call: Coroutine[Any, Any, None]) -> None:
    try:
        waiting_for = context.run(call.send, None)
    except StopIteration:
        return
    await _rest_of(call, waiting_for, context)


@types.coroutine
def _rest_of(
    call: Coroutine[Any, Any, None], waiting_for: Any, context: contextvars.Context | None = None
) -> Generator[Any, Any, None]:
    """Await a coroutine whose first step was already taken by hand."""
    while True:
        try:
            value = yield waiting_for
        except BaseException as error:  # the coroutine handles cancellation too
            step: Callable[[Any], Any] = call.throw
            argument: Any = error
        else:
            step, argument = call.send, value
        try:
            waiting_for = step(argument) if context is None else context.run(step, argument)
        except StopIteration:
            return
