"""The credit of readers, and the budget of the waits for those without."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fastapi_sse_channels._core.log import PIECE
from fastapi_sse_channels._live.backpressure import Patience, earned


@dataclass
class Stuck:
    stuck_since: float | None = 0.0
    credit: float = 0.0
    is_guest: bool = False
    offset: int = 0

    def flush(self, now):  # noqa: ARG002  # the protocol's
        return None


def limit_of(patience, reader, *, now=0.0):
    """For how long a reader that is stuck from now on is waited for, to the hundredth."""
    reader.stuck_since = now
    times = (number / 100 for number in range(200))
    return next(time for time in times if not patience.allows(reader, now + time + 1e-6))


class TestEarned:
    def test_piece_buys_a_moment(self):
        assert earned(0.0, 0.0, PIECE, most=1) == pytest.approx(0.05)
        assert earned(0.2, 0.0, PIECE // 2, most=1) == pytest.approx(0.225)

    def test_waiting_uses_credit_up(self):
        assert earned(0.2, 0.15, PIECE, most=1) == pytest.approx(0.1)
        assert earned(0.2, 5, PIECE, most=1) == pytest.approx(0.05)

    def test_credit_is_bounded(self):
        assert earned(0.99, 0.0, PIECE, most=1) == 1


class TestPatience:
    def test_reader_that_is_not_stuck_is_always_waited_for(self):
        assert Patience(1.0).allows(Stuck(stuck_since=None), 100)

    @pytest.mark.parametrize(
        ("reader", "seconds"),
        [
            (Stuck(is_guest=True), 0.05),
            (Stuck(), 0.1),
            (Stuck(credit=0.5), 0.6),
            (Stuck(credit=1), 1),
            (Stuck(credit=float("inf")), 1),
        ],
    )
    def test_stuck_reader_is_waited_for_by_its_credit_and_a_little_more(self, reader, seconds):
        assert limit_of(Patience(1.0), reader) == seconds

    def test_spent_budget_leaves_readers_their_credit(self):
        patience = Patience(1.0)
        patience.spend(0, 0, 0, 0.06)
        assert limit_of(patience, Stuck(is_guest=True), now=0.06) == 0
        assert limit_of(patience, Stuck(), now=0.06) == 0.1

        patience.spend(0, 0, 0.06, 0.12)

        assert limit_of(patience, Stuck(), now=0.12) == 0
        assert limit_of(patience, Stuck(credit=0.5), now=0.12) == 0.5

    def test_budget_comes_back_at_a_fifth_of_a_percent_of_the_time(self):
        patience = Patience(1.0)
        patience.spend(0, 0, 0, 0.1)

        assert limit_of(patience, Stuck(), now=1) == 0.1
        patience.spend(0, 0, 1, 1.01)
        assert limit_of(patience, Stuck(), now=1.01) == 0
        assert limit_of(patience, Stuck(is_guest=True), now=20) == 0
        assert limit_of(patience, Stuck(is_guest=True), now=40) == 0.05

    def test_wait_within_the_credit_costs_nothing(self):
        patience = Patience(1.0)
        for number in range(100):
            patience.spend(number, 0.9, number, number + 0.8)

        assert limit_of(patience, Stuck(), now=100) == 0.1

    def test_waits_at_the_same_time_count_once(self):
        patience = Patience(1.0)
        for _ in range(10):
            patience.spend(0, 0, 0, 0.04)

        assert limit_of(patience, Stuck(is_guest=True), now=0.04) == 0.05
