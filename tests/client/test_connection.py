"""Both kinds of connection, against servers that follow a script."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import secrets
import traceback
import tracemalloc

import httpx
import pytest

from fastapi_sse_channels import ConfigurationError, InvalidEventError, StreamResetError
from fastapi_sse_channels.client import (
    Closed,
    Connecting,
    ContentEncodingError,
    HeadersRequest,
    Open,
    OversizeEventError,
    StreamRefusedError,
)


async def numbers_then_silence(talk):
    await talk.open()
    await talk.event(1)
    await talk.event(2)
    await talk.silence()


@pytest.fixture(scope="module")
def bomb():
    """A compressed body, which grows a thousandfold."""
    return gzip.compress(b"x" * 300_000_000, compresslevel=1)


async def refuse(talk):
    await talk.answer("404 Not Found")


@contextlib.contextmanager
def in_little_memory():
    """Check that the block takes little memory compared with what is sent."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 64_000_000


class TestReading:
    async def test_entering_waits_until_the_stream_is_open(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        async with follow(server.url) as stream:
            assert stream.statuses == [Connecting(), Open(resumed=False)]
            assert stream.connection.last_event_id == "a.1"

            assert await stream.numbers(2) == [1, 2]
            assert stream.connection.last_event_id == "a.2"
        assert stream.connection.status == Closed("caller")

    async def test_request_asks_for_an_uncompressed_stream(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        async with follow(server.url, headers={"X-Team": "red"}):
            pass

        [request] = server.requests
        assert request["accept"] == "text/event-stream"
        assert request["accept-encoding"] == "identity"
        assert request["x-team"] == "red"
        assert "last-event-id" not in request

    async def test_stream_is_read_byte_by_byte(self, scripted, follow):
        async def script(talk):
            await talk.head()
            for (
                byte
            ) in b'\xef\xbb\xbfid: a.1\r\ndata: {"type":"number",\r\ndata: "number":7}\r\n\r\n':
                await talk.send(bytes([byte]))
                await asyncio.sleep(0)
            await talk.silence()

        server = await scripted(script)
        async with follow(server.url) as stream:
            assert await stream.next() == 7

    async def test_invalid_event_is_raised_and_reading_goes_on(self, scripted, follow):
        async def script(talk):
            await talk.open()
            await talk.send(b'data: {"type":"number"}\n\n')
            await talk.event(2)
            await talk.silence()

        server = await scripted(script)
        async with follow(server.url) as stream:
            with pytest.raises(InvalidEventError, match="number"):
                await stream.next()
            assert await stream.next() == 2

    async def test_repr_shows_no_secrets(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        url = server.url.replace("//", "//user:pass@") + "?token=secret"
        async with follow(url) as stream:
            shown = repr(stream.connection)

        assert server.url in shown
        assert "Open" in shown
        assert not [word for word in ("user", "pass", "secret") if word in shown]


class TestResuming:
    @pytest.mark.parametrize(
        ("follow", "ending"),
        [(False, "end"), (False, "network"), (True, "network")],
        indirect=["follow"],
        ids=["connect, end", "connect, network", "connect_sync, network"],
    )
    async def test_lost_stream_goes_on_after_the_last_event(self, scripted, follow, ending):
        async def broken(talk):
            size = b"Content-Length: 10000\r\n" if ending == "network" else b""
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + size)
            await talk.send(b"\r\n")
            await talk.event(1)
            await talk.event(2)

        async def goes_on(talk):
            await talk.open("a.2", resumed=True)
            await talk.event(3)
            await talk.silence()

        server = await scripted(broken, goes_on)
        async with follow(server.url) as stream:
            assert await stream.numbers(3) == [1, 2, 3]

        assert server.requests[1]["last-event-id"] == "a.2"
        assert stream.waits == [ending]

    async def test_stored_id_is_sent_first(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        async with follow(server.url, last_event_id="a.0"):
            pass

        assert server.requests[0]["last-event-id"] == "a.0"

    async def test_id_outside_ascii_is_sent_as_utf_8(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        async with follow(server.url, last_event_id="é…"):
            pass

        assert server.requests[0]["last-event-id"] == "é…"

    async def test_spaces_around_an_id_are_not_sent(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        async with follow(server.url, last_event_id=" a 0\t"):
            pass

        assert server.requests[0]["last-event-id"] == "a 0"

    async def test_stream_that_does_not_resume_is_one_reset(self, scripted, follow):
        async def once(talk):
            await talk.open("a.0")
            await talk.event(1)

        async def anew(talk):
            await talk.open("b.7", resumed=False)
            await talk.event(8, "b.8")
            await talk.silence()

        server = await scripted(once, anew)
        async with follow(server.url) as stream:
            assert await stream.next() == 1
            with pytest.raises(StreamResetError) as raised:
                await stream.next()
            assert raised.value.last_event_id == stream.connection.last_event_id == "b.7"
            assert await stream.next() == 8

    async def test_connection_waits_for_a_server_that_is_not_up_yet(
        self, scripted, follow, unused_ports, delays, eventually
    ):
        [port] = unused_ports(1)
        url = f"http://127.0.0.1:{port}/events"
        opening = asyncio.ensure_future(follow(url, sleep=delays).__aenter__())
        async with asyncio.timeout(10):
            await eventually(lambda: len(delays) >= 7)
            server = await scripted(numbers_then_silence, port=port)
            stream = await opening
        assert await stream.next() == 1
        await stream.__aexit__(None, None, None)

        assert len(server.requests) == 1
        assert set(stream.waits) == {"network"}
        # by default 2 to 3 s, doubled each time up to 30 s
        first, *later = delays[:7]
        assert 2 <= first <= 3
        for count, delay in enumerate(later, 1):
            highest = min(first * 2**count, 30)
            assert max(first, highest / 2) <= delay <= highest


class TestStalls:
    async def test_silent_socket_is_given_up_after_three_pings(self, scripted, follow):
        async def falls_silent(talk):
            await talk.open(ping=0.3)
            await talk.event(1)
            await talk.silence()

        async def goes_on(talk):
            await talk.open("a.1", resumed=True)
            await talk.event(2)
            await talk.silence()

        server = await scripted(falls_silent, goes_on)
        async with follow(server.url) as stream:
            assert await stream.numbers(2) == [1, 2]

        assert stream.waits == ["stall"]
        assert server.requests[1]["last-event-id"] == "a.1"

    async def test_pings_keep_a_stream_alive(self, scripted, follow):
        async def pings(talk):
            await talk.open(ping=0.5)
            for _ in range(9):
                await asyncio.sleep(0.2)
                await talk.send(b":\n")
            await talk.event(1)
            await talk.silence()

        server = await scripted(pings)
        async with follow(server.url) as stream:
            assert await stream.next() == 1

        assert stream.waits == []

    @pytest.mark.parametrize("is_answered", [True, False])
    async def test_silence_before_stream_open_is_limited(self, scripted, follow, is_answered):
        async def never(talk):
            if is_answered:
                await talk.head()
                await talk.send(b"retry: 100\n\n")
            await talk.silence()

        server = await scripted(never, numbers_then_silence)
        async with follow(server.url, stall_timeout=0.5) as stream:
            assert await stream.next() == 1

        assert stream.waits == ["stall"]

    async def test_silence_without_pings_is_not_a_stall(self, scripted, follow):
        async def without_pings(talk):
            await talk.open(ping="null")
            await asyncio.sleep(1.5)
            await talk.event(1)
            await talk.silence()

        server = await scripted(without_pings)
        async with follow(server.url, stall_timeout=1) as stream:
            assert await stream.next() == 1

        assert stream.waits == []

    async def test_read_timeout_of_a_given_client_does_not_cut_the_stream(self, scripted, follow):
        async def slow(talk):
            await asyncio.sleep(0.15)
            await talk.open()
            await asyncio.sleep(0.15)
            await talk.event(1)
            await talk.silence()

        server = await scripted(slow)
        async with follow.client(timeout=httpx.Timeout(20, read=0.05)) as client:
            async with follow(server.url, client=client) as stream:
                assert await stream.next() == 1

            assert stream.waits == []
            assert not client.is_closed


class TestTooMuch:
    async def test_endless_event_is_reported_in_little_memory(self, scripted, follow):
        async def endless(talk):
            await talk.open()
            await talk.event(1)
            await talk.send(b'id: a.2\ndata: {"type":"')
            for _ in range(100):
                await talk.send(b"x" * 1_000_000)
            await talk.send(b"\n\n")
            await talk.event(3)
            await talk.silence()

        server = await scripted(endless)
        async with follow(server.url) as stream:
            assert await stream.next() == 1
            with in_little_memory():
                with pytest.raises(OversizeEventError) as raised:
                    await stream.next()
                assert raised.value.last_event_id == "a.2"
                assert await stream.next() == 3
        assert len(server.requests) == 1

    async def test_max_event_bytes_is_an_option(self, scripted, follow):
        async def large(talk):
            await talk.open()
            await talk.send(b'id: a.1\ndata: {"x":"' + b"x" * 4000 + b'"}\n\n')
            await talk.silence()

        server = await scripted(large)
        async with follow(server.url, max_event_bytes=2000) as stream:
            with pytest.raises(OversizeEventError, match="max_event_bytes=2000"):
                await stream.next()

    async def test_compressed_body_is_refused(self, scripted, follow, bomb):
        async def compressed(talk):
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            await talk.send(head + b"Content-Encoding: gzip\r\n\r\n" + bomb)
            await talk.silence()

        server = await scripted(compressed)
        with in_little_memory(), pytest.raises(ContentEncodingError, match="gzip"):
            async with follow(server.url, headers={"Accept-Encoding": "gzip"}):
                pass
        assert server.requests[0]["accept-encoding"] == "identity"

    async def test_body_of_a_redirect_is_not_read(self, scripted, follow, bomb):
        async def redirect(talk):
            head = b"HTTP/1.1 307 Elsewhere\r\nLocation: /\r\nContent-Encoding: gzip\r\n\r\n"
            await talk.send(head + bomb)
            await talk.silence()

        server = await scripted(redirect, numbers_then_silence)
        with in_little_memory():
            async with follow(server.url) as stream:
                assert await stream.next() == 1

    @pytest.mark.parametrize(
        "event_id", [b"a\x01b", b"\x1b[0m", b"a\0b", b"x" * 2_000_000], ids=lambda it: repr(it[:4])
    )
    async def test_unsendable_id_is_not_sent_back(self, scripted, follow, event_id):
        async def once(talk):
            await talk.open("a.1")
            await talk.send(b"id: " + event_id + b'\ndata: {"type":"number","number":1}\n\n')

        async def goes_on(talk):
            await talk.open("a.1", resumed=True)
            await talk.event(2)
            await talk.silence()

        server = await scripted(once, goes_on)
        async with follow(server.url) as stream:
            assert await stream.numbers(2) == [1, 2]

        assert server.requests[1]["last-event-id"] == "a.1"


class TestClient:
    async def test_given_client_adds_its_base_url_and_headers(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        base_url = server.url.removesuffix("events")
        async with (
            follow.client(base_url=base_url, headers={"X-Team": "red"}) as client,
            follow("/events", client=client) as stream,
        ):
            assert await stream.next() == 1

        assert server.requests[0]["x-team"] == "red"

    async def test_caches_are_to_ask_the_server_unless_the_caller_knows_better(
        self, scripted, follow
    ):
        server = await scripted(numbers_then_silence)
        mine = {"Cache-Control": "max-age=5"}
        async with follow.client(headers=mine) as client:
            for options in ({}, {"headers": mine}, {"client": client}):
                async with follow(server.url, **options):
                    pass

        asked = [request["cache-control"] for request in server.requests]
        assert asked == ["no-cache", "max-age=5", "max-age=5"]

    async def test_redirect_is_followed(self, scripted, follow):
        target = await scripted(numbers_then_silence)

        async def redirect(talk):
            await talk.answer("307 Elsewhere", f"Location: {target.url}")

        server = await scripted(redirect)
        async with follow(server.url) as stream:
            assert await stream.next() == 1

    @pytest.mark.parametrize("origin", ["same", "other"])
    async def test_redirect_takes_no_headers_to_another_origin(self, scripted, follow, origin):
        async def goes_on(talk):
            await talk.open("a.0", resumed=True)
            await talk.silence()

        async def redirect(talk):
            location = other.url if origin == "other" else "/"
            await talk.answer("307 Elsewhere", f"Location: {location}")

        other = await scripted(goes_on)
        server = await scripted(redirect, goes_on)
        secrets = {"X-Api-Key": "KEY", "Authorization": "token", "Cookie": "session=1"}
        async with (
            follow.client(
                follow_redirects=True,
                headers={"X-Client-Key": "KEY"},
                cookies={"all": "domains"},
                auth=("user", "pass"),
            ) as client,
            follow(server.url, client=client, headers=lambda: secrets, last_event_id="a.0"),
        ):
            pass

        first, second = server.requests + other.requests
        theirs = {"x-api-key", "authorization", "cookie", "x-client-key"}
        ours = {"accept", "accept-encoding", "cache-control", "last-event-id"}
        assert first.keys() == theirs | ours | {"connection", "host", "user-agent"}
        if origin == "same":
            assert second == first
        else:
            assert second == {
                **{name: value for name, value in first.items() if name not in theirs},
                "host": second["host"],
            }

    async def test_redirect_back_from_another_origin_has_no_headers(self, scripted, follow):
        async def back(talk):
            await talk.answer("307 Elsewhere", f"Location: {server.url}")

        async def away(talk):
            await talk.answer("307 Elsewhere", f"Location: {other.url}")

        other = await scripted(back)
        server = await scripted(away, numbers_then_silence)
        async with follow(server.url, headers={"X-Api-Key": "KEY"}) as stream:
            assert await stream.next() == 1

        assert "x-api-key" in server.requests[0]
        assert "x-api-key" not in server.requests[1]

    @pytest.mark.parametrize(
        "location",
        ["mailto:x", "ftp://127.0.0.1/", "//127.0.0.1:99999/", "//a..b/", "//xn--/", "//a:b/"],
    )
    async def test_redirect_to_nowhere_is_a_failed_attempt(
        self, scripted, follow, location, delays
    ):
        async def redirect(talk):
            await talk.answer("307 Elsewhere", f"Location: {location}")

        server = await scripted(*[redirect] * 6, numbers_then_silence)
        async with follow(server.url, sleep=delays) as stream:
            assert await stream.next() == 1

        assert set(stream.waits) == {"network"}

    @pytest.mark.parametrize("headers", [(), ("Location:",)])
    async def test_redirect_without_a_target_is_an_error(self, scripted, follow, headers):
        async def redirect(talk):
            await talk.answer("301 Elsewhere", *headers)

        server = await scripted(redirect)
        with pytest.raises(StreamRefusedError, match="answered 301 without a Location"):
            async with follow(server.url):
                pass
        assert len(server.requests) == 1

    async def test_redirects_of_an_attempt_are_limited(self, scripted, follow, delays):
        async def redirect(talk):
            await talk.answer("307 Elsewhere", "Location: ?again")

        server = await scripted(*[redirect] * 6, numbers_then_silence)
        async with follow(server.url, sleep=delays) as stream:
            assert await stream.next() == 1

        assert stream.waits == ["network"]
        assert len(server.requests) == 7

    async def test_error_after_a_redirect_shows_no_secrets(self, scripted, follow):
        target = await scripted(refuse)
        location = target.url.replace("//", "//user:pass@") + "?token=secret#secret"

        async def redirect(talk):
            await talk.answer("307 Elsewhere", f"Location: {location}")

        server = await scripted(redirect)
        with pytest.raises(StreamRefusedError, match=f"^{target.url} answered 404"):
            async with follow(server.url):
                pass

    async def test_redirect_over_the_clients_limit_is_a_failed_attempt(
        self, scripted, follow, delays
    ):
        async def redirect(talk):
            await talk.answer("307 Elsewhere", "Location: /")

        server = await scripted(redirect, numbers_then_silence)
        async with (
            follow.client(follow_redirects=True, max_redirects=0) as client,
            follow(server.url, client=client, sleep=delays) as stream,
        ):
            assert await stream.next() == 1

        assert stream.waits == ["network"]

    @pytest.mark.parametrize("url", ["ftp://127.0.0.1/events", "/events"])
    async def test_unusable_url_is_an_error(self, follow, url):
        with pytest.raises(ConfigurationError, match="check the URL and the headers"):
            async with follow(url):
                pass

    async def test_unusable_header_is_an_error(self, scripted, follow):
        server = await scripted(numbers_then_silence)

        with pytest.raises(ConfigurationError, match="check the URL and the headers"):
            async with follow(server.url, last_event_id="a\nb"):
                pass

    async def test_unusable_header_is_not_shown(self, scripted, follow):
        token = secrets.token_hex(8)
        server = await scripted(numbers_then_silence)

        with pytest.raises(ConfigurationError, match="Illegal header value; check") as caught:
            async with follow(server.url, headers={"Authorization": f"Bearer {token}\n"}):
                pass
        assert token not in "".join(traceback.format_exception(caught.value))


class TestHeaders:
    async def test_headers_function_is_called_before_every_attempt(self, scripted, follow):
        async def once(talk):
            await talk.open()
            await talk.event(1)

        server = await scripted(once, numbers_then_silence)
        tokens = iter(["first", "second"])
        async with follow(server.url, headers=lambda: {"Authorization": next(tokens)}) as stream:
            await stream.next()
            with pytest.raises(StreamResetError):
                await stream.next()

        assert [request["authorization"] for request in server.requests] == ["first", "second"]

    async def test_headers_function_with_an_argument_is_told_why_it_is_called(
        self, scripted, follow
    ):
        server = await scripted(lambda talk: talk.answer("401 Unauthorized"), numbers_then_silence)
        requests = []

        def headers(request: HeadersRequest) -> dict[str, str]:
            requests.append(request)
            return {"Authorization": "new" if request.rejected else "cached"}

        async with follow(server.url, headers=headers) as stream:
            assert await stream.next() == 1

        assert requests == [HeadersRequest(rejected=False), HeadersRequest(rejected=True)]
        assert [request["authorization"] for request in server.requests] == ["cached", "new"]

    async def test_headers_function_with_a_default_keeps_it(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        async with follow(server.url, headers=lambda team="red": {"X-Team": team}):
            assert [request["x-team"] for request in server.requests] == ["red"]

    async def test_headers_function_that_takes_more_is_refused(self, follow):
        with pytest.raises(ConfigurationError, match="called with one HeadersRequest or nothing"):
            async with follow("http://x", headers=lambda _request, _token: {}):
                pass

    async def test_headers_function_with_a_transport_error_is_called_again(
        self, scripted, follow, delays
    ):
        failures = [httpx.ConnectError("down"), ConnectionResetError(), TimeoutError()]

        def headers():
            if failures:
                raise failures.pop()
            return {"Authorization": "token"}

        server = await scripted(numbers_then_silence)
        async with follow(server.url, headers=headers, sleep=delays) as stream:
            assert await stream.next() == 1

        assert stream.waits == ["network"] * 3

    async def test_headers_function_error_is_raised(self, scripted, follow):
        server = await scripted(numbers_then_silence)

        with pytest.raises(ZeroDivisionError):
            async with follow(server.url, headers=lambda: {"X": str(1 // 0)}):
                pass
        assert server.requests == []


class TestClosing:
    async def test_close_ends_a_waiting_iteration(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        async with follow(server.url) as stream:
            await stream.numbers(2)
            waiting = asyncio.ensure_future(stream.next())
            await asyncio.sleep(0)
            if follow.is_sync:
                stream.connection.close()
            else:
                await stream.connection.aclose()

            assert await waiting is None
            assert await stream.next() is None
        assert stream.waits == []

    async def test_close_drops_unread_events(self, scripted, follow):
        async def script(talk):
            await talk.head()
            await talk.send(b'data: {"type":"number","number":1}\n\n' * 3)
            await talk.silence()

        server = await scripted(script)
        async with follow(server.url) as stream:
            assert await stream.next() == 1
            if follow.is_sync:
                stream.connection.close()
            else:
                await stream.connection.aclose()

            assert await stream.next() is None

    async def test_error_in_a_callback_leaves_nothing_open(self, scripted, follow):
        left = asyncio.Event()

        async def script(talk):
            await talk.open()
            await talk.silence()
            left.set()

        def refuse_to_end(status):
            if isinstance(status, Closed):
                raise ZeroDivisionError

        server = await scripted(script)
        stream = follow(server.url, on_status=refuse_to_end)
        with pytest.raises(ZeroDivisionError):
            async with stream:
                pass
        async with asyncio.timeout(20):
            await left.wait()
        assert stream.connection.status == Closed("caller")

    async def test_close_ends_the_wait_for_the_next_attempt(self, scripted, follow, eventually):
        async def once(talk):
            await talk.open(retry=20_000)

        server = await scripted(once)
        async with follow(server.url) as stream:
            waiting = asyncio.ensure_future(stream.next())
            await eventually(lambda: stream.waits)
            if follow.is_sync:
                stream.connection.close()
            else:
                await stream.connection.aclose()

            assert await waiting is None

    async def test_connection_must_be_entered_first(self, follow):
        stream = follow("http://127.0.0.1:1/events")

        with pytest.raises(ConfigurationError, match="with connect"):
            await stream.next()

    async def test_refused_connection_leaves_nothing_open(self, scripted, follow):
        server = await scripted(refuse)

        with pytest.raises(Exception, match="404"):
            async with follow(server.url):
                pass
        assert len(server.requests) == 1

    async def test_reason_of_a_loss_is_logged(self, scripted, follow, caplog):
        async def once(talk):
            await talk.open()

        server = await scripted(once, refuse)
        with caplog.at_level(logging.INFO, "fastapi_sse_channels.client"):
            async with follow(server.url) as stream:
                with pytest.raises(Exception, match="404"):
                    await stream.next()

        assert "stream lost (end) ; next attempt in 0." in caplog.text
