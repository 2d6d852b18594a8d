"""Both kinds of connection, against real servers that are killed, restarted and full."""

from __future__ import annotations

import asyncio
import signal

import httpx
import pytest
from pydantic import BaseModel

from fastapi_sse_channels import SyncPublisher
from fastapi_sse_channels.client import (
    Closed,
    ContentTypeError,
    StreamRefusedError,
    UnauthorizedError,
    Waiting,
)


class Publishing:
    """Publishes numbers to one resource through Redis, whatever becomes of the servers."""

    def __init__(self, event_type: type[BaseModel], broker: str, resource_id: str) -> None:
        self._publisher = SyncPublisher(event_type, broker=broker, key_prefix="number")
        self._resource_id = resource_id
        self.path = f"/numbers/{resource_id}/events"
        self._last = 0

    async def publish(self, count: int) -> None:
        for _ in range(count):
            self._last += 1
            event = {"type": "number", "number": self._last}
            await asyncio.to_thread(self._publisher.publish, self._resource_id, event)

    def close(self) -> None:
        self._publisher.close()


@pytest.fixture
async def publishing(number_type, redis_url, new_resource):
    publishing = Publishing(number_type, redis_url, new_resource())
    yield publishing
    publishing.close()


@pytest.fixture
def post(numbers_url):
    async def post(path, **params):
        async with httpx.AsyncClient(base_url=numbers_url) as client:
            return (await client.post(path, params=params)).raise_for_status().json()

    return post


class TestRestart:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
    async def test_nothing_is_lost_or_repeated(
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
        server = serve_numbers(BROKER=redis_url)
        async with follow(server.url + publishing.path) as stream:
            await publishing.publish(3)
            assert await stream.numbers(3) == [1, 2, 3]
            following = asyncio.ensure_future(stream.numbers(3))
            await asyncio.to_thread(server.kill)
            maintenance = await asyncio.to_thread(serve_numbers, server.port, UNAVAILABLE="1")
            await publishing.publish(3)
            await eventually(lambda: "http" in stream.waits)
            await asyncio.to_thread(maintenance.kill)
            await asyncio.to_thread(serve_numbers, server.port, BROKER=redis_url)

            assert await following == [4, 5, 6]


class TestRefusals:
    async def test_204_ends_the_iteration(self, numbers_url, follow):
        async with follow(f"{numbers_url}/gone/1/events") as stream:
            assert await stream.next() is None
            assert stream.connection.status == Closed("ended")

    async def test_other_content_is_an_error(self, numbers_url, follow):
        with pytest.raises(ContentTypeError, match="text/html; charset=utf-8, not with text/event"):
            async with follow(f"{numbers_url}/page"):
                pass

    async def test_unknown_path_is_an_error(self, numbers_url, follow):
        with pytest.raises(StreamRefusedError, match="/nowhere answered 404"):
            async with follow(f"{numbers_url}/nowhere?token=secret"):
                pass

    @pytest.mark.parametrize("resource", ["unauthorized", "forbidden"])
    async def test_headers_are_asked_for_once_more(self, numbers_url, follow, resource):
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

    async def test_headers_without_a_function_are_not_tried_again(self, numbers_url, follow):
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
    async def test_server_that_wants_no_one_back_ends_the_iteration(
        self, numbers_url, follow, post, new_resource
    ):
        resource = new_resource()
        async with follow(f"{numbers_url}/numbers/{resource}/events") as stream:
            await post(f"/numbers/{resource}", number=1)
            assert await post(f"/numbers/{resource}/close", reconnect=False) == 1

            assert [await stream.next(), await stream.next()] == [1, None]
            assert stream.connection.status == Closed("expired")

    async def test_retry_after_of_a_full_server_is_obeyed(
        self, serve_numbers, open_stream, follow, delays, eventually
    ):
        server = serve_numbers(MAX_SESSIONS="1")
        url = f"{server.url}/numbers/1/events"
        first = await open_stream(url)
        await first.until(b"stream-open")
        stream = follow(url, sleep=delays, random=lambda: 0.5)
        opening = asyncio.ensure_future(stream.__aenter__())
        await eventually(lambda: delays)
        first.close()
        await opening
        await stream.__aexit__(None, None, None)

        # Retry-After: 2, of which a quarter is added for this draw; the own delay is shorter
        assert stream.statuses[1] == Waiting(2.5, "http")
        assert delays[0] == 2.5
