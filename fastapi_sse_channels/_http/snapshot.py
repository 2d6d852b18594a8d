"""Run `initial_event` with FastAPI's own dependency injection, whenever it is needed.

The initial event is loaded after the cursor is fixed, and again after a reset in mid-stream; by
then the dependencies of the stream's own route are closed. So it is the only dependency of a
route of its own, which is never mounted: it opens and closes what it needs around each load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias
from weakref import WeakKeyDictionary, ref

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.background import BackgroundTask
    from starlette.types import Message, Receive, Scope, Send

_RESULT = "fastapi_sse_channels.initial_events"


class SnapshotRefusedError(Exception):
    """`initial_event` raised an HTTP error, and the response to it has been sent."""


class SnapshotRoute:
    """Loads the initial events of one router's streams."""

    def __init__(
        self, initial_event: Callable[..., Any], encode: Callable[[object], bytes]
    ) -> None:
        """Prepare a dependency-style callable.

        Args:
            initial_event: Returns an event, a list of events or `None`.
            encode: Encodes one event.
        """
        self._initial_event = initial_event
        self._encode = encode
        # of every application that includes the router, for as long as there is that one
        self._routes: WeakKeyDictionary[Any, dict[tuple[str, ...], APIRoute]] = WeakKeyDictionary()

    def bind(self, scope: Scope, receive: Receive, send: Send) -> Snapshot:
        """Make a snapshot for a request."""
        return Snapshot(self, scope, receive, send)

    async def load(self, scope: Scope, receive: Receive, send: Send) -> Sequence[bytes]:
        """Run `initial_event` for a request.

        Raises:
            SnapshotRefusedError: It raised an HTTP error, which `send` got as a response.
            InvalidEventError: It returned something that is not an event.
        """
        # the stacks that FastAPI keeps in the scope belong to the stream's own route
        async with AsyncExitStack() as files:
            own_scope = {**scope, "fastapi_middleware_astack": files}
            await self._route(own_scope).app(own_scope, receive, send)
        if _RESULT not in own_scope:
            raise SnapshotRefusedError
        events: Sequence[bytes] = own_scope[_RESULT]
        return events

    def _route(self, scope: Scope) -> APIRoute:
        # include_router may have put path parameters before the router's own
        names = tuple(scope["path_params"])
        routes = self._routes.setdefault(scope["app"], {})
        route = routes.get(names)
        if route is None:
            route = routes[names] = self._build(names, _Overrides(scope["app"]))
        return route

    def _build(self, names: tuple[str, ...], overrides: _Overrides) -> APIRoute:
        encode = self._encode

        async def endpoint(found: Any) -> Response:
            # encoded while the dependencies are open: an ORM object may still load attributes
            return _Loaded([encode(event) for event in _listed(found)])

        # annotations made of local names cannot be resolved from strings
        endpoint.__annotations__["found"] = Annotated[Any, Depends(self._initial_event)]
        path = "".join(f"/{{{name}}}" for name in names) or "/"
        return APIRoute(
            path, endpoint, response_model=None, dependency_overrides_provider=overrides
        )


class _Overrides:
    """The `dependency_overrides` of an application, without holding the application."""

    __slots__ = ("_app",)

    def __init__(self, app: object) -> None:
        self._app = ref(app)

    @property
    def dependency_overrides(self) -> Mapping[Any, Any]:
        return getattr(self._app(), "dependency_overrides", {})


class Snapshot:
    """The initial events of one stream, loaded whenever they are needed."""

    __slots__ = ("_receive", "_route", "_scope", "_send")

    def __init__(self, route: SnapshotRoute, scope: Scope, receive: Receive, send: Send) -> None:
        """Use `SnapshotRoute.bind`."""
        self._route = route
        self._scope = scope
        self._receive = receive
        self._send = send

    async def load(self) -> Sequence[bytes]:
        """See `SnapshotRoute.load`."""
        return await self._route.load(self._scope, self._receive, self._send)

    def detach(self) -> None:
        """Send nothing from now on: the response has begun, and has no room for an HTTP error."""
        self._send = _nowhere


class NoSnapshot:
    """Stands for the initial events of streams that begin with the next event."""

    async def load(self) -> Sequence[bytes]:
        """Load nothing."""
        return ()

    def detach(self) -> None:
        """Do nothing."""


NO_SNAPSHOT = NoSnapshot()
Initial: TypeAlias = Snapshot | NoSnapshot


async def _nowhere(message: Message) -> None:
    pass


class _Loaded(Response):
    """Hands the events over instead of sending them."""

    def __init__(self, events: Sequence[bytes]) -> None:
        self._events = events
        self.background: BackgroundTask | None = None  # FastAPI puts the tasks of the load here

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,  # noqa: ARG002  # the shape of an ASGI application
        send: Send,  # noqa: ARG002
    ) -> None:
        scope[_RESULT] = self._events
        background: BackgroundTask | None = self.background
        if background is not None:
            await background()


def _listed(found: object) -> Sequence[object]:
    if found is None:
        return ()
    return found if isinstance(found, list | tuple) else (found,)
