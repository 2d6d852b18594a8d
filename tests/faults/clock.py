"""Time that a busy machine does not count against us."""

from __future__ import annotations

import os
import time


class OwnClock:
    """A monotonic clock of the calling thread that stands still while the thread has no CPU.

    A thread that is ready to run and waits for its turn makes no progress through no fault of its
    own. Linux counts that time for each thread (`schedstat`, second number, in ns). Computing,
    blocking calls and waiting for another thread's lock are not in it.
    """

    def __init__(self) -> None:
        self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def waited(self) -> float:
        """Seconds that the thread was ready to run, and did not."""
        return int(os.pread(self._file, 64, 0).split()[1]) / 1e9

    def read(self) -> float:
        """Seconds since an arbitrary moment."""
        return time.monotonic() - self.waited()

    def close(self) -> None:
        os.close(self._file)
