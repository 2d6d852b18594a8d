"""Checks of arguments that would otherwise be misread, or have no effect."""

from __future__ import annotations

import inspect
import math
from collections.abc import Container
from typing import Any, get_args

from ._errors import ConfigurationError


def check_positive(**values: object) -> None:
    """Refuse anything but numbers greater than 0.

    Raises:
        ConfigurationError: Names the first value that is not.
    """
    for name, value in values.items():
        if not isinstance(value, int | float) or not value > 0:
            msg = f"{name}={value!r} must be a number greater than 0"
            raise ConfigurationError(msg)


def check_whole(**values: object) -> None:
    """Refuse what is no whole number from 1 on.

    Raises:
        ConfigurationError: One of them.
    """
    for name, value in values.items():
        if not isinstance(value, int) or value < 1:
            msg = f"{name}={value!r} must be a whole number greater than 0"
            raise ConfigurationError(msg)


def check_finite(**values: object) -> None:
    """Refuse what is no finite number from 0 on.

    Raises:
        ConfigurationError: One of them.
    """
    for name, value in values.items():
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            msg = f"{name}={value!r} must be a finite number, 0 or greater"
            raise ConfigurationError(msg)


def check_text(**values: object) -> None:
    """Refuse what is no text, or an empty one.

    Raises:
        ConfigurationError: One of them.
    """
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            msg = f"{name}={value!r} must be a text, and not an empty one"
            raise ConfigurationError(msg)


def without_password(url: str) -> str:
    """Return an address as it may be shown: without user, password and options."""
    scheme, separator, rest = url.partition("//") if "//" in url else ("", "", url)
    _, has_user, server = rest.partition("?")[0].rpartition("@")
    # an "@" among the options, or after a "?" that a password holds: either may be part of one
    is_unclear = "@" in rest and not has_user
    return scheme + separator + ("" if is_unclear else server)


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


def check_hook(name: str, hook: Any) -> None:
    """Refuse a hook that cannot be called with a session, or is a generator function.

    Raises:
        ConfigurationError: Says how hooks are called.
    """
    check_callable(name, hook)
    how = f"{name} is called with the session, and has no dependencies of its own"
    if inspect.isgeneratorfunction(hook) or inspect.isasyncgenfunction(hook):
        raise ConfigurationError(f"{how}; {hook!r} yields")
    try:
        signature = inspect.signature(hook)
    except ValueError:  # some builtins have no signature
        return
    try:
        signature.bind("session")
    except TypeError as error:
        raise ConfigurationError(f"{how}; {hook!r}: {error}") from error
