"""The decisions of a connection, without I/O; two drivers, async and blocking, carry them out."""

from __future__ import annotations

import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from typing_extensions import TypeForm

from .._checks import check_choice, check_whole
from .._core.encoder import decode
from .._core.parser import (
    DEFAULT_MAX_EVENT_BYTES,
    CommentFrame,
    EventFrame,
    Frame,
    IdFrame,
    OversizeFrame,
    Parser,
    RetryFrame,
)
from .._core.union import EventUnion
from .._core.wire import (
    ClientResetReason,
    StreamClose,
    StreamOpen,
    StreamReset,
    json_object,
    read_control,
)
from .._errors import InvalidEventError, StreamResetError
from ._backoff import backoff, retry_after
from ._errors import (
    ContentEncodingError,
    ContentTypeError,
    OversizeEventError,
    StreamRefusedError,
    UnauthorizedError,
)
from ._status import Closed, Connecting, Open, Status, Waiting, WaitReason

T = TypeVar("T")
InvalidPolicy = Literal["raise", "skip"]

logger = logging.getLogger("fastapi_sse_channels.client")

DEFAULT_STALL_TIMEOUT = 45.0
UNAUTHORIZED = frozenset({401, 403})

_DEFAULT_RETRY = 2_000
_PINGS_BEFORE_STALL = 3
# A longer limit counts as none: timers cannot wait for arbitrarily long.
_LONGEST_STALL = 86_400.0 * 365
_RETRYABLE = frozenset({408, 425, 429})
_OK, _NO_CONTENT, _REDIRECTIONS, _SERVER_ERRORS = 200, 204, range(300, 400), 500
_CONTROL_PREFIX = "stream-"
_IDENTITY = "identity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `connect` and `connect_sync`; see there."""

    on_invalid: InvalidPolicy = "raise"
    on_unknown: InvalidPolicy = "skip"
    on_status: Callable[[Status], object] | None = None
    stall_timeout: float = DEFAULT_STALL_TIMEOUT
    max_event_bytes: int = DEFAULT_MAX_EVENT_BYTES
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        """Refuse a misspelt policy, which would skip events silently, and a limit of 0.

        Raises:
            ConfigurationError: The message names the allowed values.
        """
        check_whole(max_event_bytes=self.max_event_bytes)
        check_choice("on_invalid", self.on_invalid, InvalidPolicy)
        check_choice("on_unknown", self.on_unknown, InvalidPolicy)


@dataclass(slots=True)
class _Attempt:
    """The state of one request and its response.

    Attributes:
        sent_id: The last event id that was sent.
        is_resumable: Whether events are missed unless the stream resumes.
        stall_after: Seconds without a byte after which the socket is given up.
        is_reset_owed: The stream did not resume, and the caller does not know yet.
        is_reset_told: The caller knows; a reason that comes later is no second reset.
    """

    sent_id: str
    is_resumable: bool
    stall_after: float | None
    is_reset_owed: bool = False
    is_reset_told: bool = False


class StreamState(Generic[T]):
    """The rules of resuming, waiting and ending. Does no I/O.

    Attributes:
        status: Where the connection stands.
        last_event_id: The id of the last event handed out, `""` before the first.
    """

    def __init__(
        self, event_type: TypeForm[T], *, last_event_id: str | None, options: Options
    ) -> None:
        """Check the event union.

        Raises:
            ConfigurationError: The union cannot work; the message names the fix.
        """
        self._union = EventUnion(event_type)
        self._options = options
        self.status: Status = Connecting()
        self.last_event_id = last_event_id or ""
        self._frames: deque[Frame] = deque()
        self._parser = self._new_parser()
        # spread, as a server would
        self._retry = round(_DEFAULT_RETRY * (1 + options.random() / 2))
        self._failures = 0
        self._was_open = False
        # The stream began anew and has sent nothing else yet. A new stream misses nothing then: it
        # brings the initial event that this one still owed.
        self._awaits_initial = False
        self._attempt = self._new_attempt()

    @property
    def stall_after(self) -> float | None:
        """Seconds without a byte after which to give the socket up; `None` for never."""
        limit = self._attempt.stall_after
        return None if limit is None or limit > _LONGEST_STALL else limit

    @property
    def is_closed(self) -> bool:
        """Whether there will be no further attempt."""
        return isinstance(self.status, Closed)

    def begin(self) -> dict[str, str]:
        """Begin an attempt, and return the headers of its request."""
        self._attempt = self._new_attempt()
        self._parser = self._new_parser()
        self._frames.clear()
        self._tell(Connecting())
        headers = {
            "Accept": "text/event-stream",
            # a compressing proxy may hold events back, and inflated data has no size limit
            "Accept-Encoding": _IDENTITY,
        }
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        return headers

    def respond(self, url: str, status_code: int, headers: Any) -> bool:
        """Take the head of the response.

        Args:
            url: Named in messages.
            status_code: The HTTP status.
            headers: A mapping that ignores case.

        Returns:
            Whether to read the body.

        Raises:
            StreamRefusedError: No further attempt would be answered otherwise.
        """
        content_type = headers.get("content-type") or "no content type"
        is_stream = content_type.partition(";")[0].strip().lower() == "text/event-stream"
        encoding = headers.get("content-encoding") or _IDENTITY
        if status_code == _OK and is_stream and encoding.strip().lower() == _IDENTITY:
            return True
        if status_code == _NO_CONTENT:
            self.close("ended")
        elif status_code == _OK and is_stream:
            self.close("content-encoding")
            raise ContentEncodingError(status_code, _compressed(url, encoding))
        elif status_code == _OK:
            self.close("content-type")
            raise ContentTypeError(status_code, _not_a_stream(url, content_type))
        elif status_code in _RETRYABLE or status_code >= _SERVER_ERRORS:
            wait = retry_after(headers.get("retry-after"), time.time())
            self.lose("http", f"answered {status_code}", at_least=wait)
        elif status_code in UNAUTHORIZED:
            self.close("unauthorized")
            raise UnauthorizedError(status_code, _unauthorized(url, status_code))
        else:
            self.close("refused")
            leads_on = bool(headers.get("location"))
            raise StreamRefusedError(status_code, _refused(url, status_code, leads_on=leads_on))
        return False

    def feed(self, chunk: bytes) -> None:
        """Parse bytes of the body."""
        self._frames.extend(self._parser.feed(chunk))

    def open(self) -> bool:
        """Process the frames before the first event.

        Returns:
            Whether the stream is open, or will never be.
        """
        while self._frames and _is_preamble(self._frames[0]):
            self._take(self._frames.popleft())
        return bool(self._frames) or isinstance(self.status, Open | Closed)

    def take(self) -> T | None:
        """Return the next event received, or `None` if there is none yet.

        Raises:
            StreamResetError: Events were missed.
            InvalidEventError: Something that is not an event of the union was received.
        """
        while self._frames:
            event = self._take(self._frames.popleft())
            if event is not None:
                return event
        self._tell_reset()
        return None

    def lose(self, reason: WaitReason, detail: object = "", *, at_least: float = 0.0) -> None:
        """End the attempt, and wait for the next.

        Args:
            reason: See `Waiting`.
            detail: For the log.
            at_least: Seconds that the server asked for.
        """
        random = self._options.random
        # every client gets the same Retry-After, so spread it too, but only upwards
        asked = at_least * (1 + random() / 2)
        delay = max(backoff(self._retry / 1000, self._failures, random), asked)
        self._failures += 1
        self._frames.clear()
        logger.info("stream lost (%s) %s; next attempt in %.1f s", reason, detail, delay)
        self._tell(Waiting(delay, reason))

    def close(self, reason: str = "caller") -> None:
        """End the connection for good."""
        self._frames.clear()
        if not self.is_closed:
            self._tell(Closed(reason))

    def _new_attempt(self) -> _Attempt:
        # no pings come before the stream is open, so the last stream's interval does not apply
        return _Attempt(
            sent_id=self.last_event_id,
            is_resumable=not self._awaits_initial and (self._was_open or bool(self.last_event_id)),
            stall_after=self._options.stall_timeout,
        )

    def _new_parser(self) -> Parser:
        return Parser(self.last_event_id, max_event_bytes=self._options.max_event_bytes)

    def _tell(self, status: Status) -> None:
        is_new = status != self.status or isinstance(status, Connecting)
        self.status = status
        if is_new and self._options.on_status is not None:
            self._options.on_status(status)

    def _take(self, frame: Frame) -> T | None:
        if isinstance(frame, RetryFrame):
            self._retry = frame.milliseconds
            return None
        if isinstance(frame, EventFrame) and frame.name.startswith(_CONTROL_PREFIX):
            self.last_event_id = frame.event_id
            self._control(frame)
            return None
        # without a `stream-open`, assume that the server honoured the id
        if not isinstance(self.status, Open):
            self._opened(resumed=bool(self._attempt.sent_id))
        self._awaits_initial = False
        if isinstance(frame, CommentFrame):
            self._attempt.is_reset_told = False
            return None
        if isinstance(frame, OversizeFrame):
            self.last_event_id = frame.event_id
            self._attempt.is_reset_owed = self._attempt.is_reset_told = False
            raise OversizeEventError(self._options.max_event_bytes, self.last_event_id)
        if self._attempt.is_reset_owed:
            # put the frame back: the iteration continues with it
            self._frames.appendleft(frame)
            self._tell_reset()
        self.last_event_id = frame.event_id
        if isinstance(frame, IdFrame):
            return None
        self._attempt.is_reset_told = False
        self._failures = 0
        return self._decode(frame.data)

    def _control(self, frame: EventFrame) -> None:
        match read_control(frame.name, frame.data, retry=self._retry):
            case StreamOpen(resumed=resumed, ping_interval=interval):
                self._failures = 0
                self._set_ping_interval(interval)
                self._awaits_initial = not resumed
                self._opened(resumed=resumed)
            case StreamReset(reason):
                self._awaits_initial = True
                self._reset(reason or "unresumed")
            case StreamClose(reason, reconnect):
                self._closed(reason or "ended", reconnect=reconnect)
            case None:
                logger.debug("%s is not known to this version", frame.name)

    def _opened(self, *, resumed: bool) -> None:
        self._was_open = True
        # do not raise yet: the next frame may give the server's reason
        self._attempt.is_reset_owed = self._attempt.is_resumable and not resumed
        self._tell(Open(resumed))

    def _closed(self, reason: str, *, reconnect: bool) -> None:
        self._frames.clear()
        owed = self._attempt.is_reset_owed
        if reconnect:
            self.lose("close", reason)
        else:
            self.close(reason)
        if owed:
            self._tell_reset()

    def _set_ping_interval(self, interval: float | None) -> None:
        if interval is None:
            # without pings, silence proves nothing
            self._attempt.stall_after = None
        elif interval:
            self._attempt.stall_after = _PINGS_BEFORE_STALL * interval

    def _reset(self, reason: ClientResetReason) -> None:
        told = self._attempt.is_reset_told
        self._attempt.is_reset_owed = self._attempt.is_reset_told = False
        if not isinstance(self.status, Open):
            self._attempt.is_resumable = False
            self._opened(resumed=False)
        if not told:
            raise StreamResetError(reason, self.last_event_id)

    def _tell_reset(self) -> None:
        if self._attempt.is_reset_owed:
            self._attempt.is_reset_owed = False
            self._attempt.is_reset_told = True
            raise StreamResetError("unresumed", self.last_event_id)

    def _decode(self, data: str) -> T | None:
        try:
            return decode(self._union, data.encode())
        except InvalidEventError as error:
            name = json_object(data).get(self._union.discriminator)
            if isinstance(name, str) and name not in self._union.names:
                policy, problem = self._options.on_unknown, self._unknown(name)
            else:
                policy, problem = self._options.on_invalid, _invalid(error)
            if policy == "raise":
                raise InvalidEventError(problem) from error
            logger.warning("skipped: %s", problem)
            return None

    def _unknown(self, name: str) -> str:
        names = ", ".join(self._union.names)
        return (
            f"{name!r} is not an event of this union ({names}); update the union, or pass "
            "on_unknown='skip'"
        )


def _is_preamble(frame: Frame) -> bool:
    if isinstance(frame, EventFrame):
        return frame.name == "stream-open"
    return isinstance(frame, RetryFrame | CommentFrame)


def _invalid(error: InvalidEventError) -> str:
    return (
        f"received what is not an event of this union: {error}\nIterating on goes on after it; "
        "pass on_invalid='skip' to be spared such events"
    )


def _not_a_stream(url: str, content_type: str) -> str:
    return (
        f"{url} answered with {content_type}, not with text/event-stream; check the path, and "
        "whether a proxy or a login page answers in its place"
    )


def _compressed(url: str, encoding: str) -> str:
    return (
        f"{url} answered with Content-Encoding: {encoding}, although the request accepts none; "
        "turn compression off for this path, where a proxy adds it too"
    )


def _unauthorized(url: str, status_code: int) -> str:
    return (
        f"{url} answered {status_code}; pass credentials that may read it, as headers={{…}} or as "
        "a function that returns fresh ones for every attempt"
    )


def _refused(url: str, status_code: int, *, leads_on: bool) -> str:
    if status_code in _REDIRECTIONS and not leads_on:
        return f"{url} answered {status_code} without a Location; check the URL and the server"
    if status_code in _REDIRECTIONS:
        return (
            f"{url} answered {status_code}; use the URL it leads to, or pass a client with "
            "follow_redirects=True"
        )
    return f"{url} answered {status_code}, which another attempt would not change; check the URL"
