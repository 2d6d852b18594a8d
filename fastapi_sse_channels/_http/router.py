"""The router factory."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.params import Depends as DependsMarker
from fastapi.responses import JSONResponse
from pydantic import AfterValidator
from typing_extensions import TypeAliasType

from .._channel import Channel
from .._checks import check_callable
from .._errors import ConfigurationError
from .._manager import ChannelManager, engine_of
from .hooks import SessionHook, StreamHooks, check_hook
from .lifespan import sse_lifespan
from .response import ChannelResponse
from .snapshot import SnapshotRoute

if TYPE_CHECKING:
    from .._engine import Engine

T = TypeVar("T")
R = TypeVar("R")
# what FastAPI accepts as a dependency that provides R
Dependency = Callable[..., R | Awaitable[R] | AsyncIterator[R] | Iterator[R]]
InitialEvents: TypeAlias = T | Mapping[str, object] | Sequence[T | Mapping[str, object]] | None

_PATH_PARAMETER = re.compile(r"{([^{}:]+)(?::[^{}]*)?}")


class EventStreamDocs(JSONResponse):
    """Documents the route; never instantiated.

    For a response class that it recognizes as a text stream, FastAPI describes the body as
    `{"type": "string", "oneOf": …}`, which no client generator understands.
    """

    media_type = "text/event-stream"


def create_sse_router(
    manager: ChannelManager[T],
    path: str,
    *,
    channel: Dependency[Channel[T]] | None = None,
    initial_event: Dependency[InitialEvents[T]] | None = None,
    on_connect: SessionHook[T] | None = None,
    on_disconnect: SessionHook[T] | None = None,
    dependencies: Sequence[DependsMarker] = (),
    name: str | None = None,
    tags: list[str | Enum] | None = None,
    responses: dict[int | str, dict[str, Any]] | None = None,
) -> APIRouter:
    """Make a router with one route that streams a manager's channels.

    Every dependency of the route, with its sub-dependencies, is closed before the first byte, so
    that an open stream holds no database connection; their errors are ordinary HTTP errors. The
    cookies and headers that they set on FastAPI's `Response` are sent with the stream. The router
    starts the manager with the application.

    Args:
        manager: The manager whose channels are streamed.
        path: The route; without `channel`, its single path parameter is the resource id.
        channel: A dependency that returns the `Channel` to stream, or raises what FastAPI should
            answer. Raise `HTTPException(204)` for a resource that is closed for good, which tells
            a browser's `EventSource` to stop.
        initial_event: A dependency-style callable that returns an event, a list of events or
            `None`, for streams that do not resume and after a reset. Runs in a dependency scope
            of its own, at a time from which on no published event can be missed, so what it sets
            on a `Response` is not sent.
        on_connect: Called with the session once it is counted, before the first byte; `async` or
            not. An `HTTPException` that it raises is the response.
        on_disconnect: Called with the session once it is no longer counted, for up to 10 seconds.
        dependencies: More dependencies of the route, such as authentication.
        name: The route's name; by default `stream_` and the manager's name in snake case.
        tags: The route's OpenAPI tags.
        responses: More OpenAPI responses, by status code.

    Raises:
        ConfigurationError: The path does not say which parameter is the resource id, or a
            callable cannot be called as it would be.
    """
    for argument, dependency in (("channel", channel), ("initial_event", initial_event)):
        if dependency is not None:
            check_callable(argument, dependency)
    for argument, hook in (("on_connect", on_connect), ("on_disconnect", on_disconnect)):
        if hook is not None:
            check_hook(argument, hook)
    provider = channel or manager.channel_for(_only_parameter(path))
    engine = engine_of(manager)
    snapshot = None if initial_event is None else SnapshotRoute(initial_event, engine.encoder.body)
    hooks = StreamHooks(snapshot, on_connect, on_disconnect)
    needed: dict[str, Callable[..., Any]]
    needed = {"channel": provider, "last_event_id": _last_event_id}
    documented = needed if initial_event is None else {**needed, "initial_event": initial_event}
    router = APIRouter(lifespan=sse_lifespan(manager))
    add_route = functools.partial(
        router.add_api_route,
        path,
        name=name or f"stream_{_snake(engine.declaration.name)}",
        tags=tags,
        dependencies=dependencies,
        responses={503: {"description": "Shutting down, or too many streams"}, **(responses or {})},
    )
    add_route(
        _endpoint(needed, hooks),
        methods=["GET", "HEAD"],
        include_in_schema=False,
        response_model=None,
    )
    # The route above serves every request. This one is for OpenAPI, which reads a route's
    # dependencies: `initial_event` is one for those who call, though it runs apart.
    add_route(
        _endpoint(documented, hooks),
        methods=["GET"],
        summary=f"Stream {engine.declaration.name}",
        description=_description(engine),
        response_class=EventStreamDocs,
        response_model=_named(engine),
        response_description="A stream of server-sent events",
    )
    return router


def _endpoint(
    dependencies: Mapping[str, Callable[..., Any]], hooks: StreamHooks[T]
) -> Callable[..., Any]:
    async def stream(
        channel: Channel[T], response: Response, last_event_id: str | None, **_others: object
    ) -> ChannelResponse[T]:
        if not isinstance(channel, Channel):
            msg = (
                f"the channel dependency returned {type(channel).__name__}; "
                "return manager.channel(resource_id)"
            )
            raise ConfigurationError(msg)
        # FastAPI leaves it empty where no dependency sets it
        if response.status_code not in {None, 200}:
            msg = (
                f"a dependency set the status {response.status_code}, but a stream has 200; "
                f"raise HTTPException({response.status_code}) to refuse it"
            )
            raise ConfigurationError(msg)
        return ChannelResponse(channel, hooks, last_event_id, response.headers.raw)

    annotations: dict[str, Any] = {
        name: Annotated[Any, Depends(dependency)] for name, dependency in dependencies.items()
    }
    # FastAPI adds what dependencies set on it to everything but a response of an endpoint
    annotations["response"] = Response
    # the annotations are built here, so they cannot be resolved from this module's strings
    stream.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=annotation,
            )
            for name, annotation in annotations.items()
        ]
    )
    return stream


async def _last_event_id(
    request: Request,
    header: Annotated[
        str | None,
        Header(alias="Last-Event-ID", description="Where a reconnecting client stands."),
    ] = None,
    _documented: Annotated[
        str | None,
        Query(
            alias="last_event_id",
            description="The same for clients that cannot send the header across origins.",
        ),
    ] = None,
) -> str | None:
    """Find where a client wants to go on.

    Mercure's rule: the header wins, for it is newer after a reconnect. Clients without it write
    the parameter as each likes (`lastEventId`, `lastEventID`), after what the page's URL has.
    """
    if header:
        return header
    for name, value in reversed(request.query_params.multi_items()):
        if value and re.sub("[-_]", "", name).lower() == "lasteventid":
            return value
    return None


def _only_parameter(path: str) -> str:
    names = _PATH_PARAMETER.findall(path)
    if len(names) != 1:
        found = ", ".join(names) or "none"
        msg = (
            f"{path!r} needs exactly one path parameter to be the resource id (found: {found}); "
            "pass channel=, a dependency that returns manager.channel(…)"
        )
        raise ConfigurationError(msg)
    return str(names[0])


def _named(engine: Engine[Any]) -> Any:
    """Give the union a name, so that it becomes a component of the OpenAPI document."""
    declared: Any = engine.union.event_type
    if engine.declaration.has_own_name:
        return declared
    if isinstance(declared, type):
        # otherwise pydantic puts the name into the model's own schema, and from then on takes a
        # model that refers to itself for a circular reference
        declared = Annotated[declared, AfterValidator(_unchanged)]
    alias: Any = TypeAliasType
    return alias(engine.declaration.name, declared)


def _unchanged(event: object) -> object:
    return event


def _description(engine: Engine[Any]) -> str:
    names = "\n".join(f"- `{name}`" for name in engine.union.names)
    return (
        "Server-sent events; the `data` of each is one of the documented objects, told apart by "
        f"`{engine.union.discriminator}`:\n\n{names}\n\n"
        "The stream begins with a `stream-open` event; `stream-reset` says that events were "
        "missed, `stream-close` that the server ends the stream. Try it with `curl -N`: a stream "
        "does not end by itself, so the form below shows nothing."
    )


def _snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return re.sub(r"\W+", "_", words).strip("_")
