"""Every broker of the library keeps the contract."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest

from fastapi_sse_channels import Broker, MemoryBroker
from fastapi_sse_channels.brokers.redis import RedisBroker
from fastapi_sse_channels.testing.broker_contract import BrokerContract, SharedStoreContract


class TestMemoryBroker(BrokerContract):
    @pytest.fixture
    def new_broker(self) -> Broker:
        return MemoryBroker()


class TestRedisBroker(SharedStoreContract):
    @pytest.fixture
    def make_broker(self, redis_url: str) -> Callable[[], Broker]:
        namespace = f"test-{secrets.token_hex(4)}"
        return lambda: RedisBroker(redis_url, namespace=namespace)

    @pytest.fixture
    def new_broker(self, make_broker: Callable[[], Broker]) -> Broker:
        return make_broker()

    @pytest.fixture
    def neighbour(self, make_broker: Callable[[], Broker]) -> Broker:
        return make_broker()
