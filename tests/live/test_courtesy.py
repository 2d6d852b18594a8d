"""The budget of the waits for readers."""

from __future__ import annotations

from fastapi_sse_channels._live.courtesy import Courtesy


def test_budget_is_the_patience_and_a_tenth_of_the_time():
    courtesy = Courtesy(1.0)
    assert courtesy.limits(0) == (1.0, 0.05)

    courtesy.spend(0.0, 0.4)
    assert courtesy.limits(0.4) == (1.0, 0.05)
    courtesy.spend(0.4, 0.8)
    assert courtesy.limits(0.8) == (1.0, 0.0)
    courtesy.spend(0.8, 1.2)
    assert courtesy.limits(1.2) == (0.0, 0.0)
    assert courtesy.limits(3.3) == (1.0, 0.0)
    assert courtesy.limits(8.2) == (1.0, 0.05)


def test_waits_at_the_same_time_count_once():
    courtesy = Courtesy(1.0)
    for _ in range(10):
        courtesy.spend(0.0, 0.3)

    assert courtesy.limits(0.3) == (1.0, 0.05)
