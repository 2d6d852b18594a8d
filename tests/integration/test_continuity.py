"""A client that drops and returns gets exactly what it missed, or exactly one reset."""

from __future__ import annotations

import asyncio
import json

import httpx2
import pytest


@pytest.fixture
def counters(serve_shared):
    return serve_shared("continuity:app")


@pytest.fixture
def counter(counters, new_resource):
    return Counter(counters.url, new_resource())


class Counter:
    def __init__(self, server_url, resource_id):
        self.id = resource_id
        self.plain = f"{server_url}/plain/{resource_id}/events"
        self.url = f"{server_url}/counters/{resource_id}/events"
        self._publish_url = f"{server_url}/counters/{resource_id}"

    def publish(self, times=1, **query):
        response = httpx2.post(self._publish_url, params={"times": times, **query}, timeout=30)
        return response.raise_for_status().json()


def domain_events(stream):
    return [json.loads(frame["data"]) for frame in stream.frames if "event" not in frame]


def numbers(stream):
    return [event["number"] for event in domain_events(stream) if event["type"] == "counted"]


def controls(stream):
    """The control frames, as name and data."""
    return [
        (frame["event"], json.loads(frame["data"])) for frame in stream.frames if "event" in frame
    ]


def resets(stream):
    return [data["reason"] for name, data in controls(stream) if name == "stream-reset"]


def resumed(stream):
    [opening] = [data for name, data in controls(stream) if name == "stream-open"]
    return opening["resumed"]


class TestReplay:
    async def test_returning_client_gets_exactly_what_it_missed(self, counter, open_stream):
        first = await open_stream(counter.url)
        [event_id] = counter.publish()
        await first.until(event_id.encode())
        await first.until(b'"number":1,"text":""}\n\n')
        first.close()
        missed = counter.publish(3)

        second = await open_stream(counter.url, last_event_id=first.last_event_id)
        await second.until(b'"number":4')
        [live] = counter.publish()
        await second.until(b'"number":5')

        assert [frame["id"] for frame in second.frames] == [event_id, *missed, live]
        assert numbers(second) == [2, 3, 4, 5]
        assert controls(second) == [
            ("stream-open", {"protocol": 1, "resumed": True, "ping_interval": 15})
        ]

    async def test_replayed_bytes_equal_the_live_bytes(self, counter, open_stream):
        first = await open_stream(counter.plain)
        await first.until(b"\n\n")
        opening = first.body
        cursor = first.last_event_id
        counter.publish(3)
        await first.until(b'"number":3,"text":""}\n\n')

        second = await open_stream(counter.plain, last_event_id=cursor)
        await second.until(b'"number":3,"text":""}\n\n')

        assert second.body.partition(b"\n\n")[2] == first.body.removeprefix(opening)

    async def test_query_parameter_resumes_too(self, counter, open_stream):
        ids = counter.publish(3)

        stream = await open_stream(f"{counter.url}?last_event_id={ids[0]}")
        await stream.until(b'"number":3')

        assert resumed(stream)
        assert numbers(stream) == [2, 3]

    async def test_header_wins_over_the_query_parameter(self, counter, open_stream):
        ids = counter.publish(3)

        stream = await open_stream(f"{counter.url}?last_event_id={ids[0]}", last_event_id=ids[1])
        await stream.until(b'"number":3')

        assert numbers(stream) == [3]

    async def test_client_at_the_top_resumes_with_live_events_alone(self, counter, open_stream):
        *_, last = counter.publish(2)

        stream = await open_stream(counter.url, last_event_id=last)
        await stream.until(b"\n\n")
        counter.publish()
        await stream.until(b'"number":3')

        assert resumed(stream)
        assert numbers(stream) == [3]

    async def test_lone_client_misses_nothing_on_an_empty_channel(self, counter, open_stream):
        first = await open_stream(counter.plain)
        await first.until(b"\n\n")
        first.close()
        counter.publish(2)

        second = await open_stream(counter.plain, last_event_id=first.last_event_id)
        await second.until(b'"number":2')

        assert resumed(second)
        assert numbers(second) == [1, 2]


class TestReset:
    @pytest.mark.parametrize(("behind", "is_resumed"), [(99, True), (100, True), (101, False)])
    async def test_history_is_replayed_up_to_its_edge(
        self, counter, open_stream, behind, is_resumed
    ):
        """The history holds 100."""
        ids = counter.publish(150)

        stream = await open_stream(counter.url, last_event_id=ids[-1 - behind])
        await stream.until(b'"number":150')

        assert resumed(stream) is is_resumed
        assert resets(stream) == ([] if is_resumed else ["trimmed"])
        assert numbers(stream) == (list(range(151 - behind, 151)) if is_resumed else [])

    @pytest.mark.parametrize(
        ("last_event_id", "reason"),
        [
            ("AAAAAAAAAAAA.1.0123abcd", "epoch"),
            ("not an id", "epoch"),
            ("1", "epoch"),
            ("a,b=c", "epoch"),
            ("\xe9\xff", "epoch"),
            ("x" * 129, "epoch"),
            ("x" * 60_000, "epoch"),
            ("{epoch}.99.0123abcd", "ahead"),
            ("{epoch}.9999999999999999.0123abcd", "ahead"),
            ("{epoch}.1.0123abcd", "epoch"),
            ("{epoch}.01.0123abcd", "epoch"),
            ("{epoch}.-1.0123abcd", "epoch"),
        ],
    )
    async def test_unknown_id_gets_one_reset(self, counter, open_stream, last_event_id, reason):
        epoch = counter.publish()[0].split(".")[0]

        stream = await open_stream(counter.url, last_event_id=last_event_id.format(epoch=epoch))
        await stream.until(b'"snapshot","number":1}\n\n')
        counter.publish()
        await stream.until(b'"counted","number":2')

        assert [(name, data.get("reason")) for name, data in controls(stream)] == [
            ("stream-open", None),
            ("stream-reset", reason),
        ]
        assert not resumed(stream)
        assert domain_events(stream) == [
            {"type": "snapshot", "number": 1},
            {"type": "counted", "number": 2, "text": ""},
        ]

    async def test_id_of_another_channel_replays_nothing(
        self, counter, counters, new_resource, open_stream
    ):
        other = Counter(counters.url, new_resource())
        ids = other.publish(3)
        counter.publish(1)

        stream = await open_stream(counter.url, last_event_id=ids[0])
        await stream.until(b'"snapshot","number":1}\n\n')

        assert resets(stream) == ["epoch"]
        assert numbers(stream) == []

    async def test_reset_carries_the_cursor(self, counter, open_stream):
        counter.publish(2)
        first = await open_stream(counter.plain, last_event_id="unknown")
        await first.until(b"stream-reset")
        await first.until(b"}\n\n")
        first.close()
        counter.publish()

        second = await open_stream(counter.plain, last_event_id=first.last_event_id)
        await second.until(b'"number":3')

        assert resumed(second)
        assert numbers(second) == [3]

    async def test_restarted_server_resets_once(self, serve, open_stream):
        before = serve("continuity:app")
        first = await open_stream(Counter(before.url, "1").plain)
        await first.until(b"\n\n")
        before.terminate()
        after = serve("continuity:app", port=before.port)

        second = await open_stream(Counter(after.url, "1").plain, last_event_id=first.last_event_id)
        await second.until(b"stream-reset")

        assert resets(second) == ["epoch"]

    async def test_events_older_than_the_history_ttl_are_expired(
        self, serve_shared, open_stream, eventually
    ):
        server = serve_shared("continuity:app", env={"HISTORY_TTL": "0.5"})
        counter = Counter(server.url, "1")
        following = await open_stream(counter.plain)
        await following.until(b"\n\n")
        counter.publish(2)

        async def reasons():
            counter.publish()
            stream = await open_stream(counter.plain, last_event_id=following.last_event_id)
            await stream.until(b"\n\n")
            if resumed(stream):
                return None
            await stream.until(b"stream-reset")
            await stream.until(b"}\n\n")
            return resets(stream)

        assert await eventually(reasons) == ["expired"]

    async def test_client_too_slow_for_the_history_gets_one_reset_and_the_snapshot(
        self, serve_shared, open_stream
    ):
        server = serve_shared("continuity:app", env={"SLOW_AFTER": "0.1"})
        counter = Counter(server.url, "1")
        slow = await open_stream(counter.url, receive_buffer=4096)

        counter.publish(400, size=50_000)
        counter.publish(3)
        await slow.until(b'"snapshot","number":40', timeout=10)
        counter.publish()
        await slow.until(b'"counted","number":404', timeout=10)

        assert resets(slow) == ["slow"]
        first, *events = domain_events(slow)
        [reset_at] = [at for at, event in enumerate(events) if event["type"] == "snapshot"]
        got = [event["number"] for event in events]
        assert first == {"type": "snapshot", "number": 0}
        assert got[:reset_at] == list(range(1, reset_at + 1))
        assert got[reset_at + 1 :] == list(range(got[reset_at] + 1, 405))

    async def test_client_too_slow_for_the_history_is_closed_under_that_policy(
        self, serve_shared, open_stream
    ):
        server = serve_shared("continuity:app", env={"SLOW_AFTER": "0.1", "SLOW_POLICY": "close"})
        counter = Counter(server.url, "1")
        slow = await open_stream(counter.url, receive_buffer=4096)

        counter.publish(400, size=50_000)
        await slow.until_end()

        assert controls(slow)[-1] == ("stream-close", {"reason": "ended", "reconnect": True})
        assert resets(slow) == []
        got = numbers(slow)
        assert got == list(range(1, len(got) + 1))


class TestInitialEvent:
    async def test_fresh_stream_begins_with_the_initial_event(self, counter, open_stream):
        counter.publish(2)

        stream = await open_stream(counter.url)
        await stream.until(b'"snapshot"')
        await stream.until(b"}\n\n")

        assert domain_events(stream) == [{"type": "snapshot", "number": 2}]
        assert resets(stream) == []

    async def test_client_that_dropped_before_the_initial_event_gets_it_again(
        self, counter, open_stream
    ):
        counter.publish(2)
        first = await open_stream(counter.url)
        await first.until(b"\n\n")
        opening_id = first.frames[0]["id"]
        first.close()
        counter.publish()

        second = await open_stream(counter.url, last_event_id=opening_id)
        await second.until(b'"snapshot","number":3}\n\n')

        assert not resumed(second)
        assert resets(second) == []
        assert domain_events(second) == [{"type": "snapshot", "number": 3}]

    async def test_client_that_got_the_initial_event_resumes_after_it(self, counter, open_stream):
        first = await open_stream(counter.url)
        await first.until(b'"snapshot"')
        await first.until(b"}\n\n")
        assert first.frames[0]["id"] != first.frames[1]["id"]
        first.close()
        counter.publish()

        second = await open_stream(counter.url, last_event_id=first.last_event_id)
        await second.until(b'"number":1')

        assert resumed(second)
        assert domain_events(second) == [{"type": "counted", "number": 1, "text": ""}]

    async def test_event_published_while_the_initial_event_loads_arrives(
        self, counter, open_stream
    ):
        """The snapshot is read at once and returned late, with events in between."""
        publishing = asyncio.create_task(asyncio.to_thread(counter.publish, 60, pause=0.005))
        streams = []
        while not publishing.done():
            streams.append(await open_stream(f"{counter.url}?wait=0.02"))
        await publishing

        assert len(streams) > 5
        for stream in streams:
            await stream.until(b'"snapshot"')
            if b'"snapshot","number":60}' not in stream.body:
                await stream.until(b'"counted","number":60')
            first, *later = domain_events(stream)
            assert first["type"] == "snapshot"
            later = [event["number"] for event in later]
            # an event may be in the snapshot and follow it too, but none may be missing from both
            assert later == list(range(61 - len(later), 61))
            assert first["number"] >= 60 - len(later)
            assert resets(stream) == []
