"""The rules of a connection, without I/O."""

from __future__ import annotations

import logging
import math
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from fastapi_sse_channels import ConfigurationError, InvalidEventError, StreamResetError
from fastapi_sse_channels.client import (
    Closed,
    Connecting,
    ContentEncodingError,
    ContentTypeError,
    Open,
    OversizeEventError,
    Status,
    StreamRefusedError,
    UnauthorizedError,
    Waiting,
)
from fastapi_sse_channels.client._state import Options, StreamState

URL = "http://test/events"
STREAM = {"content-type": "text/event-stream; charset=utf-8"}


class Added(BaseModel):
    type: Literal["added"] = "added"
    count: int


class Removed(BaseModel):
    type: Literal["removed"] = "removed"


Event = Annotated[Added | Removed, Field(discriminator="type")]


class Stream:
    """A state whose every attempt is answered."""

    def __init__(self, last_event_id=None, **options):
        self.statuses: list[Status] = []
        given = {"on_status": self.statuses.append, "random": lambda: 1, **options}
        self.state = StreamState(Event, last_event_id=last_event_id, options=Options(**given))
        self.attempt()

    def attempt(self, *, resumed=None, ping="15", event_id="a.0", retry=1000):
        self.sent = self.state.begin()
        assert self.state.respond(URL, 200, STREAM)
        if resumed is not None:
            self.send(
                f"event: stream-open\nid: {event_id}\nretry: {retry}\n"
                f'data: {{"protocol":1,"resumed":{str(resumed).lower()},"ping_interval":{ping}}}'
            )
            assert self.state.open()

    def send(self, *blocks):
        self.state.feed("".join(f"{block}\n\n" for block in blocks).encode())

    def added(self, count, event_id=None):
        self.send(f'id: {event_id or f"a.{count}"}\ndata: {{"type":"added","count":{count}}}')

    def take_all(self):
        events = []
        while (event := self.state.take()) is not None:
            events.append(event)
        return events


@pytest.fixture
def stream():
    opened = Stream()
    opened.attempt(resumed=False)
    return opened


class TestRequest:
    def test_first_request_sends_no_id(self):
        assert Stream().sent == {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
        }

    def test_stored_id_is_sent_with_the_first_request(self):
        assert Stream("b.7").sent["Last-Event-ID"] == "b.7"

    def test_next_request_sends_the_id_of_the_last_event_taken(self, stream):
        stream.added(1)
        stream.added(2)
        assert stream.state.take() == Added(count=1)

        stream.state.lose("network")
        stream.attempt()

        assert stream.sent["Last-Event-ID"] == "a.1"
        assert stream.take_all() == []

    def test_id_that_the_server_clears_is_not_sent(self, stream):
        stream.send("id:")
        assert stream.take_all() == []
        stream.state.lose("end")
        stream.attempt()

        assert "Last-Event-ID" not in stream.sent

    def test_unusable_union_is_refused_at_once(self):
        with pytest.raises(ConfigurationError, match="literal field"):
            StreamState(BaseModel, last_event_id=None, options=Options())

    def test_options_are_checked_at_once(self):
        refused: dict[str, Any] = {
            "on_invalid": "ignore",
            "on_unknown": "ignore",
            "max_event_bytes": 0,
        }
        for option, value in refused.items():
            with pytest.raises(ConfigurationError, match=f"^{option}={value!r} "):
                Options(**{option: value})


class TestStatus:
    def test_every_status_change_is_told_once(self, stream):
        stream.statuses.clear()
        stream.added(1)
        stream.take_all()
        stream.state.lose("network")
        stream.attempt(resumed=True)
        stream.state.close()
        stream.state.close()

        assert stream.statuses == [
            Waiting(1.0, "network"),
            Connecting(),
            Open(resumed=True),
            Closed("caller"),
        ]

    def test_stream_without_stream_open_is_open_with_its_first_frame(self):
        stream = Stream("a.0")
        assert not stream.state.open()
        stream.send(":")

        assert stream.state.open()
        assert stream.state.status == Open(resumed=True)

    def test_partial_frame_does_not_open_the_stream(self):
        stream = Stream()
        stream.state.feed(b"retry: 10\nevent: stream-open\ndata")

        assert not stream.state.open()
        assert stream.state.status == Connecting()


class TestResponse:
    @pytest.mark.parametrize(
        "content_type",
        ["text/event-stream", "Text/Event-Stream;charset=utf-8", "text/event-stream ;"],
    )
    def test_event_stream_is_read(self, stream, content_type):
        stream.state.begin()

        assert stream.state.respond(URL, 200, {"content-type": content_type})

    def test_204_is_the_end(self, stream):
        stream.state.begin()

        assert not stream.state.respond(URL, 204, {})
        assert stream.state.status == Closed("ended")

    @pytest.mark.parametrize("status_code", [408, 425, 429, 500, 502, 503, 504, 599])
    def test_transient_status_is_waited_out(self, stream, status_code):
        stream.state.begin()

        assert not stream.state.respond(URL, status_code, {})
        assert stream.state.status == Waiting(1.0, "http")

    def test_retry_after_is_obeyed_and_spread_upwards_only(self, stream):
        stream.state.begin()
        stream.state.respond(URL, 503, {"retry-after": "10"})

        assert stream.state.status == Waiting(15.0, "http")

    @pytest.mark.parametrize("status_code", [400, 404, 409, 410, 422, 201, 202, 206])
    def test_permanent_status_is_an_error(self, stream, status_code):
        stream.state.begin()

        with pytest.raises(StreamRefusedError, match=f"{status_code}.*check the URL") as raised:
            stream.state.respond(URL, status_code, {})
        assert raised.value.status_code == status_code
        assert stream.state.status == Closed("refused")

    def test_error_of_a_redirect_says_how_to_follow_it(self, stream):
        stream.state.begin()

        with pytest.raises(StreamRefusedError, match="follow_redirects=True"):
            stream.state.respond(URL, 307, {"location": "/elsewhere"})

    @pytest.mark.parametrize("headers", [{}, {"location": ""}])
    def test_error_of_a_redirect_to_nowhere_says_so(self, stream, headers):
        stream.state.begin()

        with pytest.raises(StreamRefusedError, match="answered 301 without a Location; check"):
            stream.state.respond(URL, 301, headers)

    @pytest.mark.parametrize("status_code", [401, 403])
    def test_unauthorized_has_an_error_of_its_own(self, stream, status_code):
        stream.state.begin()

        with pytest.raises(UnauthorizedError, match="credentials"):
            stream.state.respond(URL, status_code, {})
        assert stream.state.status == Closed("unauthorized")

    @pytest.mark.parametrize("headers", [{"content-type": "text/html"}, {}])
    def test_other_content_is_an_error(self, stream, headers):
        stream.state.begin()

        with pytest.raises(ContentTypeError, match="a proxy or a login page"):
            stream.state.respond(URL, 200, headers)
        assert stream.state.status == Closed("content-type")

    @pytest.mark.parametrize("encoding", ["gzip", "identity, br"])
    def test_compressed_stream_is_an_error(self, stream, encoding):
        stream.state.begin()

        with pytest.raises(ContentEncodingError, match="turn compression off"):
            stream.state.respond(URL, 200, {**STREAM, "content-encoding": encoding})
        assert stream.state.status == Closed("content-encoding")

    @pytest.mark.parametrize("encoding", ["", " Identity"])
    def test_stream_may_say_that_it_is_not_compressed(self, stream, encoding):
        stream.state.begin()

        assert stream.state.respond(URL, 200, {**STREAM, "content-encoding": encoding})


class TestBackoff:
    def delays(self, stream, times):
        found = []
        for _ in range(times):
            stream.state.lose("network")
            found.append(stream.state.status.delay)
        return found

    def test_delay_doubles_with_each_failure(self, stream):
        assert self.delays(stream, 7) == [1, 2, 4, 8, 16, 30, 30]

    def test_response_alone_does_not_reset_the_backoff(self, stream):
        self.delays(stream, 3)
        stream.attempt()

        assert self.delays(stream, 1) == [8]

    def test_stream_open_resets_the_backoff(self, stream):
        self.delays(stream, 3)
        stream.attempt(resumed=True)

        assert self.delays(stream, 1) == [1]

    def test_event_resets_the_backoff(self, stream):
        self.delays(stream, 3)
        stream.attempt()
        stream.added(1)
        stream.take_all()

        assert self.delays(stream, 1) == [1]

    def test_server_retry_counts_from_the_next_wait(self, stream):
        stream.send("retry: 3000")
        stream.take_all()

        assert self.delays(stream, 1) == [3]


class TestStall:
    def test_stall_limit_is_45_seconds_until_the_ping_interval_is_known(self):
        assert Stream().state.stall_after == 45

    def test_stall_limit_is_three_pings(self, stream):
        stream.attempt(resumed=True, ping="2.5")

        assert stream.state.stall_after == 7.5

    def test_stall_limit_is_none_without_pings(self, stream):
        stream.attempt(resumed=True, ping="null")

        assert stream.state.stall_after is None

    @pytest.mark.parametrize("ping", ["0", "-1", '"x"'])
    def test_stall_limit_ignores_an_absurd_interval(self, stream, ping):
        stream.attempt(resumed=True, ping=ping)

        assert stream.state.stall_after == 45

    def test_stall_limit_beyond_any_timer_is_none(self, stream):
        stream.attempt(resumed=True, ping="1e300")

        assert stream.state.stall_after is None
        assert Stream(stall_timeout=math.inf).state.stall_after is None

    def test_stall_limit_of_the_next_attempt_is_the_default(self, stream):
        stream.attempt(resumed=True, ping="0.1")
        stream.state.lose("stall")
        stream.state.begin()

        assert stream.state.stall_after == 45


class TestReset:
    @pytest.fixture
    def stream(self, stream):
        """A stream that has sent an event, so that there is something to miss."""
        stream.added(0)
        assert stream.take_all() == [Added(count=0)]
        return stream

    def test_reset_is_raised_once_and_taking_goes_on(self, stream):
        stream.added(1)
        stream.send('event: stream-reset\nid: b.5\ndata: {"reason":"slow"}')
        stream.added(6, "b.6")

        assert stream.state.take() == Added(count=1)
        with pytest.raises(StreamResetError) as raised:
            stream.state.take()
        assert (raised.value.reason, raised.value.last_event_id) == ("slow", "b.5")
        assert stream.take_all() == [Added(count=6)]

    def test_unresumed_stream_is_one_reset_with_the_servers_reason(self, stream):
        stream.state.lose("network")
        stream.attempt(resumed=False, event_id="b.0")
        stream.send('event: stream-reset\nid: b.0\ndata: {"reason":"epoch"}')

        with pytest.raises(StreamResetError, match="epoch"):
            stream.state.take()
        assert stream.take_all() == []

    def test_unresumed_stream_without_a_reason_is_a_reset(self, stream):
        stream.state.lose("network")
        stream.attempt(resumed=False, event_id="b.0")
        stream.added(1, "b.1")

        with pytest.raises(StreamResetError, match="unresumed") as raised:
            stream.state.take()
        assert raised.value.last_event_id == "b.0"
        assert stream.take_all() == [Added(count=1)]

    def test_late_reason_is_not_a_second_reset(self, stream):
        stream.state.lose("network")
        stream.attempt(resumed=False, event_id="b.0")
        with pytest.raises(StreamResetError, match="unresumed"):
            stream.state.take()

        stream.send('event: stream-reset\nid: b.0\ndata: {"reason":"epoch"}')
        assert stream.take_all() == []

    def test_second_reset_after_an_event_is_raised(self, stream):
        stream.state.lose("network")
        stream.attempt(resumed=False, event_id="b.0")
        with pytest.raises(StreamResetError):
            stream.state.take()
        stream.added(1, "b.1")
        stream.take_all()

        stream.send('event: stream-reset\nid: b.9\ndata: {"reason":"slow"}')
        with pytest.raises(StreamResetError, match="slow"):
            stream.state.take()

    def test_unhonoured_stored_id_is_a_reset(self):
        stream = Stream("old.1")
        stream.attempt(resumed=False)

        with pytest.raises(StreamResetError):
            stream.state.take()

    def test_first_stream_is_not_a_reset(self):
        stream = Stream()
        stream.attempt(resumed=False)

        assert stream.take_all() == []

    def test_reset_after_a_ping_is_a_second_reset(self, stream):
        stream.state.lose("network")
        stream.attempt(resumed=False, event_id="b.0")
        with pytest.raises(StreamResetError, match="unresumed"):
            stream.state.take()
        stream.send(":")
        assert stream.take_all() == []

        stream.send('event: stream-reset\nid: b.9\ndata: {"reason":"slow"}')
        with pytest.raises(StreamResetError, match="slow"):
            stream.state.take()

    def test_reset_without_stream_open_is_raised(self, stream):
        stream.state.lose("network")
        stream.attempt()
        stream.send('event: stream-reset\nid: b.0\ndata: {"reason":"trimmed"}')

        with pytest.raises(StreamResetError, match="trimmed"):
            stream.state.take()
        assert stream.take_all() == []
        assert stream.state.status == Open(resumed=False)

    def test_reset_before_the_stream_closes_again_is_raised(self, stream):
        stream.state.lose("network")
        stream.attempt(resumed=False, event_id="b.0")
        stream.send('event: stream-close\ndata: {"reason":"shutdown","reconnect":true}')

        with pytest.raises(StreamResetError):
            stream.state.take()
        assert stream.state.status == Waiting(1.0, "close")


class TestLostInitialEvent:
    """A stream ends before its initial event; the initial event of the next one covers all."""

    def lose(self, stream, event_id):
        """Lose a stream, and begin another that does not resume."""
        assert stream.take_all() == []
        stream.state.lose("network")
        stream.attempt(resumed=False, event_id=event_id)

    def test_lost_initial_event_is_not_a_reset_however_often(self):
        stream = Stream()
        stream.attempt(resumed=False, event_id="a.0~")
        self.lose(stream, "a.3~")
        self.lose(stream, "a.5~")
        stream.added(5)

        assert stream.take_all() == [Added(count=5)]
        assert stream.sent["Last-Event-ID"] == "a.3~"

    @pytest.mark.parametrize("is_in_mid_stream", [True, False])
    def test_lost_initial_event_is_not_a_second_reset(self, stream, is_in_mid_stream):
        stream.added(1)
        assert stream.take_all() == [Added(count=1)]
        if not is_in_mid_stream:
            self.lose(stream, "b.0~")
        stream.send('event: stream-reset\nid: b.0~\ndata: {"reason":"epoch"}')
        with pytest.raises(StreamResetError, match="epoch"):
            stream.state.take()

        self.lose(stream, "b.2~")
        stream.added(2, "b.2")
        assert stream.take_all() == [Added(count=2)]

    def test_partly_received_initial_event_is_a_reset(self):
        stream = Stream()
        stream.attempt(resumed=False, event_id="a.0~")
        stream.added(1, "a.0~")
        assert stream.take_all() == [Added(count=1)]
        self.lose(stream, "a.0~")

        with pytest.raises(StreamResetError, match="unresumed"):
            stream.state.take()

    def test_ping_shows_that_no_initial_event_is_due(self, stream):
        stream.send(":")
        self.lose(stream, "b.0")

        with pytest.raises(StreamResetError, match="unresumed"):
            stream.state.take()

    def test_resumed_stream_awaits_no_initial_event(self):
        stream = Stream("a.0")
        stream.attempt(resumed=True)
        self.lose(stream, "b.0")

        with pytest.raises(StreamResetError, match="unresumed"):
            stream.state.take()

    def test_server_reset_counts_after_a_lost_initial_event(self, stream):
        self.lose(stream, "b.0~")
        stream.send('event: stream-reset\nid: b.0~\ndata: {"reason":"epoch"}')

        with pytest.raises(StreamResetError, match="epoch"):
            stream.state.take()


class TestOversizeEvent:
    large = f'id: a.2\ndata: {{"type":"added","count":2,"x":"{"x" * 4000}"}}'

    def opened(self, *, resumed):
        stream = Stream("a.0", max_event_bytes=2000)
        stream.attempt(resumed=True)
        stream.added(1)
        assert stream.take_all() == [Added(count=1)]
        if not resumed:
            stream.state.lose("network")
            stream.attempt(resumed=False, event_id="b.0")
        return stream

    def test_oversize_event_is_one_reset_and_the_next_attempt_resumes_after_it(self):
        stream = self.opened(resumed=True)
        stream.send(self.large)
        stream.added(3)

        with pytest.raises(OversizeEventError, match="raise max_event_bytes") as raised:
            stream.state.take()
        assert str(raised.value.reason) == "too-large"
        assert raised.value.last_event_id == "a.2"
        assert stream.take_all() == [Added(count=3)]

        stream.state.lose("network")
        stream.attempt()
        assert stream.sent["Last-Event-ID"] == "a.3"

    def test_endless_event_is_told_and_not_requested_again(self):
        stream = self.opened(resumed=True)
        stream.state.feed(self.large.encode())

        with pytest.raises(OversizeEventError):
            stream.state.take()
        stream.state.lose("stall")
        stream.attempt()
        assert stream.sent["Last-Event-ID"] == "a.2"

    def test_oversize_event_covers_an_untold_reset(self):
        stream = self.opened(resumed=False)
        stream.send(self.large)

        with pytest.raises(OversizeEventError):
            stream.state.take()
        assert stream.take_all() == []

    def test_oversize_first_event_is_told(self):
        stream = Stream(max_event_bytes=2000)
        stream.send(self.large)

        assert stream.state.open()
        with pytest.raises(OversizeEventError):
            stream.state.take()


class TestClose:
    def test_close_without_reconnect_ends_the_connection(self, stream):
        stream.added(1)
        stream.send('event: stream-close\ndata: {"reason":"revoked","reconnect":false}')

        assert stream.take_all() == [Added(count=1)]
        assert stream.state.status == Closed("revoked")

    def test_reconnect_after_a_shutdown_honours_server_retry(self, stream):
        stream.send('event: stream-close\nretry: 700\ndata: {"reason":"shutdown","reconnect":true}')

        assert stream.take_all() == []
        assert stream.state.status == Waiting(0.7, "close")

    def test_unreadable_close_leads_to_another_attempt(self, stream):
        stream.send("event: stream-close\ndata: ?")

        assert stream.take_all() == []
        assert stream.state.status == Waiting(1.0, "close")

    def test_unknown_control_frame_is_ignored(self, stream):
        stream.send('event: stream-news\ndata: {"x":1}')
        stream.added(1)

        assert stream.take_all() == [Added(count=1)]


class TestPolicy:
    unknown = 'id: a.1\ndata: {"type":"renamed"}'
    invalid = 'id: a.1\ndata: {"type":"added","count":"many"}'

    def opened(self, **options):
        stream = Stream(**options)
        stream.attempt(resumed=False)
        return stream

    def test_unknown_event_is_skipped_and_logged(self, caplog):
        stream = self.opened()
        stream.send(self.unknown)
        with caplog.at_level(logging.WARNING):
            assert stream.take_all() == []

        assert "'renamed' is not an event of this union (added, removed)" in caplog.text
        assert stream.state.last_event_id == "a.1"

    def test_unknown_event_is_skipped_with_an_aliased_discriminator(self):
        class Camel(BaseModel):
            model_config = ConfigDict(alias_generator=to_camel)
            event_type: Literal["camel"] = "camel"

        state = StreamState(Camel, last_event_id=None, options=Options())
        state.begin()
        state.respond(URL, 200, STREAM)
        state.feed(b'event: stream-open\ndata: {}\n\ndata: {"eventType":"llama"}\n\n')

        assert state.open()
        assert state.take() is None

    def test_unknown_event_is_an_error_on_request_and_taking_goes_on(self):
        stream = self.opened(on_unknown="raise")
        stream.send(self.unknown)
        stream.added(2)

        with pytest.raises(InvalidEventError, match="on_unknown='skip'"):
            stream.state.take()
        assert stream.take_all() == [Added(count=2)]

    @pytest.mark.parametrize(
        "block",
        [invalid, "data: not json", "data: [1]", "data: {}", "data: " + "[" * 100_000],
        ids=["invalid", "no json", "no object", "no name", "nested"],
    )
    def test_invalid_event_is_an_error_and_taking_goes_on(self, block):
        stream = self.opened()
        stream.send(block)
        stream.added(2)

        with pytest.raises(InvalidEventError, match="on_invalid='skip'"):
            stream.state.take()
        assert stream.take_all() == [Added(count=2)]

    def test_invalid_event_is_skipped_on_request(self, caplog):
        stream = self.opened(on_invalid="skip")
        stream.send(self.invalid)
        stream.added(2)

        assert stream.take_all() == [Added(count=2)]
        assert "skipped" in caplog.text
