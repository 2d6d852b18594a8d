"""A time limit for blocking reads that can change from read to read.

httpx fixes its read timeout when it sends the request, but the limit that a stream needs comes
with its first frame.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._httpx import httpx


class Watchdog:
    """Cuts a response's connection when a read takes too long, from a thread of its own."""

    def __init__(self) -> None:
        """Watch nothing yet; the thread starts with the first read."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._response: httpx.Response | None = None
        self._deadline = 0.0
        self._is_stopped = False
        self._cut: httpx.Response | None = None

    def watch(self, response: httpx.Response, seconds: float | None) -> None:
        """Watch one read.

        Args:
            response: The response that is read.
            seconds: How long the read may take; `None` for no limit.
        """
        if seconds is None:
            return
        with self._changed:
            self._response = response
            self._deadline = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, daemon=True)
                self._thread.start()
            self._changed.notify()

    def rest(self) -> None:
        """Watch nothing until the next read."""
        with self._changed:
            self._response = None

    def has_cut(self, response: httpx.Response) -> bool:
        """Whether the connection of this response was cut, in this read or an earlier one.

        A read that completes just as its time runs out still returns its chunk; the next read then
        finds the connection gone.
        """
        return self._cut is response

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._is_stopped:
                if self._response is None:
                    self._changed.wait()
                elif (left := self._deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                else:
                    self._cut = self._response
                    cut(self._response)
                    self._response = None


def cut(response: httpx.Response) -> None:
    """Shut down a connection that another thread reads from; its read then returns."""
    stream = response.extensions.get("network_stream")
    connection = None if stream is None else stream.get_extra_info("socket")
    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):
            # bypass the TLS layer, whose state belongs to the reading thread
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
