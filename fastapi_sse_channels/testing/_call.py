"""What the transports for httpx2 and for httpx have in common."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, TypeVar

from ._exchange import Exchange, open_exchange

if TYPE_CHECKING:
    from starlette.types import ASGIApp

T = TypeVar("T")


class Call:
    """A request of either library, answered by an application."""

    def __init__(self, request: Any, read_timeout: Any) -> None:
        """Take the time limit from the request.

        Args:
            request: Their request objects are alike.
            read_timeout: The library's error.
        """
        self._request = request
        self._read_timeout = read_timeout
        self._limit = request.extensions.get("timeout", {}).get("read")

    async def answer(self, app: ASGIApp, state: dict[str, Any]) -> Exchange:
        """Send the request, and wait for the head of the response."""
        exchange = open_exchange(app, self._request, await self._request.aread(), state)
        try:
            await self._within_limit(exchange.head())
        except BaseException:
            await exchange.aclose()
            raise
        return exchange

    async def body(self, exchange: Exchange) -> AsyncIterator[bytes]:
        """Yield chunks as the application sends them, until it ends the response."""
        while chunk := await self._within_limit(exchange.read()):
            yield chunk

    async def _within_limit(self, waiting: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._limit):
                return await waiting
        except TimeoutError as error:
            msg = f"the application sent nothing for {self._limit} s"
            raise self._read_timeout(msg, request=self._request) from error
