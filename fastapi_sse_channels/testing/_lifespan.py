"""Start and stop an ASGI application, as a server does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ._errors import StreamTimeoutError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message


class Lifespan:
    """The lifespan of one application, in a task of its own.

    The task is needed because fixtures are set up and torn down in different tasks, which breaks
    cancel scopes.

    Attributes:
        state: The state that the application shares with its requests.
    """

    def __init__(self, app: ASGIApp, timeout: float) -> None:
        """Prepare the lifespan; nothing runs before `start`.

        Args:
            app: The application.
            timeout: Seconds that starting and stopping may take.
        """
        self.state: dict[str, Any] = {}
        self._app = app
        self._timeout = timeout
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._started = asyncio.Event()

    async def start(self) -> None:
        """Start the application; one without a lifespan is left alone.

        Raises:
            StreamTimeoutError: It takes too long.
        """
        self._task = asyncio.ensure_future(self._run())
        started = asyncio.ensure_future(self._started.wait())
        await self._wait("start", started, self._task)
        started.cancel()

    async def stop(self) -> None:
        """Stop the application.

        Raises:
            StreamTimeoutError: It takes too long.
        """
        if self._task is not None:
            self._stop.set()
            await self._wait("stop", self._task)

    async def _wait(self, what: str, *events: asyncio.Future[Any]) -> None:
        assert self._task is not None
        done, _ = await asyncio.wait(
            events, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            for event in events:
                event.cancel()
            msg = f"the application did not {what} within {self._timeout} s"
            raise StreamTimeoutError(msg)
        if self._task.done():
            self._task.result()

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self.state,
        }
        messages: list[Message] = []

        async def send(message: Message) -> None:
            messages.append(message)
            if message["type"] == "lifespan.startup.complete":
                self._started.set()

        try:
            await self._app(scope, self._receive, send)
        except Exception:
            # an application that fails before it sends anything does not support lifespans
            if messages:
                raise
        if messages and messages[-1]["type"].endswith(".failed"):
            raise RuntimeError(messages[-1].get("message") or messages[-1]["type"])

    async def _receive(self) -> Message:
        if not self._started.is_set():
            return {"type": "lifespan.startup"}
        await self._stop.wait()
        return {"type": "lifespan.shutdown"}
