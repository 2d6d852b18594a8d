"""Hear of a shutdown before the server waits for its streams to end.

Lifespan shutdown comes too late: uvicorn, granian and gunicorn run it after connections are
closed, and wait for open streams first.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalChain:
    """Calls back on SIGTERM and SIGINT, then lets the previous handler run."""

    def __init__(self, callback: Callable[[], None]) -> None:
        """Remember the callback; it runs inside the signal handler and must not raise."""
        self._callback = callback
        self._installed: dict[signal.Signals, tuple[object, object]] = {}

    def install(self) -> None:
        """Put this chain before the handlers of now; cheap to call again.

        Called when the application starts and whenever a stream opens: hypercorn installs its
        handlers after the application has started. Handlers exist in the main thread only.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            current = signal.getsignal(number)
            ours, _ = self._installed.get(number, (None, None))
            # without a Python handler to go on with, the process ends as it always did
            if callable(current) and current is not ours:
                handler = self._handler(current)
                signal.signal(number, handler)
                self._installed[number] = handler, current

    def uninstall(self) -> None:
        """Put the previous handlers back, where nobody chained after us."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number, (ours, previous) in self._installed.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, previous)  # type: ignore[arg-type]  # was callable
        self._installed.clear()

    def _handler(
        self, previous: Callable[[int, FrameType | None], object]
    ) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, stack_frame: FrameType | None) -> None:
            self._callback()
            previous(number, stack_frame)

        return handle
