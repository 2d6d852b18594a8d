"""Replacing a server under its sessions."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from fastapi_sse_channels import SyncPublisher

from .load import check
from .results import OURS
from .servers.events import TEXT
from .servers.ours import KEY_PREFIX, OrderEvent, OrderUpdated
from .store import redis_server, redis_url
from .workloads import Run

_EVENTS_PER_SECOND = 20


def deploy(run: Run) -> None:
    """Replace a server under its sessions, the new one up before the old one is told to end.

    The old one gets SIGTERM, and SIGKILL if it is still there ten seconds later.
    """
    sessions = run.scale.deploy_sessions
    with ExitStack() as stack:
        publishing = stack.enter_context(_publishing(run))
        old = stack.enter_context(run.server(publishing.environment))
        new = stack.enter_context(run.server(publishing.environment))
        load = stack.enter_context(run.load(old))
        load.connect(sessions)

        def replaced() -> dict[str, float]:
            load.begin(f"deploy {new.port}")
            publishing.start()
            gone = old.stop()
            back = load.answer()["seconds"]
            load.say(str(publishing.stop()))
            answer = load.answer()
            check(answer)
            figures = {
                "all_back_s": back,
                "down_p50_s": answer["down_p50_ms"] / 1e3,
                "down_p99_s": answer["down_p99_ms"] / 1e3,
                "down_max_s": answer["down_max_ms"] / 1e3,
                "busiest_tenth": answer["busiest_tenth"] / sessions,
                "server_gone_s": gone,
            }
            if answer["deliveries"]:
                figures["events"] = answer["deliveries"] / sessions
            return figures

        run.row("deploy", sessions, replaced)


class _Publishing:
    """Events published through Redis while a server is replaced; for ours only."""

    def __init__(self, url: str | None) -> None:
        self.environment = {"BENCHMARK_BROKER": url} if url else {}
        self._url = url
        self._published = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        if self._url:
            self._thread.start()

    def stop(self) -> int:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join()
        return self._published

    def _run(self) -> None:
        assert self._url is not None
        publisher = SyncPublisher(OrderEvent, broker=self._url, key_prefix=KEY_PREFIX)
        while not self._end.wait(1 / _EVENTS_PER_SECOND):
            event = OrderUpdated(ts=time.monotonic_ns(), seq=self._published, text=TEXT)
            publisher.publish("0", event)
            self._published += 1
        publisher.close()


@contextmanager
def _publishing(run: Run) -> Iterator[_Publishing]:
    if not run.peer.name.startswith(OURS):
        yield _Publishing(None)
        return
    with redis_server() as (_, port):
        publishing = _Publishing(redis_url(port))
        try:
            yield publishing
        finally:
            publishing.stop()
