"""Several server processes share one Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest
from redis import Redis


@pytest.fixture
def redis(redis_url):
    client = Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def serve_node(serve, redis, redis_url):
    def start(server="uvicorn", **env):
        return serve("nodes:app", server, env={"REDIS_URL": redis_url, **env})

    return start


def post(server, path, **query):
    response = httpx2.post(f"{server.url}/rooms/{path}", params=query, timeout=30)
    assert response.status_code == 200, response.text
    return response.json()


def texts(stream):
    return [frame["data"].split('"')[-2] for frame in stream.frames if "event" not in frame]


def controls(stream):
    return [frame["event"] for frame in stream.frames if "event" in frame]


def total(server, room):
    return httpx2.get(f"{server.url}/rooms/{room}/sessions", timeout=5).json()


def connections(redis):
    return {one["id"] for one in redis.client_list()}


def subscribers(redis):
    return [one for one in redis.client_list() if int(one["sub"]) or int(one["psub"])]


class TestSubscription:
    @pytest.mark.parametrize("mode", ["pattern", "channel"])
    def test_process_has_one_subscription_from_start_to_stop(self, serve_node, redis, mode):
        assert subscribers(redis) == []
        before = connections(redis)
        one = serve_node(FOLLOW=mode)
        assert len(subscribers(redis)) == 1
        two = serve_node("uvicorn-2-workers", FOLLOW=mode)
        _wait(lambda: len(subscribers(redis)) == 3)
        one.terminate()
        two.terminate()

        _wait(lambda: connections(redis) <= before)
        assert redis.keys("*:node:*") == []

    async def test_node_receives_events_of_every_node(self, serve_node, open_stream):
        nodes = [serve_node() for _ in range(3)]
        streams = [await open_stream(f"{node.url}/rooms/1/events") for node in nodes]
        for stream in streams:
            await stream.until(b"\n\n")
        for number, node in enumerate(nodes):
            post(node, "1/async", text=str(number))

        for stream in streams:
            await stream.until(b'"text":"2"}\n\n')
            assert texts(stream) == ["0", "1", "2"]
        assert len({stream.body.partition(b"\n\n")[2] for stream in streams}) == 1


class TestResuming:
    async def test_client_of_a_killed_node_misses_nothing(self, serve_node, open_stream):
        one, two = serve_node(), serve_node()
        first = await open_stream(f"{one.url}/rooms/1/events")
        post(two, "1/async", text="before")
        await first.until(b"before")
        await first.until(b'before"}\n\n')
        one.kill()
        for number in range(5):
            post(two, "1/async", text=str(number))
        second = await open_stream(f"{two.url}/rooms/1/events", last_event_id=first.last_event_id)
        await second.until(b'"4"}\n\n')

        assert texts(second) == ["0", "1", "2", "3", "4"]
        assert controls(second) == ["stream-open"]
        assert b'"resumed":true' in second.body


class TestCounts:
    @pytest.mark.parametrize("mode", ["pattern", "channel"])
    async def test_sessions_of_a_killed_node_are_gone_within_seconds(
        self, serve_node, open_stream, eventually, mode
    ):
        one, two = serve_node(FOLLOW=mode), serve_node(FOLLOW=mode)
        for node, count in ((one, 3), (two, 2)):
            for _ in range(count):
                await (await open_stream(f"{node.url}/rooms/1/events")).until(b"\n\n")
        await eventually(lambda: total(one, 1) == total(two, 1) == 5)

        killed_at = time.monotonic()
        os.killpg(one.process.pid, signal.SIGKILL)
        await eventually(lambda: total(two, 1) == 2)
        assert time.monotonic() - killed_at < 5

    async def test_sessions_are_counted_again_after_a_flush(
        self, serve_node, open_stream, eventually, redis
    ):
        one, two = serve_node(), serve_node()
        for node in (one, two):
            await (await open_stream(f"{node.url}/rooms/1/events")).until(b"\n\n")
        await eventually(lambda: total(one, 1) == 2)
        redis.flushall()

        await eventually(lambda: total(one, 1) == total(two, 1) == 2)


@pytest.mark.parametrize("kind", ["memory", "redis"])
class TestPublishSync:
    @pytest.fixture
    def node(self, serve, kind, request):
        env = {} if kind == "memory" else {"REDIS_URL": request.getfixturevalue("redis_url")}
        return serve("nodes:app", env=env)

    async def test_publish_sync_works_from_def_endpoints_and_bare_threads(
        self, node, open_stream, new_resource
    ):
        room = new_resource()
        stream = await open_stream(f"{node.url}/rooms/{room}/events")
        await stream.until(b"\n\n")
        ids = [
            await asyncio.to_thread(post, node, f"{room}/{how}", text=how)
            for how in ("def", "thread", "async")
        ]
        await stream.until(b'async"}\n\n')

        assert texts(stream) == ["def", "thread", "async"]
        assert [frame["id"] for frame in stream.frames if "event" not in frame] == ids

    async def test_publish_sync_works_from_many_threads_at_once(
        self, node, open_stream, new_resource
    ):
        room = new_resource()
        stream = await open_stream(f"{node.url}/rooms/{room}/events")
        await stream.until(b"\n\n")
        with ThreadPoolExecutor(8) as pool:
            publish = lambda number: post(node, f"{room}/def", text=str(number))  # noqa: E731
            ids = await asyncio.to_thread(lambda: list(pool.map(publish, range(80))))
        for event_id in ids:
            await stream.until(f"id: {event_id}\n".encode())
        await stream.until(b"\n\n")

        assert sorted(texts(stream), key=int) == [str(number) for number in range(80)]
        offsets = [int(f["id"].split(".")[1]) for f in stream.frames if "event" not in f]
        assert offsets == list(range(offsets[0], offsets[0] + 80))

    def test_publish_sync_on_the_event_loop_says_what_to_call(self, node, new_resource):
        answer = post(node, f"{new_resource()}/wrong", text="x")

        assert answer == (
            "publish_sync would block the event loop; use `await publisher.publish(…)`"
        )

    def test_thread_that_publishes_does_not_delay_the_shutdown(self, node, new_resource):
        post(node, f"{new_resource()}/chatter")

        assert node.terminate() < 5


class TestVersions:
    """During a deploy, nodes differ in the events that they know."""

    async def test_unknown_event_reaches_streams_unchanged(self, serve_node, open_stream):
        old, new = serve_node(MODEL="old"), serve_node(MODEL="new")
        streams = [await open_stream(f"{node.url}/rooms/1/events") for node in (old, new)]
        for stream in streams:
            await stream.until(b"\n\n")
        post(new, "1/whisper", text="psst")
        post(old, "1/async", text="what?")
        for stream in streams:
            await stream.until(b'what?"}\n\n')

        one, two = (stream.body.partition(b"\n\n")[2] for stream in streams)
        assert one == two
        assert b'data: {"type":"whispered","text":"psst","volume":1}\n\n' in one

    def test_old_node_refuses_to_publish_unknown_events(self, serve_node):
        old = serve_node(MODEL="old")
        response = httpx2.post(f"{old.url}/rooms/1/whisper", params={"text": "psst"})

        assert response.status_code == 500
        _wait(lambda: "InvalidEventError" in old.log)

    async def test_subscription_raises_for_an_unknown_event_and_goes_on(
        self, serve_node, redis, eventually
    ):
        old, new = serve_node(MODEL="old"), serve_node(MODEL="new")
        listening = asyncio.create_task(asyncio.to_thread(post, old, "1/listen", count=3))
        await eventually(lambda: redis.exists("sse:pos:{room:1:events}"))
        await asyncio.to_thread(post, new, "1/async", text="before")
        await asyncio.to_thread(post, new, "1/whisper", text="psst")
        await asyncio.to_thread(post, new, "1/async", text="after")
        before, refused, after = await listening

        assert (before, after) == ("before", "after")
        assert refused.startswith("refused: ")
        assert "'whispered'" in refused


def _wait(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)  # polling a process that cannot tell us
