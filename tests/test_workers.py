"""Reading the number of workers off a server's command line."""

from __future__ import annotations

import pytest

from fastapi_sse_channels._workers import worker_count


@pytest.mark.parametrize(
    ("command", "web_concurrency", "expected"),
    [
        ("uvicorn app:app", None, 1),
        ("uvicorn app:app --workers 4", None, 4),
        ("uvicorn app:app --workers=4", None, 4),
        ("gunicorn -w 3 app:app", None, 3),
        ("gunicorn -w3 app:app", None, 3),
        ("gunicorn -w=3 app:app", None, 3),
        ("granian --workers 2 app:app", None, 2),
        ("uvicorn app:app --workers 1", "8", 1),
        ("uvicorn app:app", "8", 8),
        ("uvicorn app:app", "", 1),
        ("uvicorn app:app", "many", 1),
        ("uvicorn app:app --workers", None, 1),
        ("uvicorn app:app --workers many", None, 1),
        ("pytest -watch tests", None, 1),
        ("", None, 1),
    ],
)
def test_worker_count(command, web_concurrency, expected):
    assert worker_count(command.split(), web_concurrency) == expected
