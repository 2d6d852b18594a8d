"""The blocking connection, for scripts and threads."""

from __future__ import annotations

import contextlib
import random as random_module
import threading
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from typing_extensions import TypeForm

from .._core.parser import DEFAULT_MAX_EVENT_BYTES
from ._base import BaseConnection
from ._headers import HeadersRequest, asked_with_request
from ._httpx import httpx
from ._request import TRANSIENT, check_permanent
from ._state import DEFAULT_STALL_TIMEOUT, UNAUTHORIZED, InvalidPolicy, Options, StreamState
from ._status import Status, Waiting, WaitReason
from ._watchdog import Watchdog, cut

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")
Headers = (
    Mapping[str, str]
    | Callable[[], Mapping[str, str]]
    | Callable[[HeadersRequest], Mapping[str, str]]
)


def connect_sync(
    url: str | httpx.URL,
    event_type: TypeForm[T],
    *,
    last_event_id: str | None = None,
    headers: Headers | None = None,
    client: httpx.Client | None = None,
    on_invalid: InvalidPolicy = "raise",
    on_unknown: InvalidPolicy = "skip",
    on_status: Callable[[Status], object] | None = None,
    stall_timeout: float = DEFAULT_STALL_TIMEOUT,
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES,
    sleep: Callable[[float], object] | None = None,
    random: Callable[[], float] = random_module.random,
) -> SyncConnection[T]:
    """Follow a channel without an event loop; enter with `with`, then iterate.

    Args:
        url: See `connect`.
        event_type: See `connect`.
        last_event_id: See `connect`.
        headers: See `connect`; a function must not be `async`.
        client: See `connect`. With one made with `http2=True`, a connection that has gone silent
            takes the other streams on it down too.
        on_invalid: See `connect`.
        on_unknown: See `connect`.
        on_status: See `connect`.
        stall_timeout: See `connect`.
        max_event_bytes: See `connect`.
        sleep: Waits for a number of seconds; the default is a wait that `close` ends.
        random: See `connect`.

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
    return SyncConnection(state, url, headers=headers, client=client, sleep=sleep)


class SyncConnection(BaseConnection[T]):
    """Events of one stream, over as many requests as it takes; see `Connection`.

    One thread may iterate over it. Any thread may `close` it, which ends the iteration: at once
    while the stream is open or the connection waits for its next attempt.
    """

    _usage = "with connect_sync(…)"

    def __init__(
        self,
        state: StreamState[T],
        url: str | httpx.URL,
        *,
        headers: Headers | None,
        client: httpx.Client | None,
        sleep: Callable[[float], object] | None,
    ) -> None:
        """Use `connect_sync`."""
        super().__init__(state, url)
        self._headers = asked_with_request(headers)
        self._given_client = client
        self._closing = threading.Event()
        self._sleep = sleep or self._closing.wait
        self._client: httpx.Client | None = None
        self._chunks: Generator[bytes] | None = None
        self._watchdog = Watchdog()

    def __enter__(self) -> SyncConnection[T]:
        """Connect; what is published from here on is not missed.

        Keeps trying while the server cannot be reached.

        Raises:
            StreamRefusedError: There is no such stream for this client.
            ConfigurationError: The request cannot be sent.
        """
        self._client = self._given_client or httpx.Client(follow_redirects=True)
        try:
            while not self._state.open():
                self._advance()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._end()

    def __iter__(self) -> SyncConnection[T]:
        """Iterate over the events."""
        return self

    def __next__(self) -> T:
        """Return the next event.

        Raises:
            StreamResetError: Events were missed; raised once for each hole. It is an
                `OversizeEventError` where one was too large.
            InvalidEventError: What was received is not an event of the union. The next call goes
                on after it.
            StreamRefusedError: The server no longer has this stream for this client.
        """
        if self._closing.is_set():
            # this drops events that were received and not returned yet
            self._state.close()
        while (event := self._state.take()) is None:
            if self._state.is_closed:
                self._drop()
                raise StopIteration
            self._advance()
        return event

    def close(self) -> None:
        """End the iteration, from any thread; leaving the `with` block frees its resources."""
        self._closing.set()
        response = self._response
        if response is not None:
            cut(response)

    def _advance(self) -> None:
        if isinstance(self._state.status, Waiting):
            self._drop()
            self._sleep(self._state.status.delay)
        if not self._closing.is_set():
            if self._chunks is None or self._response is None:
                self._drop()
                self._request()
            else:
                self._read(self._response, self._chunks)
        if self._closing.is_set():
            self._state.close()

    def _request(self) -> None:
        own = self._state.begin()
        try:
            response = self._send(own)
            if response.status_code in UNAUTHORIZED and callable(self._headers):
                response.close()
                response = self._send(own, rejected=True)
        except httpx.ReadTimeout:
            self._lose("stall")
        except TRANSIENT as error:
            check_permanent(error)
            self._lose("network", error)
        else:
            if self._begins(response):
                self._chunks = cast("Generator[bytes]", response.iter_bytes())

    def _send(self, own: Mapping[str, str], *, rejected: bool = False) -> httpx.Response:
        client = self._entered(self._client)
        headers = self._headers
        given = headers(HeadersRequest(rejected)) if callable(headers) else headers
        route = self._route(client, own, given, read_timeout=self._state.stall_after)
        while True:
            with route.sending():
                response = client.send(
                    route.request, auth=route.auth, stream=True, follow_redirects=False
                )
            if not route.leads_on(response):
                # the watchdog limits reads of the body; that limit was for heads of responses
                route.request.extensions["timeout"]["read"] = None
                return response
            response.close()
            route.follow(response)

    def _read(self, response: httpx.Response, chunks: Generator[bytes]) -> None:
        chunk, failure = b"", None
        self._watchdog.watch(response, self._state.stall_after)
        try:
            chunk = next(chunks, b"")
        except TRANSIENT as error:
            failure = error
        self._watchdog.rest()
        if chunk:
            self._state.feed(chunk)
        elif self._watchdog.has_cut(response):
            self._lose("stall")
        elif failure is not None:
            self._lose("network", failure)
        else:
            self._lose("end")

    def _lose(self, reason: WaitReason, error: Exception | None = None) -> None:
        if self._closing.is_set():
            self._state.close()
        else:
            self._state.lose(reason, "" if error is None else repr(error))

    def _drop(self) -> None:
        chunks, self._chunks = self._chunks, None
        response, self._response = self._response, None
        # a connection that failed may fail to close too
        with contextlib.suppress(*TRANSIENT):
            if chunks is not None:
                chunks.close()
            if response is not None:
                response.close()

    def _end(self) -> None:
        self._closing.set()
        try:
            self._state.close()
        finally:
            self._free()

    def _free(self) -> None:
        self._watchdog.stop()
        self._drop()
        if self._client is not None and self._given_client is None:
            self._client.close()
