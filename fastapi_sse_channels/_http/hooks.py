"""The callables that users give a router for its sessions."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from starlette.concurrency import run_in_threadpool

from .._channel import Session

if TYPE_CHECKING:
    from .snapshot import SnapshotRoute

T = TypeVar("T")
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
