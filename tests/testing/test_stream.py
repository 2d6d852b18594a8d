"""Streams in the test's own loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from fastapi_sse_channels import InvalidEventError, StreamResetError
from fastapi_sse_channels.testing import (
    SSETestClient,
    StreamClose,
    StreamEndedError,
    StreamOpen,
    StreamTimeoutError,
    UnexpectedEventError,
    UnexpectedResponseError,
    wait_for_sessions,
)

URL = "/notes/1/events"


@pytest.fixture
def open_notes(client, application):
    def open_(url=URL, **options):
        return client.stream(url, application.Event, **options)

    return open_


class TestOpening:
    async def test_stream_tells_what_its_first_frame_says(self, make_application):
        application = make_application(ping_interval=7, retry=1000)
        async with (
            SSETestClient(application.app) as client,
            client.stream(URL, application.Event) as stream,
        ):
            assert stream.opened == StreamOpen(
                1, resumed=False, ping_interval=7, retry=stream.opened.retry
            )
            assert 500 <= stream.opened.retry <= 1500
            assert stream.status_code == 200
            assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert stream.last_event_id

    async def test_two_streams_and_a_request_share_the_loop(self, application, client, open_notes):
        async with open_notes() as first, open_notes() as second:
            response = await client.post("/notes/1", json={"text": "hello"})

            assert response.status_code == 201
            assert await first.next() == await second.next() == application.Note(text="hello")
            assert first.last_event_id == second.last_event_id == response.json()

    async def test_events_published_by_a_thread_arrive(self, client, open_notes):
        async with open_notes() as stream:
            await client.put("/notes/1", json={"text": "from a thread"})

            assert (await stream.next()).text == "from a thread"

    async def test_refusal_shows_the_answer_and_how_to_test_it(self, open_notes):
        with pytest.raises(UnexpectedResponseError) as raised:
            async with open_notes("/private/1/events"):
                pass

        assert raised.value.status_code == 401
        assert "who are you?" in str(raised.value)
        assert "client.get(…)" in str(raised.value)

    async def test_stream_sends_the_cookies_and_headers_of_the_client(self, client, open_notes):
        await client.post("/login")

        async with open_notes("/private/1/events"):
            pass

    async def test_error_of_the_application_is_raised_itself(self, open_notes):
        with pytest.raises(LookupError, match="no such thing"):
            async with open_notes("/fails/lookup"):
                pass

    async def test_silent_application_times_out(self, open_notes):
        with pytest.raises(StreamTimeoutError, match=r"the stream did not open within 0\.05 s"):
            async with open_notes("/never", timeout=0.05):
                pass

    async def test_foreign_stream_fails_and_names_the_router(self, open_notes):
        with pytest.raises(UnexpectedEventError, match="create_sse_router"):
            async with open_notes("/foreign"):
                pass

    async def test_stream_that_was_never_entered_names_the_fix(self, open_notes):
        with pytest.raises(StreamEndedError, match=r"use `async with client\.stream"):
            await open_notes().next()


class TestEvents:
    async def test_collect_returns_events_in_order(self, application, open_notes):
        async with open_notes() as stream:
            await application.publish("a", "b", "c")

            assert [event.text for event in await stream.collect(2)] == ["a", "b"]
            assert [event.text for event in await stream.collect(1)] == ["c"]
            assert [event.text for event in stream.received] == ["a", "b", "c"]

    async def test_next_without_an_event_fails_in_time(self, application, open_notes):
        async with open_notes() as stream:
            await application.publish("a")
            await stream.next()
            started = time.monotonic()

            with pytest.raises(StreamTimeoutError) as raised:
                await stream.next(timeout=0.05)

            assert time.monotonic() - started < 1
            assert isinstance(raised.value, AssertionError)
            assert raised.value.received == (application.Note(text="a"),)
            assert str(raised.value) == (
                "no event came within 0.05 s\nreceived until then:\n  Note(type='note', text='a')"
            )

    async def test_collect_without_enough_events_tells_how_far_it_came(
        self, application, open_notes
    ):
        async with open_notes() as stream:
            await application.publish("a", "b")

            with pytest.raises(StreamTimeoutError, match=r"2 of 3 events came within 0\.05 s"):
                await stream.collect(3, timeout=0.05)

    async def test_time_limits_default_to_those_of_stream_and_client(self, application):
        async with SSETestClient(application.app, timeout=0.05) as client:
            async with client.stream(URL, application.Event) as stream:
                with pytest.raises(StreamTimeoutError, match=r"0\.05 s"):
                    await stream.next()
            async with client.stream(URL, application.Event, timeout=0.06) as stream:
                with pytest.raises(StreamTimeoutError, match=r"0\.06 s"):
                    await stream.collect(1)

    async def test_event_that_comes_after_a_time_limit_is_not_lost(self, application, open_notes):
        async with open_notes() as stream:
            with pytest.raises(StreamTimeoutError):
                await stream.next(timeout=0.01)
            await application.publish("a")

            assert (await stream.next()).text == "a"

    async def test_event_outside_the_union_of_the_test_is_an_error(self, application, client):
        async with client.stream(URL, application.Gone) as stream:
            await application.publish("a")

            with pytest.raises(InvalidEventError):
                await stream.next()

    async def test_assert_no_event_passes_on_pings(self, make_application):
        application = make_application(ping_interval=0.01)
        async with (
            SSETestClient(application.app) as client,
            client.stream(URL, application.Event) as stream,
        ):
            await stream.assert_no_event(within=0.1)

    async def test_assert_no_event_fails_on_an_event(self, application, open_notes):
        async with open_notes() as stream:
            await application.publish("a")

            with pytest.raises(UnexpectedEventError, match=r"expected no event, but Note.*'a'"):
                await stream.assert_no_event()

    async def test_assert_no_event_fails_on_a_stream_that_is_over(self, application, open_notes):
        async with open_notes() as stream:
            application.manager.channel("1").close()

            with pytest.raises(UnexpectedEventError, match="StreamClose"):
                await stream.assert_no_event()
            with pytest.raises(StreamEndedError):
                await stream.assert_no_event()


class TestResuming:
    async def test_dropped_stream_is_gone_and_the_next_resumes(self, application, open_notes):
        async with open_notes() as stream:
            await application.publish("read", "sent but not read")
            await stream.next()
            await stream.drop()
            assert application.manager.session_count("1") == 0
            with pytest.raises(StreamEndedError, match="was dropped"):
                await stream.next()
        await application.publish("missed")

        async with open_notes(last_event_id=stream.last_event_id) as resumed:
            assert resumed.opened.resumed
            texts = [event.text for event in await resumed.collect(2)]
            assert texts == ["sent but not read", "missed"]
            await resumed.assert_no_event()

    async def test_reset_is_raised_once_and_reading_goes_on(self, application, open_notes):
        async with open_notes(last_event_id="of-another-time") as stream:
            assert not stream.opened.resumed
            with pytest.raises(StreamResetError, match="epoch"):
                await stream.next()
            await application.publish("a")

            assert (await stream.next()).text == "a"
            assert stream.resets == ["epoch"]

    async def test_reset_can_be_waited_for(self, application, open_notes):
        async with open_notes(last_event_id="of-another-time") as stream:
            assert await stream.wait_for_reset() == "epoch"
            await application.publish("a")

            with pytest.raises(UnexpectedEventError, match="expected a reset, but Note"):
                await stream.wait_for_reset()
            with pytest.raises(StreamTimeoutError, match=r"no reset came within 0\.05 s"):
                await stream.wait_for_reset(timeout=0.05)


class TestEnding:
    async def test_close_can_be_waited_for(self, application, open_notes):
        async with open_notes() as stream:
            application.manager.channel("1").close("revoked", reconnect=True)

            closed = await stream.wait_for_close()

            assert (
                closed
                == stream.closed
                == StreamClose("revoked", reconnect=True, retry=closed.retry)
            )
            with pytest.raises(StreamEndedError, match="revoked"):
                await stream.next()
            with pytest.raises(StreamEndedError, match="revoked"):
                await stream.wait_for_close()

    async def test_events_before_the_close_are_read_first(self, application, open_notes):
        async with open_notes() as stream:
            await application.publish("last")
            application.manager.channel("1").close()

            with pytest.raises(UnexpectedEventError, match=r"expected the end.*'last'"):
                await stream.wait_for_close()
            assert (await stream.wait_for_close()).reason == "ended"

    async def test_reset_before_the_close_is_told(self, open_notes):
        async with open_notes(last_event_id="x") as stream:
            with pytest.raises(UnexpectedEventError, match=r"but a reset \(epoch\) came"):
                await stream.wait_for_close()

    async def test_leaving_a_stream_ends_its_session(self, application, open_notes):
        async with open_notes():
            assert application.manager.session_count("1") == 1
        assert application.manager.session_count("1") == 0

    async def test_leaving_the_client_ends_its_streams(self, application):
        async with SSETestClient(application.app) as client:
            stream = await client.stream(URL, application.Event).__aenter__()
        assert (await stream.wait_for_close()).reason == "shutdown"
        await stream.__aexit__(None, None, None)

    async def test_error_of_the_application_in_mid_stream_is_raised(self, application):
        class Failing:
            async def __call__(self, scope, receive, send):
                await application.app(scope, receive, send)
                if scope["type"] == "http":
                    raise LookupError("afterwards")

        async with SSETestClient(Failing()) as client:
            with pytest.raises(LookupError, match="afterwards"):
                async with client.stream(URL, application.Event):
                    pass
            # it does not hide the test's own failure
            with pytest.raises(ZeroDivisionError):
                async with client.stream(URL, application.Event):
                    raise ZeroDivisionError

    @pytest.mark.parametrize("error", [LookupError, TimeoutError])
    @pytest.mark.parametrize("read", ["next", "collect"])
    async def test_application_that_fails_while_it_streams_fails_the_test(
        self, application, error, read
    ):
        async def app(scope, _receive, send):
            assert scope["type"] == "http"
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            body = b'event: stream-open\ndata: {"protocol":1,"resumed":false,"ping_interval":1}\n\n'
            await send({"type": "http.response.body", "body": body, "more_body": True})
            raise error("in mid-stream")

        async with SSETestClient(app) as client, client.stream(URL, application.Event) as stream:
            with pytest.raises(error, match="in mid-stream"):
                await (stream.next() if read == "next" else stream.collect(1))


class TestWaitingForSessions:
    async def test_wait_for_sessions_returns_at_the_exact_number(self, application, open_notes):
        async def open_two():
            async with open_notes(), open_notes() as stream:
                await stream.next()

        opening = asyncio.ensure_future(open_two())
        await wait_for_sessions(application.manager, 1, 2)
        await application.publish("go")
        await wait_for_sessions(application.manager, "1", 0)
        await opening

    async def test_wait_for_sessions_fails_in_time(self, application, open_notes):
        async with open_notes():
            with pytest.raises(
                StreamTimeoutError, match=r"'1' has 1 sessions after 0\.02 s, not 2"
            ):
                await wait_for_sessions(application.manager, "1", 2, timeout=0.02)
