"""Redis, its wires and the nodes break, under traffic; nothing is lost, and nothing hangs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from tests.faults.outcome import Outcome
from tests.faults.scenarios import FAULTS, Fault, run_all

LANES = 3
QUOTA = 800
PATIENCE = 240


@pytest.fixture(scope="module")
def outcomes(request):
    """The outcomes of all faults that are asked for, which happen side by side."""
    chosen = _chosen(request.session)
    futures: dict[str, Future[Outcome]] = {fault.name: Future() for fault in chosen}

    def report(outcome: Outcome) -> None:
        futures[outcome.fault].set_result(outcome)

    def run() -> None:
        asyncio.run(run_all(chosen, report, lanes=LANES, quota=QUOTA))

    thread = threading.Thread(target=run)
    thread.start()
    yield futures
    thread.join()


def _chosen(session: pytest.Session) -> list[Fault]:
    asked: list[Any] = [item for item in session.items if item.path.samefile(__file__)]
    names = {item.callspec.params["fault"].name for item in asked if hasattr(item, "callspec")}
    takes_all = any(not hasattr(item, "callspec") for item in asked)
    return [fault for fault in FAULTS if takes_all or fault.name in names]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_clients_get_every_acknowledged_event_once_or_one_reset(
    fault, outcomes, really_ran, redis_server_version
):
    outcome = outcomes[fault.name].result(PATIENCE)

    assert outcome.problems() == []
    assert outcome.tally.resets == outcome.tally.due_resets
    assert outcome.acknowledged >= QUOTA
    really_ran(redis_server_version)


def test_faults_together_acknowledge_ten_thousand_events(outcomes):
    assert sum(future.result(PATIENCE).acknowledged for future in outcomes.values()) >= 10_000
