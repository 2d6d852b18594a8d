"""Both kinds of connection, against real servers that are killed, restarted and full."""

from __future__ import annotations

import asyncio
import functools
import itertools
import signal
import subprocess
import sys
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from fastapi_sse_channels import InvalidEventError, StreamResetError, SyncPublisher
from fastapi_sse_channels.client import (
    Closed,
    ContentTypeError,
    Open,
    StreamRefusedError,
    UnauthorizedError,
    Waiting,
)


class Publishing:
    """Publishes numbers to one resource through Redis, independently of the servers."""

    def __init__(self, event_type: type[BaseModel], broker: str, resource_id: str) -> None:
        self._publisher = SyncPublisher(event_type, broker=broker, key_prefix="number")
        self.resource_id = resource_id
        self.path = f"/numbers/{resource_id}/events"
        self._last = 0

    async def publish(self, count: int) -> None:
        for _ in range(count):
            self._last += 1
            event = {"type": "number", "number": self._last}
            await asyncio.to_thread(self._publisher.publish, self.resource_id, event)

    def close(self) -> None:
        self._publisher.close()


@pytest.fixture
async def publishing(number_type, redis_url, new_resource):
    publishing = Publishing(number_type, redis_url, new_resource())
    yield publishing
    publishing.close()


async def send(url: str, path: str, **params: Any) -> Any:
    async with httpx.AsyncClient(base_url=url) as client:
        return (await client.post(path, params=params)).raise_for_status().json()


@pytest.fixture
def post(numbers_url):
    return functools.partial(send, numbers_url)


async def session_count(url: str, resource_id: str) -> int:
    async with httpx.AsyncClient(base_url=url) as client:
        return int((await client.get(f"/numbers/{resource_id}/sessions")).text)


async def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Read lines that a process prints."""
    output = process.stdout
    assert output is not None
    async with asyncio.timeout(15):
        return [(await asyncio.to_thread(output.readline)).strip() for _ in range(count)]


class TestRestart:
    @pytest.mark.parametrize(
        ("follow", "number"),
        [(False, signal.SIGKILL), (True, signal.SIGTERM)],
        indirect=["follow"],
        ids=["connect, killed", "connect_sync, stopped"],
    )
    async def test_restart_loses_and_repeats_nothing(
        self, serve_numbers, redis_url, publishing, follow, number
    ):
        server = serve_numbers(BROKER=redis_url)
        async with follow(server.url + publishing.path) as stream:
            await publishing.publish(20)
            assert await stream.numbers(5) == [1, 2, 3, 4, 5]
            await asyncio.to_thread(server.terminate, number)
            await publishing.publish(20)
            serving = asyncio.ensure_future(
                asyncio.to_thread(serve_numbers, server.port, BROKER=redis_url)
            )
            assert await stream.numbers(35) == list(range(6, 41))
            await serving
            await publishing.publish(20)

            assert await stream.numbers(20) == list(range(41, 61))
        assert set(stream.waits) <= {"close" if number == signal.SIGTERM else "network", "network"}
        assert stream.waits

    async def test_503_while_a_new_version_is_put_in_place(
        self, serve_numbers, redis_url, publishing, follow, eventually
    ):
        async def unavailable(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n")
            writer.write(b"Connection: close\r\n\r\n")
            writer.close()

        server = serve_numbers(BROKER=redis_url)
        async with follow(server.url + publishing.path) as stream:
            await publishing.publish(3)
            assert await stream.numbers(3) == [1, 2, 3]
            following = asyncio.ensure_future(stream.numbers(3))
            await asyncio.to_thread(server.kill)
            async with await asyncio.start_server(unavailable, "127.0.0.1", server.port):
                await publishing.publish(3)
                await eventually(lambda: "http" in stream.waits)
            await asyncio.to_thread(serve_numbers, server.port, BROKER=redis_url)

            assert await following == [4, 5, 6]

    async def test_lost_initial_event_is_not_a_reset(
        self, numbers_url, new_resource, listen, follow
    ):
        asked = []

        async def cut_the_first(reader, writer):
            server = await asyncio.open_connection("127.0.0.1", httpx.URL(numbers_url).port)
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            server[1].write(asked[-1])
            writer.write(await server[0].readuntil(b"\ndata: {"))
            writer.write(await server[0].readuntil(b"\n\n"))
            if len(asked) > 1:
                writer.write(await server[0].readuntil(b"\n\n"))
                await reader.read()  # until the client leaves
            writer.close()
            server[1].close()

        url = f"{await listen(cut_the_first)}/initial/{new_resource()}/events"
        async with follow(url) as stream:
            assert await stream.next() == 7

        assert stream.waits == ["network"]
        assert b"\r\nLast-Event-ID: " in asked[1]

    async def test_lost_history_is_one_reset(self, serve_numbers, follow):
        server = serve_numbers()
        async with follow(f"{server.url}/numbers/1/events") as stream:
            await send(server.url, "/numbers/1", number=1)
            assert await stream.next() == 1
            reading = asyncio.ensure_future(stream.next())
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(serve_numbers, server.port)

            with pytest.raises(StreamResetError, match="epoch"):
                await reading
            await send(server.url, "/numbers/1", number=2)
            assert await stream.next() == 2


class TestStalls:
    async def test_silent_socket_is_given_up_without_loss(self, serve_numbers, proxy, follow):
        server = serve_numbers(PING_INTERVAL="0.3")
        between = await proxy(server.port)
        async with follow(f"{between.url}/numbers/1/events") as stream:
            for number in (1, 2):
                await send(server.url, "/numbers/1", number=number)
            assert await stream.numbers(2) == [1, 2]
            between.swallow()
            for number in (3, 4):
                await send(server.url, "/numbers/1", number=number)

            assert await stream.numbers(2) == [3, 4]
            assert set(stream.waits) == {"stall"}
            assert stream.connection.status == Open(resumed=True)


class TestScript:
    """A script in a process of its own, as a user starts it."""

    # a suite in the background ignores SIGINT, and its programs inherit that
    SCRIPT = """
import signal
import sys
from typing import Literal
from pydantic import BaseModel
from fastapi_sse_channels.client import connect_sync

signal.signal(signal.SIGINT, signal.default_int_handler)

class Number(BaseModel):
    type: Literal["number"] = "number"
    number: int

with connect_sync(sys.argv[1], Number) as events:
    for event in events:
        print(event.number, flush=True)
print("end")
"""

    @pytest.fixture
    def script(self, processes):  # noqa: ARG002  # marks the tests
        """Start the script, and end it with the test."""
        started: list[subprocess.Popen[str]] = []

        def start(url):
            process = subprocess.Popen(
                [sys.executable, "-c", self.SCRIPT, url],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            started.append(process)
            return process

        yield start
        for process in started:
            process.kill()
            process.communicate()

    async def test_script_follows_through_a_restart_until_the_stream_ends(
        self, serve_numbers, redis_url, publishing, script, eventually
    ):
        server = serve_numbers(BROKER=redis_url)
        process = script(server.url + publishing.path)
        await eventually(lambda: session_count(server.url, publishing.resource_id), timeout=15)
        await publishing.publish(3)
        assert await lines(process, 3) == ["1", "2", "3"]
        await asyncio.to_thread(server.kill)
        await publishing.publish(3)
        await asyncio.to_thread(serve_numbers, server.port, BROKER=redis_url)
        assert await lines(process, 3) == ["4", "5", "6"]
        await send(server.url, f"/numbers/{publishing.resource_id}/close", reconnect=False)

        assert await lines(process, 1) == ["end"]
        assert await asyncio.to_thread(process.wait, 5) == 0

    @pytest.mark.parametrize("is_away", [False, True], ids=["open", "waiting"])
    async def test_script_can_be_interrupted(self, serve_numbers, script, eventually, is_away):
        server = serve_numbers()
        process = script(f"{server.url}/numbers/1/events")
        await eventually(lambda: session_count(server.url, "1"), timeout=15)
        await send(server.url, "/numbers/1", number=1)
        assert await lines(process, 1) == ["1"]
        if is_away:
            await asyncio.to_thread(server.kill)
        process.send_signal(signal.SIGINT)

        _, errors = await asyncio.to_thread(process.communicate, timeout=5)

        assert errors.splitlines()[-1] == "KeyboardInterrupt"
        assert "Exception ignored" not in errors


class TestRefusals:
    async def test_204_ends_the_iteration(self, numbers_url, follow):
        async with follow(f"{numbers_url}/gone/1/events") as stream:
            assert await stream.next() is None
            assert stream.connection.status == Closed("ended")

    async def test_other_content_type_is_an_error(self, numbers_url, follow):
        with pytest.raises(ContentTypeError, match="text/html; charset=utf-8, not with text/event"):
            async with follow(f"{numbers_url}/page"):
                pass

    async def test_unknown_path_is_an_error(self, numbers_url, follow):
        with pytest.raises(StreamRefusedError, match="/nowhere answered 404"):
            async with follow(f"{numbers_url}/nowhere?token=secret"):
                pass

    @pytest.mark.parametrize("resource", ["unauthorized", "forbidden"])
    async def test_headers_function_is_called_once_more(self, numbers_url, follow, resource):
        tokens = ["stale", "secret"]
        url = f"{numbers_url}/guarded/{resource}/events"
        async with follow(url, headers=lambda: {"Authorization": tokens.pop(0)}) as stream:
            assert stream.waits == []
        assert tokens == []

    async def test_headers_that_stay_wrong_are_an_error(self, numbers_url, follow):
        tokens = ["stale", "wrong", "secret"]
        url = f"{numbers_url}/guarded/unauthorized/events"

        with pytest.raises(UnauthorizedError) as raised:
            async with follow(url, headers=lambda: {"Authorization": tokens.pop(0)}):
                pass
        assert raised.value.status_code == 401
        assert tokens == ["secret"]

    async def test_fixed_headers_are_not_tried_again(self, numbers_url, follow):
        with pytest.raises(UnauthorizedError, match="a function that returns fresh ones"):
            async with follow(f"{numbers_url}/guarded/1/events", headers={"Authorization": "x"}):
                pass

    async def test_credentials_that_expire_in_mid_stream_are_renewed(
        self, numbers_url, follow, post, new_resource
    ):
        tokens = ["secret", "stale", "secret"]
        resource = new_resource()
        url = f"{numbers_url}/guarded/{resource}/events"
        async with follow(url, headers=lambda: {"Authorization": tokens.pop(0)}) as stream:
            await post(f"/numbers/{resource}", number=1)
            await post(f"/numbers/{resource}/close", reconnect=True)
            await post(f"/numbers/{resource}", number=2)

            assert await stream.numbers(2) == [1, 2]
        assert stream.waits == ["close"]


class TestServersWord:
    async def test_close_without_reconnect_ends_the_iteration(
        self, numbers_url, follow, post, new_resource
    ):
        resource = new_resource()
        async with follow(f"{numbers_url}/numbers/{resource}/events") as stream:
            await post(f"/numbers/{resource}", number=1)
            assert await post(f"/numbers/{resource}/close", reconnect=False) == 1

            assert [await stream.next(), await stream.next()] == [1, None]
            assert stream.connection.status == Closed("expired")

    async def test_reconnect_honours_server_retry(self, numbers_url, follow, post, new_resource):
        resource = new_resource()
        async with follow(f"{numbers_url}/numbers/{resource}/events", random=lambda: 1) as stream:
            await post(f"/numbers/{resource}/close", reconnect=True)
            await post(f"/numbers/{resource}", number=1)

            assert await stream.next() == 1
        [wait] = [status for status in stream.statuses if isinstance(status, Waiting)]
        # the manager's retry=100, varied by half; without it the client would wait for 2 s
        assert 0.05 <= wait.delay <= 0.15

    @pytest.mark.parametrize("policy", ["skip", "raise"])
    async def test_unknown_event_follows_the_policy(
        self, numbers_url, follow, post, new_resource, policy
    ):
        resource = new_resource()
        url = f"{numbers_url}/numbers/{resource}/events"
        async with follow(url, on_unknown=policy) as stream:
            await post(f"/numbers/{resource}/mark")
            await post(f"/numbers/{resource}", number=1)

            if policy == "raise":
                with pytest.raises(InvalidEventError, match=r"'mark' is not an event .*number"):
                    await stream.next()
            assert await stream.next() == 1

    async def test_retry_after_of_a_full_server_is_obeyed(
        self, serve_numbers, open_stream, follow, delays, eventually
    ):
        server = serve_numbers(MAX_SESSIONS="1")
        url = f"{server.url}/numbers/1/events"
        first = await open_stream(url)
        await first.until(b"stream-open")
        draws = itertools.chain([0], itertools.repeat(0.5))
        stream = follow(url, sleep=delays, random=draws.__next__)
        opening = asyncio.ensure_future(stream.__aenter__())
        await eventually(lambda: delays)
        first.close()
        await opening
        await stream.__aexit__(None, None, None)

        # Retry-After: 2, plus a quarter for these draws; the client's own delay would be 2 s
        assert stream.statuses[1] == Waiting(2.5, "http")
        assert delays[0] == 2.5
