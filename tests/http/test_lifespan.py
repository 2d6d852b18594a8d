"""Every way to start and stop managers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import Literal

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from fastapi_sse_channels import (
    BrokerClosedError,
    ChannelManager,
    ConfigurationError,
    MemoryBroker,
    create_sse_router,
    sse_lifespan,
)
from fastapi_sse_channels.brokers.redis import RedisBroker


class CountingBroker(MemoryBroker):
    """A broker that records its starts and stops."""

    def __init__(self, *, fails_to_start=False):
        super().__init__()
        self.calls = []
        self.fails_to_start = fails_to_start

    async def start(self):
        self.calls.append("start")
        if self.fails_to_start:
            msg = "the store is away"
            raise OSError(msg)
        await super().start()

    async def stop(self):
        self.calls.append("stop")
        await super().stop()


@pytest.fixture
def broker():
    return CountingBroker()


@pytest.fixture
def notes(make_notes, broker):
    return make_notes(broker=broker).manager


def serves(app):
    with TestClient(app):
        pass


def test_application_lifespan_runs_the_managers(notes, broker):
    serves(FastAPI(lifespan=sse_lifespan(notes)))

    assert broker.calls == ["start", "stop"]


def test_users_lifespan_runs_the_managers(notes, broker):
    order = []

    @asynccontextmanager
    async def lifespan(_app):
        order.append(list(broker.calls))
        async with sse_lifespan(notes):
            order.append(list(broker.calls))
            yield
        order.append(list(broker.calls))

    serves(FastAPI(lifespan=lifespan))

    assert order == [[], ["start"], ["start", "stop"]]


def test_router_carries_the_lifespan(make_notes, broker):
    serves(make_notes(broker=broker).app)

    assert broker.calls == ["start", "stop"]


def test_nested_router_carries_the_lifespan(notes, broker):
    app, outer, inner = FastAPI(), APIRouter(), APIRouter()
    inner.include_router(create_sse_router(notes, "/notes/{note_id}/events"))
    outer.include_router(inner)
    app.include_router(outer)

    serves(app)

    assert broker.calls == ["start", "stop"]


def test_repeated_lifespans_do_no_harm(notes, broker):
    app = FastAPI(lifespan=sse_lifespan(notes))
    router = create_sse_router(notes, "/notes/{note_id}/events")
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2")

    serves(app)

    assert broker.calls.count("start") == broker.calls.count("stop") == 3
    assert broker.calls[0] == "start"
    assert broker.calls[-1] == "stop"


def test_application_may_be_started_again(notes, broker):
    app = FastAPI(lifespan=sse_lifespan(notes))
    serves(app)
    serves(app)

    assert broker.calls == ["start", "stop"] * 2


async def test_managers_stop_in_reverse_order(make_notes):
    order = []

    class Ordered(CountingBroker):
        async def start(self):
            order.append(("start", self))

        async def stop(self):
            order.append(("stop", self))

    first, second = Ordered(), Ordered()
    async with sse_lifespan(
        make_notes(broker=first).manager, make_notes(broker=second, key_suffix="b").manager
    ):
        pass

    assert order == [("start", first), ("start", second), ("stop", second), ("stop", first)]


async def test_failed_start_stops_what_was_started(make_notes, broker):
    failing = CountingBroker(fails_to_start=True)
    managers = make_notes(broker=broker).manager, make_notes(broker=failing, key_suffix="b").manager

    with pytest.raises(OSError, match="the store is away"):
        async with sse_lifespan(*managers):
            pass

    assert broker.calls == ["start", "stop"]
    assert failing.calls == ["start"]


async def test_error_inside_the_block_stops_the_managers(notes, broker):
    with pytest.raises(ZeroDivisionError):
        async with sse_lifespan(notes):
            raise ZeroDivisionError

    assert broker.calls == ["start", "stop"]


async def test_one_lifespan_may_be_entered_within_itself(notes, broker):
    lifespan = sse_lifespan(notes)
    async with lifespan, lifespan:
        await notes.publish("1", {"type": "note"})

    assert broker.calls == ["start", "start", "stop", "stop"]
    with pytest.raises(BrokerClosedError):
        await notes.publish("1", {"type": "note"})


def test_client_that_is_never_entered_publishes_before_and_after_one_that_is(notes):
    """Each of its requests has an event loop of its own, and no lifespan."""
    app = FastAPI()
    app.include_router(create_sse_router(notes, "/notes/{note_id}/events"))

    @app.post("/notes")
    async def publish() -> str:
        return await notes.publish("1", {"type": "note"})

    never_entered = TestClient(app)
    statuses = [never_entered.post("/notes").status_code]
    with TestClient(app) as client:
        statuses.append(client.post("/notes").status_code)
    statuses.append(never_entered.post("/notes").status_code)

    assert statuses == [200, 200, 200]


def test_without_managers_it_is_refused():
    with pytest.raises(ConfigurationError, match="pass the managers it should start"):
        sse_lifespan()


# FastAPI(lifespan=sse_lifespan), without a call, passes the first of these
@pytest.mark.parametrize("value", [FastAPI(), [], MemoryBroker()])
def test_what_is_no_manager_is_refused(value):
    with pytest.raises(ConfigurationError, match=r"FastAPI\(lifespan=sse_lifespan\(manager"):
        sse_lifespan(value)


def test_same_manager_twice_is_fine(notes, broker):
    serves(FastAPI(lifespan=sse_lifespan(notes, notes)))

    assert broker.calls == ["start", "start", "stop", "stop"]


SHARED = r"two managers of one application, on <RedisBroker .*, use the keys note:\*:events; give"


class TestSharedKeys:
    @staticmethod
    def serve(make_notes, *brokers):
        app = FastAPI()
        for number, broker in enumerate(brokers):
            manager = make_notes(broker=broker).manager
            app.include_router(create_sse_router(manager, f"/{number}/{{note_id}}"))
        serves(app)
        serves(app)

    def test_shared_keys_on_one_redis_stop_the_start(self, make_notes, redis_url):
        with pytest.raises(ConfigurationError, match=SHARED):
            self.serve(make_notes, redis_url, redis_url)

    def test_shared_keys_of_one_lifespan_are_refused_before_the_start(self, make_notes, redis_url):
        managers = [make_notes(broker=redis_url).manager for _ in range(2)]
        with pytest.raises(ConfigurationError, match=SHARED):
            sse_lifespan(*managers)

    def test_same_keys_in_two_stores_are_allowed(self, make_notes, redis_url):
        other_database = redis_url.removesuffix("0") + "1"
        other_namespace = RedisBroker(redis_url, namespace="other")
        brokers = [redis_url, other_database, other_namespace, "memory://", "memory://"]

        self.serve(make_notes, *brokers)

    def test_same_keys_in_two_stores_are_allowed_together(self, make_notes):
        serves(FastAPI(lifespan=sse_lifespan(make_notes().manager, make_notes().manager)))


def test_two_unions_of_one_name_stop_the_start():
    class Note(BaseModel):
        type: Literal["note"] = "note"

    class Other(BaseModel):
        type: Literal["other"] = "other"

    app = FastAPI()
    notes = ChannelManager(Note, key_prefix="note")
    others = ChannelManager(Other, key_prefix="note")
    app.include_router(create_sse_router(notes, "/notes/{note_id}/events"))
    app.include_router(create_sse_router(others, "/others/{other_id}/events"))

    with pytest.raises(ConfigurationError, match=r"name their unions Note-EventsEvent .* name="):
        serves(app)
