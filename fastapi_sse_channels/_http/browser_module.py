"""The route that serves the browser client, for pages without a build step."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, NoMatchFound, Router

from .._errors import ConfigurationError

_ROUTE = "sse_channels_client"
_FOR_GOOD = "public, max-age=31536000, immutable"


def create_client_router(path: str = "/sse-channels") -> APIRouter:
    """Make a router that serves the browser client as one ES module.

    Browsers cache the address that `client_url` returns for good. `<path>/client.js` is the same
    module at an address that can be written by hand; browsers revalidate it on every use.

    Args:
        path: Where the module is served, below the prefix of the router.
    """
    content, version = _client()
    router = APIRouter(include_in_schema=False)

    async def client(request: Request) -> Response:
        etag = f'"{version}"'
        # During a deploy, a page of one version may ask a node that runs another. It gets the
        # module of that node, which must not be cached under the address it asked for.
        is_named = request.path_params.get("version") == version
        headers = {"ETag": etag, "Cache-Control": _FOR_GOOD if is_named else "no-cache"}
        known = request.headers.get("if-none-match", "").split(",")
        if etag in (tag.strip().removeprefix("W/") for tag in known):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="text/javascript")

    path = path.rstrip("/")
    # An id of its own: the application's generate_unique_id_function may rely on tags.
    add_route = functools.partial(
        router.add_api_route, endpoint=client, methods=["GET", "HEAD"], operation_id=_ROUTE
    )
    add_route(f"{path}/client.js")
    add_route(f"{path}/{{version}}/client.js", name=_ROUTE)
    return router


def client_url(request: Request) -> str:
    """Return the address of the module that `create_client_router` serves, for templates.

    Works as a dependency too: `Annotated[str, Depends(client_url)]`.

    Args:
        request: The request that is being answered.

    Raises:
        ConfigurationError: The application does not include the router.
    """
    _, version = _client()
    scope = request.scope
    # Both parts come from the outermost application. request.url_for would let the Host header,
    # which clients choose, change the path.
    router: Router | Starlette = scope.get("router") or scope["app"]
    root_path: str = scope.get("app_root_path", scope.get("root_path", ""))
    for name in _names(router.routes):
        with suppress(NoMatchFound):
            return root_path.rstrip("/") + router.url_path_for(name, version=version)
    msg = "the client is not served; call app.include_router(create_client_router())"
    raise ConfigurationError(msg)


def _names(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """Return the names that the route may have: a mount with a name puts its own before them."""
    yield _ROUTE
    for route in routes:
        if isinstance(route, Mount):
            prefix = "" if route.name is None else f"{route.name}:"
            yield from (prefix + name for name in _names(route.routes))


@functools.cache
def _client() -> tuple[bytes, str]:
    """Return the module, and a version derived from its content."""
    content = files("fastapi_sse_channels").joinpath("static", "client.js").read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:16]
