"""The workloads run against this library, and everything they send arrives."""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks import peers
from benchmarks.load import check
from benchmarks.peers import PEERS
from benchmarks.processes import BenchmarkError
from benchmarks.results import FLOOR, OURS, Row
from benchmarks.subscribing import through_redis
from benchmarks.workloads import (
    Run,
    Scale,
    growing_channels,
    growing_sessions,
    idle_sessions,
    many_channels,
    many_sessions,
)

SCALE = Scale(
    rounds=1,
    sessions=20,
    closed_seconds=0.2,
    burst_events=30,
    channels=10,
    spread_events=100,
    idle_sessions=(10, 20),
    last_events=3,
    deploy_sessions=10,
    growth_sessions=(5, 20),
    growth_channels=(1, 50),
    growth_events=200,
    nodes=(2,),
    redis_events=1_000,
)
WORKLOADS = frozenset({"fanout", "burst", "idle", "last", "redis", "redis-streams"})

pytestmark = pytest.mark.skipif(
    (os.cpu_count() or 1) < 2 and not os.environ.get("CI"), reason="needs two CPUs"
)


@pytest.fixture
def rows(sseload, tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "CACHE", tmp_path)
    monkeypatch.setattr("benchmarks.workloads.CACHE", tmp_path)
    monkeypatch.setattr("benchmarks.subscribing.CACHE", tmp_path)
    monkeypatch.setattr("benchmarks.store.CACHE", tmp_path)

    def measured(work):
        found: list[Row] = []
        work(Run(PEERS[0], 0, SCALE, WORKLOADS, found.append, sseload))
        return {(row.workload, row.size, row.server): row.figures for row in found}

    return measured


def test_fanout_and_bursts_deliver_everything(rows):
    found = rows(many_sessions)

    assert found["fanout", 20, OURS]["deliveries"] % 20 == 0
    assert found["burst", 20, OURS]["deliveries"] == 30 * 20
    assert all(figures["cpu_us"] > 0 for figures in found.values())


def test_channels_deliver_everything(rows):
    assert rows(many_channels)["channels", 10, OURS]["deliveries"] == 100


def test_idle_sessions_are_measured_before_events_are_sent(rows):
    found = rows(idle_sessions)

    assert list(found) == [("idle", 10, OURS), ("idle", 20, OURS), ("last", 20, OURS)]
    assert found["idle", 20, OURS]["collection_ms"] > 0
    assert found["last", 20, OURS]["deliveries"] == 3 * 20


def test_growth_covers_every_size(rows):
    assert [size for _, size, _ in rows(growing_sessions)] == [5, 20]
    assert [size for _, size, _ in rows(growing_channels)] == [1, 50]


@pytest.mark.skipif(
    not shutil.which("redis-server") and not os.environ.get("CI"), reason="needs redis-server"
)
def test_every_node_hears_every_event_through_redis(rows):
    found = rows(through_redis)

    assert list(found) == [("redis", 2, FLOOR), ("redis", 2, OURS), ("redis-streams", 2, OURS)]
    assert {figures["events"] for figures in found.values()} == {1_000 - 1_000 % 16}


def test_run_that_lost_something_is_recorded_as_failed(rows, sseload, monkeypatch):
    def lossy(answer):
        check({**answer, "deliveries": answer["deliveries"] - 1})

    monkeypatch.setattr("benchmarks.workloads.check", lossy)
    found: list[Row] = []

    with pytest.raises(BenchmarkError):
        many_sessions(Run(PEERS[0], 0, SCALE, WORKLOADS, found.append, sseload))

    [row] = found
    assert row.figures == {}
    assert row.failure is not None
    assert "deliveries instead of" in row.failure
