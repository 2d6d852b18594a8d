"""Start and stop managers with the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ._errors import ConfigurationError

if TYPE_CHECKING:
    from types import TracebackType

    from ._manager import ChannelManager


class SSELifespan(AbstractAsyncContextManager[None]):
    """What `sse_lifespan` returns."""

    def __init__(self, managers: tuple[ChannelManager[Any], ...]) -> None:
        """Use `sse_lifespan`."""
        self._managers = managers
        self._stacks: list[AsyncExitStack] = []

    def __call__(self, _app: object) -> AbstractAsyncContextManager[None]:
        """Serve as `FastAPI(lifespan=…)`."""
        return _running(self._managers)

    async def __aenter__(self) -> None:
        """Start the managers; in case of an error none stays started."""
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

    Usable as `FastAPI(lifespan=sse_lifespan(a, b))` and as `async with sse_lifespan(a, b):` inside
    a lifespan of your own. Routers made by `create_sse_router` carry the same hook; starts are
    counted, so both together do no harm.

    Raises:
        ConfigurationError: Two managers share their keys, or none is given.
    """
    if not managers:
        msg = "sse_lifespan() starts nothing; pass the managers it should start"
        raise ConfigurationError(msg)
    names = [manager.keys.name for manager in managers]
    for manager in managers:
        if names.count(manager.keys.name) > 1 and managers.count(manager) == 1:
            msg = f"two managers use the keys {manager.keys.name}; change one's key_suffix"
            raise ConfigurationError(msg)
    return SSELifespan(managers)


@asynccontextmanager
async def _running(managers: tuple[ChannelManager[Any], ...]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for manager in managers:
            await manager.start()
            stack.push_async_callback(manager.stop)
        yield
