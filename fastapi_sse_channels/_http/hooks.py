"""The callables that users give a router for its sessions."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, get_type_hints

from fastapi import Response, params
from fastapi.security import SecurityScopes
from starlette.background import BackgroundTasks
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from .._channel import Session
from .._checks import check_callable
from .._errors import ConfigurationError

if TYPE_CHECKING:
    from .snapshot import SnapshotRoute

T = TypeVar("T")
# what FastAPI fills in for its own callables: by a marker, or by the type alone
_MARKERS = (params.Depends, params.Param, params.Body)
_GIVEN = (HTTPConnection, Response, BackgroundTasks, SecurityScopes)

SessionHook: TypeAlias = Callable[[Session[T]], Awaitable[object] | object]


@dataclass(frozen=True, slots=True)
class StreamHooks(Generic[T]):
    """The callables of one router."""

    snapshot: SnapshotRoute | None
    on_connect: SessionHook[T] | None
    on_disconnect: SessionHook[T] | None


async def call_hook(hook: SessionHook[T], session: Session[T]) -> None:
    """Call a hook; one that is not a coroutine function runs in a thread."""
    if inspect.iscoroutinefunction(hook):
        await hook(session)
    else:
        result = await run_in_threadpool(hook, session)
        if inspect.isawaitable(result):
            await result


def check_hook(name: str, hook: Any) -> None:
    """Refuse a hook that cannot be called with a session, yields, or asks for a dependency.

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
    for parameter in signature.parameters.values():
        if any(map(_is_filled_in, (parameter.default, *_meant(parameter.annotation, hook)))):
            msg = (
                f"{how}; {hook!r} declares one: {parameter.name}. Declare it in an async channel= "
                "dependency, which may put what the hook needs into a ContextVar"
            )
            raise ConfigurationError(msg)
    try:
        signature.bind("session")
    except TypeError as error:
        raise ConfigurationError(f"{how}; {hook!r}: {error}") from error


def _is_filled_in(part: object) -> bool:
    return isinstance(part, _MARKERS) or (isinstance(part, type) and issubclass(part, _GIVEN))


def _meant(annotation: Any, hook: Any) -> Iterator[object]:
    """Return the type of an annotation, and what `Annotated` adds to it."""
    if isinstance(annotation, str):
        # each by itself: the name of another may exist for type checkers alone
        holder = SimpleNamespace(__annotations__={"it": annotation})
        with suppress(Exception):
            hints = get_type_hints(holder, globalns=_namespace(hook), include_extras=True)
            annotation = hints["it"]
    while not isinstance(annotation, str) and hasattr(
        annotation, "__value__"
    ):  # a name that a type statement gave
        annotation = annotation.__value__
    yield getattr(annotation, "__origin__", annotation)
    yield from getattr(annotation, "__metadata__", ())


def _namespace(hook: Any) -> dict[str, Any]:
    while isinstance(hook, functools.partial):
        hook = hook.func
    hook = inspect.unwrap(hook)
    call = hook if hasattr(hook, "__globals__") else type(hook).__call__
    found: dict[str, Any] = getattr(call, "__globals__", {})
    return found
