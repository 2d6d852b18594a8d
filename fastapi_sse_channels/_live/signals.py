"""Notices a shutdown before the server waits for its streams to end.

Lifespan shutdown comes too late: uvicorn, granian and gunicorn run it after connections are
closed, and wait for open streams first.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_Handler = Callable[[int, FrameType | None], object]


def _signals() -> Iterator[signal.Signals]:
    yield signal.SIGTERM
    yield signal.SIGINT
    # gunicorn passes a SIGINT on to its workers as SIGQUIT, which elsewhere may mean anything
    if "gunicorn" in sys.modules:
        yield signal.SIGQUIT


class _ChainedHandler:
    """A handler that calls back before the one it replaced."""

    def __init__(self, callback: Callable[[], None], previous: _Handler) -> None:
        self.callback = callback
        self.previous = previous

    def __call__(self, number: int, stack_frame: FrameType | None) -> None:
        self.callback()
        self.previous(number, stack_frame)


class SignalChain:
    """Calls back on SIGTERM and SIGINT, then lets the previous handler run."""

    def __init__(self, callback: Callable[[], None]) -> None:
        """Remember the callback; it runs inside the signal handler and must not raise."""
        self._callback = callback
        self._installed: dict[signal.Signals, _ChainedHandler] = {}

    def install(self) -> None:
        """Put this chain before the current handlers; cheap to call again.

        Called when the application starts and whenever a stream opens: hypercorn installs its
        handlers after the application has started. Handlers exist in the main thread only.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _signals():
            current = signal.getsignal(number)
            # without a handler in Python to call next, the process ends as it always did
            if callable(current) and not self._is_in(current):
                self._installed[number] = ours = _ChainedHandler(self._callback, current)
                signal.signal(number, ours)

    def uninstall(self) -> None:
        """Put the previous handlers back, unless a handler of others was installed after ours."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, ours in self._installed.items():
            current: object = signal.getsignal(number)
            if current is ours:
                signal.signal(number, ours.previous)
            while isinstance(current, _ChainedHandler):
                # an application that started later may still have its own handler in front
                if current.previous is ours:
                    current.previous = ours.previous
                current = current.previous
        self._installed.clear()

    def _is_in(self, handler: object) -> bool:
        # managers that start and stop in any order must not make the chain grow
        while isinstance(handler, _ChainedHandler):
            if handler.callback == self._callback:
                return True
            handler = handler.previous
        return False
