"""Each check accepts what is right, and says what is wrong."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from fastapi import Depends

from fastapi_sse_channels import ConfigurationError
from fastapi_sse_channels._checks import (
    check_callable,
    check_choice,
    check_finite,
    check_positive,
    check_text,
    check_unshared,
    check_whole,
)

# os.environ.get may return None, a unit makes a number a string, and nothing equals NaN
NEVER_NUMBERS = (None, "15s", math.nan)


@pytest.mark.parametrize(
    ("check", "fit", "unfit", "said"),
    [
        (check_positive, (1, 0.5, math.inf), (0, -1), "a number greater than 0"),
        (check_whole, (1, 256), (0, -1, 0.5, 2.0, math.inf), "a whole number greater than 0"),
        (check_finite, (0, 0.5, 5), (-1, math.inf), "a finite number, 0 or greater"),
    ],
)
def test_number_check_names_the_value_and_what_it_must_be(check, fit, unfit, said):
    for value in fit:
        check(seconds=value)
    for value in (*unfit, *NEVER_NUMBERS):
        with pytest.raises(ConfigurationError) as refused:
            check(first=1, seconds=value)
        assert str(refused.value) == f"seconds={value!r} must be {said}"


def test_string_check_names_the_value_and_what_it_must_be():
    check_text(key="a", other=" ")

    for value in ("", 1, None, b"a"):
        with pytest.raises(ConfigurationError) as refused:
            check_text(key=value)
        assert str(refused.value) == f"key={value!r} must be a non-empty string"


def test_choice_check_names_the_choices():
    check_choice("policy", "skip", Literal["raise", "skip"])

    for value in ("ignore", "Skip", None, True):
        with pytest.raises(ConfigurationError) as refused:
            check_choice("policy", value, Literal["raise", "skip"])
        assert str(refused.value) == f"policy={value!r} is not known; use 'raise' or 'skip'"


def test_unshared_check_says_how_to_tell_managers_apart():
    check_unshared("note:*:events", {"other:*:events"}, where="on one broker")

    with pytest.raises(ConfigurationError, match=r"on one broker use the keys note:\*:events"):
        check_unshared("note:*:events", {"note:*:events"}, where="on one broker")


@pytest.mark.parametrize("value", [1, Depends(print), "note"])
def test_callable_check_says_what_to_pass(value):
    check_callable("channel", print)

    with pytest.raises(ConfigurationError, match=r"channel=.* cannot be called; pass a function"):
        check_callable("channel", value)
