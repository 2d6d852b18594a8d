"""How long the client waits, in seconds."""

from __future__ import annotations

import pytest

from fastapi_sse_channels.client._backoff import backoff, retry_after

# 2026-11-24 12:00:00 UTC
NOW = 1795521600.0


@pytest.mark.parametrize(("failures", "delay"), [(0, 2), (1, 4), (3, 16), (4, 30), (10_000, 30)])
def test_delay_doubles_up_to_thirty_seconds(failures, delay):
    assert backoff(2, failures, lambda: 1) == delay


def test_first_delay_is_exactly_what_the_server_asked_for():
    assert backoff(2, 0, lambda: 0) == backoff(2, 0, lambda: 1) == 2


def test_delay_that_has_grown_is_spread_over_its_upper_half_and_never_too_short():
    assert backoff(2, 1, lambda: 0) == 2
    assert backoff(2, 2, lambda: 0.5) == 6
    assert backoff(40, 2, lambda: 0) == 40


def test_server_that_asks_for_more_than_thirty_seconds_is_obeyed():
    assert backoff(60, 0, lambda: 1) == backoff(60, 5, lambda: 1) == 60


def test_retry_has_a_lower_and_an_upper_limit():
    assert backoff(0, 0, lambda: 1) == 0.1
    assert backoff(10**12, 0, lambda: 1) == 86_400


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 5 ", 5),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0),
        (None, 0),
        ("", 0),
        ("soon", 0),
        ("²", 0),
        ("-5", 0),
        ("9" * 400, 86_400),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after(header, NOW) == seconds
