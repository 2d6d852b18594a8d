"""Both kinds of connection, against servers that follow a script."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

from fastapi_sse_channels import ConfigurationError, InvalidEventError, StreamResetError
from fastapi_sse_channels.client import Closed, Connecting, Open


async def numbers_then_silence(talk):
    await talk.open()
    await talk.event(1)
    await talk.event(2)
    await talk.silence()


async def refuse(talk):
    await talk.answer("404 Not Found")


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

    async def test_bytes_may_come_one_at_a_time(self, scripted, follow):
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

    async def test_representation_shows_no_secrets(self, scripted, follow):
        server = await scripted(numbers_then_silence)
        url = server.url.replace("//", "//user:pass@") + "?token=secret"
        async with follow(url) as stream:
            shown = repr(stream.connection)

        assert server.url in shown
        assert "Open" in shown
        assert not [word for word in ("user", "pass", "secret") if word in shown]


class TestResuming:
    @pytest.mark.parametrize("ending", ["end", "network"])
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

    async def test_spaces_around_an_id_are_no_part_of_a_header(self, scripted, follow):
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

    async def test_server_that_is_not_there_yet_is_waited_for(
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
        # 2 s of its own accord, doubled each time up to 30 s
        highest = [2, 4, 8, 16, 30, 30, 30]
        found = delays[:7]
        assert all(high / 2 <= delay <= high for delay, high in zip(found, highest, strict=True))


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
    async def test_limit_before_the_stream_is_open(self, scripted, follow, is_answered):
        async def never(talk):
            if is_answered:
                await talk.head()
            await talk.silence()

        server = await scripted(never, numbers_then_silence)
        async with follow(server.url, stall_timeout=1) as stream:
            assert await stream.next() == 1

        assert stream.waits == ["stall"]

    async def test_without_pings_silence_means_nothing(self, scripted, follow):
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

    async def test_redirection_is_followed(self, scripted, follow):
        target = await scripted(numbers_then_silence)

        async def redirect(talk):
            await talk.answer("307 Elsewhere", f"Location: {target.url}")

        server = await scripted(redirect)
        async with follow(server.url) as stream:
            assert await stream.next() == 1

    async def test_redirection_that_leads_nowhere_may_pass(self, scripted, follow, delays):
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
    async def test_url_that_no_request_can_be_sent_to_is_an_error(self, follow, url):
        with pytest.raises(ConfigurationError, match="check the URL and the headers"):
            async with follow(url):
                pass

    async def test_header_that_cannot_be_sent_is_an_error(self, scripted, follow):
        server = await scripted(numbers_then_silence)

        with pytest.raises(ConfigurationError, match="check the URL and the headers"):
            async with follow(server.url, last_event_id="a\nb"):
                pass


class TestHeaders:
    async def test_function_is_asked_before_every_attempt(self, scripted, follow):
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

    async def test_function_that_cannot_reach_its_server_is_asked_again(
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

    async def test_other_error_of_a_function_is_raised(self, scripted, follow):
        server = await scripted(numbers_then_silence)

        with pytest.raises(ZeroDivisionError):
            async with follow(server.url, headers=lambda: {"X": str(1 // 0)}):
                pass
        assert server.requests == []


class TestClosing:
    async def test_iteration_that_waits_ends(self, scripted, follow):
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

    async def test_what_is_not_read_yet_is_not_handed_out(self, scripted, follow):
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

    async def test_callback_that_raises_leaves_nothing_open(self, scripted, follow):
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

    async def test_wait_for_the_next_attempt_ends(self, scripted, follow, eventually):
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

    async def test_nothing_works_before_it_is_entered(self, follow):
        stream = follow("http://127.0.0.1:1/events")

        with pytest.raises(ConfigurationError, match="with connect"):
            await stream.next()

    async def test_connection_that_was_refused_leaves_nothing_open(self, scripted, follow):
        server = await scripted(refuse)

        with pytest.raises(Exception, match="404"):
            async with follow(server.url):
                pass
        assert len(server.requests) == 1

    async def test_reasons_of_a_loss_are_logged(self, scripted, follow, caplog):
        async def once(talk):
            await talk.open()

        server = await scripted(once, refuse)
        with caplog.at_level(logging.INFO, "fastapi_sse_channels.client"):
            async with follow(server.url) as stream:
                with pytest.raises(Exception, match="404"):
                    await stream.next()

        assert "stream lost (end) ; next attempt in 0." in caplog.text
