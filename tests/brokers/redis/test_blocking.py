"""`SyncPublisher`: from scripts, workers and threads, without an event loop."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from pydantic import BaseModel

from fastapi_sse_channels import (
    ConfigurationError,
    InvalidEventError,
    InvalidResourceIdError,
    PublishError,
    SyncPublisher,
)
from fastapi_sse_channels._core.wire import data_of
from fastapi_sse_channels.brokers.redis import RedisBroker

LOG = "sse:log:{note:1:events}"


class Note(BaseModel):
    type: Literal["note"] = "note"
    text: str = ""


@pytest.fixture
def make_publisher(server):
    made = []

    def make(broker=None, **options):
        publisher = SyncPublisher(Note, broker=broker or server.url, key_prefix="note", **options)
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.close()


SCRIPT = """
import sys
from typing import Literal
from pydantic import BaseModel
from fastapi_sse_channels import SyncPublisher

class Note(BaseModel):
    type: Literal["note"] = "note"
    text: str = ""

publisher = SyncPublisher(Note, broker=sys.argv[1], key_prefix="note")
print(publisher.publish("1", Note(text="from a script")))
# without close(): a script just ends
"""


async def test_script_reaches_those_who_listen(server, make_notes, eventually):
    manager = make_notes(broker=server.url).manager
    await manager.start()
    async with manager.channel("1").subscribe() as events:
        script = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-W", "error", "-c", SCRIPT, server.url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        event = await anext(events)

        assert (event.text, events.last_event_id) == ("from a script", script.stdout.strip())
        assert script.stderr == ""
    await manager.stop()


async def test_bytes_are_those_of_the_application(server, make_publisher, start_broker, follow):
    channel = await follow(await start_broker(), "note:1:events")
    event_id = make_publisher().publish("1", {"type": "note", "text": "ä\u2028"})
    await channel.broker.publish("note:1:events", b"data: 0\n\n", channel.retention)
    entry, _ = (await channel.broker.history("note:1:events", None, channel.retention)).entries

    assert data_of(entry.frame) == '{"type":"note","text":"ä\u2028"}'.encode()
    assert entry.frame.startswith(f"id: {event_id}\ndata: ".encode())


def test_threads_may_share_a_publisher(server, make_publisher):
    publisher = make_publisher()
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda n: publisher.publish("1", Note(text=str(n))), range(200)))

    assert sorted(int(event_id.split(".")[1]) for event_id in ids) == list(range(1, 201))
    assert server.client.xlen(LOG) == 200


def test_threads_of_any_number_share_one(server, make_publisher):
    publisher = make_publisher(publish_timeout=20)
    publisher.publish("1", Note())
    server.pause()
    with ThreadPoolExecutor(150) as pool:
        published = [pool.submit(publisher.publish, "1", Note()) for _ in range(150)]
        waiting = threading.active_count()
        server.go_on()
        for each in published:
            each.result()

    assert waiting > 150
    assert server.client.xlen(LOG) == 151


def test_child_of_a_fork_has_connections_of_its_own(server, make_publisher):
    publisher = make_publisher()
    publisher.publish("1", Note())
    forking = multiprocessing.get_context("fork")
    children = [
        forking.Process(target=lambda: [publisher.publish("1", Note()) for _ in range(20)])
        for _ in range(3)
    ]
    for child in children:
        child.start()
    for _ in range(20):
        publisher.publish("1", Note())
    for child in children:
        child.join(30)

    assert [child.exitcode for child in children] == [0, 0, 0]
    assert server.client.xlen(LOG) == 81


def test_idempotency_key_stores_once(server, make_publisher):
    ids = {make_publisher().publish("1", Note(), idempotency_key="once") for _ in range(3)}

    assert len(ids) == 1
    assert server.client.xlen(LOG) == 1


async def test_idempotency_key_counts_in_the_application_too(server, make_publisher, make_notes):
    manager = make_notes(broker=server.url).manager
    await manager.start()
    first = await manager.publish("1", {"type": "note"}, idempotency_key="once")
    again = await asyncio.to_thread(
        make_publisher().publish, "1", Note(text="b"), idempotency_key="once"
    )
    await manager.stop()

    assert again == first
    assert server.client.xlen(LOG) == 1


def test_namespace_database_and_retention_are_used(server, make_publisher):
    publisher = make_publisher(f"{server.url}/3", namespace="shop", history_size=2)
    for _ in range(5):
        publisher.publish("1", Note())
    server.client.select(3)

    assert server.client.xlen("shop:log:{note:1:events}") == 2


def test_script_that_the_server_forgot_is_sent_again(server, make_publisher):
    publisher = make_publisher()
    publisher.publish("1", Note())
    server.client.script_flush()
    server.client.client_kill_filter(_type="normal", skipme=True)
    publisher.publish("1", Note())

    assert server.client.xlen(LOG) == 2


@pytest.mark.parametrize("event", [{"type": "other"}, 1, Note(text="\ud800")])
def test_invalid_event_is_refused_before_redis(server, make_publisher, event):
    with pytest.raises(InvalidEventError):
        make_publisher().publish("1", event)
    with pytest.raises(InvalidResourceIdError):
        make_publisher().publish("", Note())

    assert server.names() == []


@pytest.mark.parametrize(
    ("broker", "match"),
    [("memory://", "where no script can reach it"), ("http://x", "is not a Redis URL")],
)
def test_unusable_address_is_refused(make_publisher, broker, match):
    with pytest.raises(ConfigurationError, match=match):
        make_publisher(broker)


@pytest.mark.parametrize("broker", [None, RedisBroker()])
def test_broker_that_is_no_address_is_refused(broker):
    with pytest.raises(ConfigurationError, match="no address of a server; use broker='redis://"):
        SyncPublisher(Note, broker=broker, key_prefix="note")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("history_size", 0, "a whole number greater than 0"),
        ("history_size", 2.5, "a whole number greater than 0"),
        ("history_ttl", 0, "a number greater than 0"),
        ("publish_timeout", -1, "a number greater than 0"),
        ("publish_timeout", float("inf"), "a finite number"),
    ],
)
def test_number_that_cannot_work_is_refused_by_name(make_publisher, option, value, said):
    with pytest.raises(ConfigurationError, match=f"{option}={value} must be {said}"):
        make_publisher(**{option: value})


def test_empty_namespace_is_refused(make_publisher):
    with pytest.raises(ConfigurationError, match="name the application"):
        make_publisher(namespace="")


def test_password_in_a_bad_url_is_never_shown(make_publisher):
    with pytest.raises(
        ConfigurationError, match=r"redis://example.com:port' is not a Redis"
    ) as error:
        make_publisher("redis://user:secret@example.com:port")

    assert "secret" not in str(error.value)


@pytest.mark.parametrize("key", ["", 1])
def test_idempotency_key_that_is_no_text_is_refused_before_redis(server, make_publisher, key):
    with pytest.raises(ConfigurationError, match=r"idempotency_key=.* must be a text"):
        make_publisher().publish("1", Note(), idempotency_key=key)

    assert server.names() == []


class TestFailing:
    @staticmethod
    def fails(publisher, match, **options):
        began = time.monotonic()
        with pytest.raises(PublishError, match=match):
            publisher.publish("1", Note(), **options)
        assert time.monotonic() - began < 2.2

    def test_when_nobody_listens(self, make_publisher, unused_ports):
        [port] = unused_ports(1)

        self.fails(
            make_publisher(f"redis://localhost:{port}"),
            rf"Redis at localhost:{port} cannot be used: Error 111",
        )

    def test_when_the_server_hangs(self, server, make_publisher):
        publisher = make_publisher()
        server.pause()
        self.fails(publisher, "does not answer in time")
        server.go_on()
        publisher.publish("1", Note())
        server.pause()
        with ThreadPoolExecutor(8) as pool:
            for each in [pool.submit(self.fails, publisher, "in time") for _ in range(8)]:
                each.result()
        server.go_on()
        publisher.publish("1", Note())

        assert server.client.xlen(LOG) <= 11

    @pytest.mark.parametrize(
        "options",
        ["", "socket_timeout=600", "retry_on_timeout=True", "decode_responses=True", "protocol=3"],
    )
    def test_retry_with_the_same_key_stores_once(self, server, make_publisher, options):
        publisher = make_publisher(f"{server.url}?{options}", publish_timeout=0.4)
        publisher.publish("1", Note())
        server.pause()
        for _ in range(3):
            self.fails(publisher, "in time", idempotency_key="once")
        server.go_on()
        publisher.publish("1", Note(), idempotency_key="once")

        assert server.client.xlen(LOG) == 2

    def test_when_the_password_is_wrong(self, server, make_publisher):
        server.client.config_set("requirepass", "secret")

        self.fails(make_publisher(), "refuses the password or user")

    def test_publisher_works_again_after_a_restart(self, server, servers, make_publisher):
        publisher = make_publisher()
        publisher.publish("1", Note())
        server.kill()
        self.fails(publisher, "cannot be used")
        servers.start(server.port, "--save", "")

        publisher.publish("1", Note())
