"""Time that a busy machine does not count against us."""

from __future__ import annotations


def cpu_wait(thread: int | str = "thread-self") -> float:
    """Seconds that a thread, by default the calling one, was ready to run and had no CPU.

    It makes no progress then through no fault of its own. Linux counts that time for each thread
    (`schedstat`, second number, in ns). Computing, blocking calls and waiting for another
    thread's lock are not in it.
    """
    with open(f"/proc/{thread}/schedstat", "rb", buffering=0) as file:  # noqa: PTH123  # often
        return int(file.read().split()[1]) / 1e9
