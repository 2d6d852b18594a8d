"""Every broker, for the contract that all of them keep."""

from __future__ import annotations

import secrets

import pytest

from fastapi_sse_channels import Broker, MemoryBroker
from fastapi_sse_channels.brokers.redis import RedisBroker


def memory(_request: pytest.FixtureRequest) -> Broker:
    return MemoryBroker()


def redis(request: pytest.FixtureRequest) -> Broker:
    url = request.getfixturevalue("redis_url")
    return RedisBroker(url, namespace=f"test-{secrets.token_hex(4)}")


# A new broker joins the contract here.
FACTORIES = [
    pytest.param(memory, id="memory"),
    pytest.param(redis, id="redis", marks=pytest.mark.processes),
]


@pytest.fixture(params=FACTORIES)
def stopped_broker(request):
    """A broker that was not started yet."""
    return request.param(request)


@pytest.fixture
async def broker(stopped_broker):
    await stopped_broker.start()
    yield stopped_broker
    await stopped_broker.stop()
