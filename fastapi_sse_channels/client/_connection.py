"""The asynchronous connection."""

from __future__ import annotations

import asyncio
import contextlib
import random as random_module
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from typing_extensions import TypeForm

from .._core.parser import DEFAULT_MAX_EVENT_BYTES
from ._base import BaseConnection
from ._headers import HeadersRequest, asked_with_request
from ._httpx import httpx
from ._request import TRANSIENT, check_permanent
from ._state import DEFAULT_STALL_TIMEOUT, UNAUTHORIZED, InvalidPolicy, Options, StreamState
from ._status import Status, Waiting

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")
AsyncHeaders = (
    Mapping[str, str]
    | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]
    | Callable[[HeadersRequest], Mapping[str, str] | Awaitable[Mapping[str, str]]]
)


def connect(
    url: str | httpx.URL,
    event_type: TypeForm[T],
    *,
    last_event_id: str | None = None,
    headers: AsyncHeaders | None = None,
    client: httpx.AsyncClient | None = None,
    on_invalid: InvalidPolicy = "raise",
    on_unknown: InvalidPolicy = "skip",
    on_status: Callable[[Status], object] | None = None,
    stall_timeout: float = DEFAULT_STALL_TIMEOUT,
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    random: Callable[[], float] = random_module.random,
) -> Connection[T]:
    """Follow a channel over HTTP; enter what is returned with `async with`, then iterate over it.

    Args:
        url: The stream; relative to the `base_url` of `client`, where that has one.
        event_type: The union of the server's `ChannelManager`, or one model.
        last_event_id: The id of an event after which to resume, such as `Connection.last_event_id`
            of an earlier run; without it, the stream starts afresh.
        headers: More headers, or a function that returns them, `async` or not. It is called before
            every attempt, and once more after a 401 or 403; one that takes an argument is given a
            `HeadersRequest`, which tells the two apart. An `httpx.TransportError` or `OSError` that
            it raises counts as a failed attempt.
        client: The client to use, which is left open; by default the connection makes its own. Its
            read timeout does not apply.
        on_invalid: What to do with data that does not validate: `"raise"` an `InvalidEventError`,
            or log and `"skip"` it.
        on_unknown: The same for an event whose name the union does not have. A server may send new
            events before its clients know them, so the default is to skip them.
        on_status: Called with every new status.
        stall_timeout: Seconds without a byte after which to reconnect. Applies until the server has
            sent its ping interval; from then on, three of those.
        max_event_bytes: The longest data of an event that is read. A larger one is skipped, and
            raises `OversizeEventError`; give the server's `max_event_bytes` where that is larger.
        sleep: Waits for a number of seconds.
        random: Returns a number from 0 to 1, for the jitter.

    Raises:
        ConfigurationError: The union or an option cannot work; the message names the fix.
    """
    options = Options(
        on_invalid=on_invalid,
        on_unknown=on_unknown,
        on_status=on_status,
        stall_timeout=stall_timeout,
        max_event_bytes=max_event_bytes,
        random=random,
    )
    state = StreamState(event_type, last_event_id=last_event_id, options=options)
    return Connection(state, url, headers=headers, client=client, sleep=sleep)


class Connection(BaseConnection[T]):
    """Events of one stream, over as many requests as it takes.

    Iteration ends when the server says that nothing more will come. It raises `StreamResetError`
    once where events were missed, and can then be continued, like that of a `Subscription`. A call
    of `anext` that is cancelled loses nothing.
    """

    _usage = "async with connect(…)"

    def __init__(
        self,
        state: StreamState[T],
        url: str | httpx.URL,
        *,
        headers: AsyncHeaders | None,
        client: httpx.AsyncClient | None,
        sleep: Callable[[float], Awaitable[object]],
    ) -> None:
        """Use `connect`."""
        super().__init__(state, url)
        self._headers = asked_with_request(headers)
        self._given_client = client
        self._sleep = sleep
        self._client: httpx.AsyncClient | None = None
        self._chunks: AsyncGenerator[bytes] | None = None
        self._step: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Connection[T]:
        """Connect; what is published from here on is not missed.

        Keeps trying while the server cannot be reached; limit that with `asyncio.timeout`.

        Raises:
            StreamRefusedError: There is no such stream for this client.
            ConfigurationError: The request cannot be sent.
        """
        self._client = self._given_client or httpx.AsyncClient(follow_redirects=True)
        try:
            while not self._state.open():
                await self._advance()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.aclose()

    def __aiter__(self) -> Connection[T]:
        """Iterate over the events."""
        return self

    async def __anext__(self) -> T:
        """Return the next event.

        Raises:
            StreamResetError: Events were missed; raised once for each hole. It is an
                `OversizeEventError` where one was too large.
            InvalidEventError: What was received is not an event of the union. The next call goes
                on after it.
            StreamRefusedError: The server no longer has this stream for this client.
        """
        while (event := self._state.take()) is None:
            if self._state.is_closed:
                await self._drop()
                raise StopAsyncIteration
            await self._advance()
        return event

    async def aclose(self) -> None:
        """End the connection, and with it an iteration that waits."""
        try:
            self._state.close()
        finally:
            await self._free()

    async def _free(self) -> None:
        if (step := self._step) is not None:
            step.cancel()
            await asyncio.wait([step])
            if not step.cancelled():
                step.exception()  # retrieved: otherwise asyncio would log it
        await self._drop()
        if self._client is not None and self._given_client is None:
            await self._client.aclose()

    async def _advance(self) -> None:
        """Take the next step, in a task that survives the cancellation of the caller."""
        if self._step is None:
            self._step = asyncio.create_task(self._take_step())
        step = self._step
        await asyncio.wait([step])
        self._step = None
        if not step.cancelled():
            step.result()

    async def _take_step(self) -> None:
        if isinstance(self._state.status, Waiting):
            await self._drop()
            await self._sleep(self._state.status.delay)
        if self._chunks is None:
            await self._drop()
            await self._request()
        else:
            await self._read(self._chunks)

    async def _request(self) -> None:
        own = self._state.begin()
        limit = asyncio.timeout(self._state.stall_after)
        try:
            async with limit:
                response = await self._send(own)
                if response.status_code in UNAUTHORIZED and callable(self._headers):
                    await response.aclose()
                    response = await self._send(own, rejected=True)
        except TRANSIENT as error:
            check_permanent(error)
            self._lose(error, limit)
        else:
            if self._begins(response):
                self._chunks = cast("AsyncGenerator[bytes]", response.aiter_bytes())

    async def _send(self, own: Mapping[str, str], *, rejected: bool = False) -> httpx.Response:
        client = self._entered(self._client)
        headers = self._headers
        given = headers(HeadersRequest(rejected)) if callable(headers) else headers
        if isinstance(given, Awaitable):
            given = await given
        route = self._route(client, own, given, read_timeout=None)
        while True:
            with route.sending():
                response = await client.send(
                    route.request, auth=route.auth, stream=True, follow_redirects=False
                )
            if not route.leads_on(response):
                return response
            await response.aclose()
            route.follow(response)

    async def _read(self, chunks: AsyncGenerator[bytes]) -> None:
        limit = asyncio.timeout(self._state.stall_after)
        try:
            async with limit:
                chunk = await anext(chunks, b"")
        except TRANSIENT as error:
            self._lose(error, limit)
        else:
            if chunk:
                self._state.feed(chunk)
            else:
                self._state.lose("end")

    def _lose(self, error: Exception, limit: asyncio.Timeout) -> None:
        # a `headers` function may have a time limit of its own
        self._state.lose("stall" if limit.expired() else "network", repr(error))

    async def _drop(self) -> None:
        chunks, self._chunks = self._chunks, None
        response, self._response = self._response, None
        # a connection that failed may fail to close too
        with contextlib.suppress(*TRANSIENT):
            if chunks is not None:
                await chunks.aclose()
            if response is not None:
                await response.aclose()
