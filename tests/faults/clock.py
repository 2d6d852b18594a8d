"""Measures the time that a busy machine takes away."""

from __future__ import annotations


def cpu_wait(thread: int | str = "thread-self") -> float:
    """Seconds that a thread, by default the calling one, was ready to run and had no CPU.

    The thread makes no progress then through no fault of its own. Linux counts that time for each
    thread (`schedstat`, second number, in ns). The count leaves out computing, blocking calls and
    waits for another thread's lock.
    """
    with open(f"/proc/{thread}/schedstat", "rb", buffering=0) as file:  # noqa: PTH123  # often
        return int(file.read().split()[1]) / 1e9
