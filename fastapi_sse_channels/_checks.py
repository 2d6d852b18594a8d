"""Checks of arguments that would otherwise be misread, or have no effect."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from typing import Any, get_args

from ._errors import ConfigurationError


def check_positive(**values: object) -> None:
    """Refuse anything but numbers greater than 0.

    Raises:
        ConfigurationError: Names the first value that is not.
    """
    _check(values, lambda value: _is_number(value) and value > 0, "a number greater than 0")


def check_whole(**values: object) -> None:
    """Refuse anything but whole numbers greater than 0.

    Raises:
        ConfigurationError: Names the first value that is not.
    """
    _check(
        values,
        lambda value: isinstance(value, int) and value > 0,
        "a whole number greater than 0",
    )


def check_finite(**values: object) -> None:
    """Refuse anything but finite numbers, 0 or greater.

    Raises:
        ConfigurationError: Names the first value that is not.
    """
    _check(
        values,
        lambda value: _is_number(value) and 0 <= value < math.inf,
        "a finite number, 0 or greater",
    )


def check_text(**values: object) -> None:
    """Refuse anything but non-empty strings.

    Raises:
        ConfigurationError: Names the first value that is not.
    """
    _check(values, lambda value: isinstance(value, str) and value, "a non-empty string")


def _check(values: Mapping[str, object], is_fit: Callable[[Any], object], what: str) -> None:
    for name, value in values.items():
        if not is_fit(value):
            msg = f"{name}={value!r} must be {what}"
            raise ConfigurationError(msg)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def check_choice(name: str, value: object, choices: Any) -> None:
    """Refuse anything but the values of a `Literal`.

    Raises:
        ConfigurationError: Names the allowed values.
    """
    if value not in get_args(choices):
        known = " or ".join(map(repr, get_args(choices)))
        msg = f"{name}={value!r} is not known; use {known}"
        raise ConfigurationError(msg)


def check_unshared(keys: str, taken: Container[str], *, where: str) -> None:
    """Refuse the keys of a manager that another one has: each would get the other's events.

    Args:
        keys: Their name.
        taken: The names of the others' keys in the same store.
        where: What the managers have in common.

    Raises:
        ConfigurationError: Says what to change.
    """
    if keys in taken:
        msg = (
            f"two managers {where} use the keys {keys}; give them different key_prefix or "
            "key_suffix, or use one manager for both"
        )
        raise ConfigurationError(msg)


def check_callable(name: str, value: object) -> None:
    """Refuse what cannot be called.

    Raises:
        ConfigurationError: Says what to pass.
    """
    if not callable(value):
        msg = f"{name}={value!r} cannot be called; pass a function, without Depends()"
        raise ConfigurationError(msg)
