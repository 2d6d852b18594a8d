"""Redis is an extra: what its absence says."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT_REDIS = """
import sys
from typing import Literal
from pydantic import BaseModel
from fastapi_sse_channels import ChannelManager, SyncPublisher

sys.modules["redis"] = None

class Note(BaseModel):
    type: Literal["note"] = "note"

try:
    {}
except Exception as error:
    print(f"{{type(error).__name__}}: {{error}}")
"""


@pytest.mark.parametrize(
    ("use", "error"),
    [
        ("import fastapi_sse_channels.brokers.redis", "ModuleNotFoundError"),
        ("ChannelManager(Note, key_prefix='note', broker='redis://x')", "ConfigurationError"),
        ("SyncPublisher(Note, key_prefix='note', broker='redis://x')", "ConfigurationError"),
    ],
)
def test_missing_redis_says_what_to_install(use, error):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_REDIS.format(use)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == (
        f"{error}: the Redis broker needs redis-py: pip install 'fastapi-sse-channels[redis]'\n"
    )
