"""Notice that the server shuts down, where no signal says so.

ASGI does not tell an application that the server is about to wait for its streams. A signal stops
most servers, and we can handle it. But uvicorn and gunicorn also stop by themselves, after so many
requests or when another thread says so, and hypercorn stops its workers over a semaphore.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from .transport import owners

# The coroutines that run a server for as long as it lives, and whose `self` keeps its listening
# sockets in `servers` (read in uvicorn 0.54 and gunicorn 27.0).
_SERVING = (
    ("uvicorn.server", "Server", "serve"),
    ("gunicorn.workers.gasgi", "ASGIWorker", "_serve"),
)
_INTERVAL = 0.5  # seconds


def shutdown_of_server(send: Any, receive: Any) -> Callable[[], Awaitable[None]] | None:
    """Find the server that runs on this event loop.

    Args:
        send: Of one of its requests.
        receive: Of that request.

    Returns:
        A function to await until it begins to shut down; `None` where the server does not show it.
    """
    if (server := _server_of_loop()) is not None:
        return lambda: _until_closed(server)
    if "hypercorn" in sys.modules:
        return _termination_of_hypercorn(send, receive)
    return None


def _server_of_loop() -> Any:
    codes = {
        serve.__code__
        for module, kind, name in _SERVING
        if (serve := getattr(getattr(sys.modules.get(module), kind, None), name, None)) is not None
    }
    if not codes:
        return None
    for task in asyncio.all_tasks():
        # the user's own coroutines may await it
        call: Any = task.get_coro()
        while call is not None:
            if getattr(call, "cr_code", None) in codes and call.cr_frame is not None:
                return call.cr_frame.f_locals["self"]
            call = getattr(call, "cr_await", None)
    return None


async def _until_closed(server: Any) -> None:
    while _is_open(server):  # noqa: ASYNC110 - nothing tells us when it closes
        await asyncio.sleep(_INTERVAL)


def _is_open(server: Any) -> bool:
    listening = getattr(server, "servers", ())
    # the first request may come before the server has noted where it listens
    return not listening or any(one.is_serving() for one in listening)


def _termination_of_hypercorn(send: Any, receive: Any) -> Callable[[], Awaitable[None]] | None:
    for owner in owners(send, receive):
        terminated = getattr(getattr(owner, "context", None), "terminated", None)
        wait = getattr(terminated, "wait", None)
        if inspect.iscoroutinefunction(wait):
            return wait
    return None
