"""A stream under test."""

# ruff: noqa: ASYNC109  # a time limit that cannot be forgotten is what these functions are for

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from typing_extensions import TypeForm

from .._core.encoder import decode
from .._core.parser import EventFrame, Frame, Parser, RetryFrame
from .._core.union import EventUnion
from .._core.wire import StreamClose, StreamOpen, StreamReset, read_control
from .._errors import StreamResetError
from ._errors import (
    StreamEndedError,
    StreamTimeoutError,
    UnexpectedEventError,
    UnexpectedResponseError,
)
from ._waiting import time_limit

if TYPE_CHECKING:
    from types import TracebackType

    from ._exchange import Exchange

T = TypeVar("T")
R = TypeVar("R")

_OK = 200


class SSETestStream(Generic[T]):
    """A stream of typed events; made by `SSETestClient.stream` and used with `async with`.

    Attributes:
        opened: The stream's first frame.
        closed: The stream's last frame, once it was read.
        last_event_id: The id of the last event read, to open another stream after it.
        received: Every event read so far.
        resets: The reason of every reset read so far.
        status_code: The HTTP status, 200.
        headers: The response's headers, with names in lower case.
    """

    opened: StreamOpen

    def __init__(
        self, event_type: TypeForm[T], *, start: Callable[[], Awaitable[Exchange]], timeout: float
    ) -> None:
        """Use `SSETestClient.stream`."""
        self._union = EventUnion(event_type)
        self._start = start
        self._timeout = timeout
        self._exchange: Exchange | None = None
        self._parser = Parser(max_event_bytes=2**63)
        self._frames: deque[Frame] = deque()
        self._retry = 0
        self.closed: StreamClose | None = None
        self.last_event_id = ""
        self.received: list[T] = []
        self.resets: list[str] = []
        self.status_code = 0
        self.headers: dict[str, str] = {}

    async def __aenter__(self) -> SSETestStream[T]:
        """Open the stream; what is published from here on is not missed.

        Raises:
            UnexpectedResponseError: The answer is not an event stream.
            StreamTimeoutError: There is no answer in time.
        """
        self._exchange = await self._start()
        try:
            await self._within(self._timeout, self._open(self._exchange), "the stream did not open")
        except UnexpectedResponseError:
            # if the application failed, raise its own error, which says more
            await self._leave(must_succeed=True)
            raise
        except BaseException:
            await self._leave(must_succeed=False)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the stream; an error that the application ended with is raised."""
        await self._leave(must_succeed=exc is None)

    async def next(self, *, timeout: float | None = None) -> T:
        """Return the next event.

        Args:
            timeout: Seconds; by default the client's.

        Raises:
            StreamTimeoutError: None came in time.
            StreamResetError: The server said that events were missed. The next call goes on.
            StreamEndedError: The stream is over.
            InvalidEventError: The application sent what is not an event of the union.
        """
        return self._event(await self._item(timeout, "no event came"))

    async def collect(self, count: int, *, timeout: float | None = None) -> list[T]:
        """Return the next events.

        Args:
            count: How many.
            timeout: Seconds for all of them; by default the client's.

        Raises:
            StreamTimeoutError: Fewer came in time.
            StreamResetError: See `next`.
            StreamEndedError: The stream is over.
        """
        events: list[T] = []
        limit = self._timeout if timeout is None else timeout

        def too_late() -> StreamTimeoutError:
            msg = f"{len(events)} of {count} events came within {limit} s"
            return StreamTimeoutError(msg, self.received)

        async with time_limit(limit, too_late):
            while len(events) < count:
                events.append(self._event(await self._next_item()))
        return events

    async def assert_no_event(self, *, within: float = 0.05) -> None:
        """Check that nothing but pings comes for a while.

        Args:
            within: Seconds.

        Raises:
            UnexpectedEventError: An event, a reset or the end of the stream came.
            StreamEndedError: The stream was over before.
        """
        with contextlib.suppress(StreamTimeoutError):
            raise self._unexpected("no event", await self._item(within, ""))

    async def wait_for_reset(self, *, timeout: float | None = None) -> str:
        """Wait until the server says that events were missed.

        Returns:
            The reason.

        Raises:
            UnexpectedEventError: Something else came first.
            StreamTimeoutError: It did not come in time.
        """
        item = await self._item(timeout, "no reset came")
        if isinstance(item, StreamReset):
            return item.reason
        raise self._unexpected("a reset", item)

    async def wait_for_close(self, *, timeout: float | None = None) -> StreamClose:
        """Wait until the server ends the stream.

        Raises:
            UnexpectedEventError: Something else came first.
            StreamTimeoutError: It did not come in time.
        """
        item = await self._item(timeout, "the stream was not closed")
        if isinstance(item, StreamClose):
            return item
        raise self._unexpected("the end of the stream", item)

    async def drop(self) -> None:
        """Lose the connection without notice, and what was sent but not read yet.

        The application has noticed when this returns, so its session is no longer counted.
        """
        await self._leave(must_succeed=True)

    async def _open(self, exchange: Exchange) -> None:
        await exchange.head()
        self.status_code = exchange.status_code
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in exchange.headers
        }
        content_type = self.headers.get("content-type", "no content type")
        if self.status_code != _OK or not content_type.startswith("text/event-stream"):
            raise await self._refusal(exchange, content_type)
        frame = await self._event_frame()
        opened = self._control(frame)
        if not isinstance(opened, StreamOpen):
            msg = (
                f"the stream began with {frame}, not with stream-open; does it come from a router "
                "of create_sse_router?"
            )
            raise UnexpectedEventError(msg)
        self.last_event_id = frame.event_id
        self.opened = opened

    async def _refusal(self, exchange: Exchange, content_type: str) -> UnexpectedResponseError:
        body = await exchange.read()
        msg = (
            f"the stream was answered with {self.status_code}, {content_type}: "
            f"{body.decode(errors='replace')[:500]}\nto test such an answer, use client.get(…)"
        )
        return UnexpectedResponseError(msg, self.status_code)

    async def _item(self, timeout: float | None, problem: str) -> T | StreamReset | StreamClose:
        limit = self._timeout if timeout is None else timeout
        return await self._within(limit, self._next_item(), problem)

    async def _next_item(self) -> T | StreamReset | StreamClose:
        if self.closed is not None:
            raise self._ended()
        frame = await self._event_frame()
        self.last_event_id = frame.event_id
        match self._control(frame):
            case StreamReset() as reset:
                self.resets.append(reset.reason)
                return reset
            case StreamClose() as closed:
                self.closed = closed
                return closed
            case _:
                event = decode(self._union, frame.data.encode())
                self.received.append(event)
                return event

    def _control(self, frame: EventFrame) -> StreamOpen | StreamReset | StreamClose | None:
        return read_control(frame.name, frame.data, retry=self._retry)

    async def _event_frame(self) -> EventFrame:
        while True:
            while self._frames:
                frame = self._frames.popleft()
                if isinstance(frame, RetryFrame):
                    self._retry = frame.milliseconds
                elif isinstance(frame, EventFrame):
                    return frame
            if self._exchange is None:
                raise self._ended()
            chunk = await self._exchange.read()
            if not chunk:
                raise self._ended()
            self._frames.extend(self._parser.feed(chunk))

    async def _within(self, limit: float, waiting: Awaitable[R], problem: str) -> R:
        def too_late() -> StreamTimeoutError:
            return StreamTimeoutError(f"{problem} within {limit} s", self.received)

        async with time_limit(limit, too_late):
            return await waiting

    def _event(self, item: T | StreamReset | StreamClose) -> T:
        if isinstance(item, StreamReset):
            raise StreamResetError(item.reason, self.last_event_id)
        if isinstance(item, StreamClose):
            raise self._ended()
        return item

    async def _leave(self, *, must_succeed: bool) -> None:
        exchange, self._exchange = self._exchange, None
        self._frames.clear()
        if exchange is not None:
            try:
                await exchange.aclose()
            except Exception:
                if must_succeed:
                    raise

    def _ended(self) -> StreamEndedError:
        if self.closed:
            msg = f"the stream ended: {self.closed}"
        elif self.status_code:
            msg = "the stream was dropped, or ended without notice"
        else:
            msg = "nothing is open yet; use `async with client.stream(…) as stream:`"
        return StreamEndedError(msg, self.received)

    def _unexpected(
        self, expected: str, item: T | StreamReset | StreamClose
    ) -> UnexpectedEventError:
        what = f"a reset ({item.reason})" if isinstance(item, StreamReset) else repr(item)
        return UnexpectedEventError(f"expected {expected}, but {what} came", self.received)
