"""The `headers` argument, where it is a function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from .._errors import ConfigurationError

H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class HeadersRequest:
    """Why a `headers` function is called; it is given to one that takes an argument.

    Attributes:
        rejected: The server answered 401 or 403 to what the function returned last, so it must not
            return the same from a cache.
    """

    rejected: bool


def asked_with_request(
    headers: Mapping[str, str] | Callable[[], H] | Callable[[HeadersRequest], H] | None,
) -> Mapping[str, str] | Callable[[HeadersRequest], H] | None:
    """Turn a function into one that takes the request; anything else is returned as it is.

    Raises:
        ConfigurationError: The function takes more.
    """
    if headers is None or isinstance(headers, Mapping):
        return headers
    if not _needs_request(headers):
        without = cast("Callable[[], H]", headers)
        return lambda _: without()
    return cast("Callable[[HeadersRequest], H]", headers)


def _needs_request(function: Callable[..., Any]) -> bool:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some builtins have no signature
        return False
    try:
        # `lambda token=token: …` has a parameter, but wants no argument
        signature.bind()
    except TypeError:
        pass
    else:
        return False
    try:
        signature.bind("request")
    except TypeError as error:
        how = "a headers function is called with one HeadersRequest or nothing"
        raise ConfigurationError(f"{how}; {function!r}: {error}") from error
    return True
