"""The rules for brokers, in suites of those who write one."""

from __future__ import annotations

import re

from tests.docs.documents import snippets

STORE, FOLLOWING, SUITE = (s.code for s in snippets("python", "guides/write-a-broker.md"))

BROKEN = """
import pytest
from fastapi_sse_channels.brokers import MemoryBroker
from fastapi_sse_channels.testing.broker_contract import BrokerContract

class Doubling(MemoryBroker):
    async def publish(self, key, body, retention, *, idempotency_key=None):
        return await super().publish(key, body, retention)

class Mixing(MemoryBroker):
    async def publish(self, key, body, retention, *, idempotency_key=None):
        return await super().publish("all", body, retention, idempotency_key=idempotency_key)

class Forgetful(MemoryBroker):
    async def subscribe(self, key, retention, notify):
        log = await super().subscribe(key, retention, notify)
        log.restart(log.top)
        return log

class Immortal(MemoryBroker):
    async def stop(self):
        pass

class TestBroken(BrokerContract):
    @pytest.fixture(params=[Doubling, Mixing, Forgetful, Immortal])
    def new_broker(self, request):
        return request.param()
"""
# a rule that each of them breaks
BREAKS = {
    "Doubling": "test_idempotency_key_stores_once_and_returns_the_first_position",
    "Mixing": "test_keys_do_not_influence_each_other",
    "Forgetful": "test_log_holds_stored_events_and_then_live_ones",
    "Immortal": "test_stopped_broker_refuses_every_use",
}


def test_broker_of_the_guide_keeps_the_contract(run_suite, async_runner):
    files = {"sqlite_broker.py": STORE + FOLLOWING, "test_sqlite_broker.py": SUITE}
    options, settings = async_runner

    output = run_suite(files, *options, **settings)

    assert re.search(r"^5\d passed in", output, re.MULTILINE), output


def test_broker_of_the_guide_imports_public_names_only():
    imported = set(re.findall(r"^from (fastapi_sse_channels\S*)", STORE + FOLLOWING, re.MULTILINE))

    assert imported == {"fastapi_sse_channels", "fastapi_sse_channels.brokers"}


def test_broken_brokers_fail_and_the_failure_shows_values(run_suite):
    rules = " or ".join(BREAKS.values())
    options = ["-p", "no:asyncio", "-rf", "-k", rules]
    output = run_suite({"test_broken.py": BROKEN}, *options, anyio_mode="auto")

    for broker, rule in BREAKS.items():
        assert re.search(rf"^FAILED .*::{rule}\[.*{broker}.*\]", output, re.MULTILINE), output
    assert "assert 3 == 1" in output
