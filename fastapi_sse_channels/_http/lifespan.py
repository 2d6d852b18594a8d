"""Start and stop managers with the application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from typing import TYPE_CHECKING, Any

from .._checks import check_unshared
from .._errors import ConfigurationError
from .._manager import ChannelManager, engine_of

if TYPE_CHECKING:
    from types import TracebackType


# an application's state holds its running managers under this name
_RUNNING = "fastapi_sse_channels"


class SSELifespan(AbstractAsyncContextManager[None]):
    """What `sse_lifespan` returns."""

    def __init__(self, managers: tuple[ChannelManager[Any], ...]) -> None:
        """Use `sse_lifespan`."""
        self._managers = managers
        self._stacks: list[AsyncExitStack] = []

    def __call__(self, app: object) -> AbstractAsyncContextManager[None]:
        """Serve as `FastAPI(lifespan=…)`."""
        return _running(self._managers, getattr(app, "state", None))

    async def __aenter__(self) -> None:
        """Start the managers; if one fails, those before it are stopped again."""
        stack = AsyncExitStack()
        await stack.enter_async_context(_running(self._managers))
        self._stacks.append(stack)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the managers in reverse order."""
        await self._stacks.pop().aclose()


def sse_lifespan(*managers: ChannelManager[Any]) -> SSELifespan:
    """Start managers when the application starts, and stop them when it ends.

    Use it as `FastAPI(lifespan=sse_lifespan(a, b))`, or as `async with sse_lifespan(a, b):` inside
    your own lifespan. Routers made by `create_sse_router` carry the same hook; starts are counted,
    so using both does no harm.

    Args:
        managers: Started in this order, and stopped in reverse.

    Raises:
        ConfigurationError: No manager is given, something else is, or two of them would share
            their keys in one store.
    """
    if not managers:
        msg = "sse_lifespan() starts nothing; pass the managers it should start"
        raise ConfigurationError(msg)
    for manager in managers:
        # FastAPI calls what `lifespan=sse_lifespan` names with the application
        if not isinstance(manager, ChannelManager):
            msg = (
                f"{manager!r} is no ChannelManager; pass the managers themselves: "
                "FastAPI(lifespan=sse_lifespan(manager, …))"
            )
            raise ConfigurationError(msg)
    for manager in managers:
        _check_apart(manager, managers)
    return SSELifespan(managers)


@asynccontextmanager
async def _running(
    managers: tuple[ChannelManager[Any], ...], state: object | None = None
) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for manager in managers:
            if state is not None:
                stack.enter_context(_apart(manager, state))
            await manager.start()
            stack.push_async_callback(manager.stop)
        yield


@contextmanager
def _apart(manager: ChannelManager[Any], state: object) -> Iterator[None]:
    """Count a manager among those that run in its application."""
    running: list[ChannelManager[Any]] = getattr(state, _RUNNING, [])
    setattr(state, _RUNNING, running)
    _check_apart(manager, running)
    running.append(manager)
    try:
        yield
    finally:
        running.remove(manager)


def _check_apart(manager: ChannelManager[Any], others: Iterable[ChannelManager[Any]]) -> None:
    """Keep two managers of one application from sharing their keys, or the name of their unions.

    Raises:
        ConfigurationError: Another one uses the same keys of the same store, or names another
            union as this one does.
    """
    engine = engine_of(manager)
    store = engine.broker.store
    engines = [engine_of(other) for other in others if other is not manager]
    taken = {other.keys.name for other in engines if other.broker.store == store}
    check_unshared(engine.keys.name, taken, where=f"of one application, on {engine.broker!r},")
    declaration = engine.declaration
    for other in (engine.declaration for engine in engines):
        if (
            other.name == declaration.name
            and other.union.event_type != declaration.union.event_type
            and not (other.has_own_name and declaration.has_own_name)
        ):
            msg = (
                f"two managers of one application name their unions {declaration.name} in its "
                "OpenAPI document; pass another name= to one of them"
            )
            raise ConfigurationError(msg)
