"""Several workers warn when their broker serves one process only."""

from __future__ import annotations

import pytest

REMEDY = (
    "2 worker processes use an in-memory broker, so a client sees only the events that its own "
    "worker publishes; pass broker='redis://…' to ChannelManager, or run one worker"
)


@pytest.mark.parametrize("env", [{}, {"WEB_CONCURRENCY": "2"}])
def test_each_worker_warns_once_and_names_the_remedy(serve, env):
    server = serve(server="uvicorn" if env else "uvicorn-2-workers", env=env)
    server.terminate()

    assert 1 <= server.log.count(REMEDY) <= 2
    assert server.log.count("RuntimeWarning") == server.log.count(REMEDY)


@pytest.mark.parametrize("server_name", ["uvicorn", "uvicorn-reload"])
def test_one_worker_does_not_warn(serve, server_name):
    server = serve(server=server_name)
    server.terminate()

    assert "Warning" not in server.log
