"""The number of workers in a server's command line and environment."""

from __future__ import annotations

import pytest

from fastapi_sse_channels.brokers._workers import worker_count


@pytest.mark.parametrize(
    ("command", "environ", "expected"),
    [
        ("uvicorn app:app", {}, 1),
        ("uvicorn app:app --workers 4", {}, 4),
        ("uvicorn app:app --workers=4", {}, 4),
        ("gunicorn -w 3 app:app", {}, 3),
        ("gunicorn -w3 app:app", {}, 3),
        ("gunicorn -w=3 app:app", {}, 3),
        ("granian --workers 2 app:app", {}, 2),
        ("uvicorn app:app --workers 1", {"WEB_CONCURRENCY": "8"}, 1),
        ("uvicorn app:app", {"WEB_CONCURRENCY": "8"}, 8),
        ("uvicorn app:app", {"WEB_CONCURRENCY": ""}, 1),
        ("uvicorn app:app", {"WEB_CONCURRENCY": "many"}, 1),
        ("uvicorn app:app --workers", {}, 1),
        ("uvicorn app:app --workers many", {}, 1),
        ("uvicorn app:app", {"UVICORN_WORKERS": "3", "WEB_CONCURRENCY": "1"}, 3),
        ("granian app:app", {"GRANIAN_WORKERS": "3"}, 3),
        ("gunicorn app:app", {"GUNICORN_CMD_ARGS": "-k asgi --workers=3"}, 3),
        ("gunicorn app:app -w 1", {"GUNICORN_CMD_ARGS": "--workers=3"}, 1),
        ("pytest -watch tests", {}, 1),
        ("", {}, 1),
    ],
)
def test_worker_count_is_read(command, environ, expected):
    assert worker_count(command.split(), environ) == expected
