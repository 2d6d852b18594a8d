"""Redis is an extra: what its absence says."""

from __future__ import annotations

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
def test_missing_redis_says_what_to_install(run_python, use, error):
    assert run_python(WITHOUT_REDIS.format(use)) == (
        f"{error}: the Redis broker needs redis-py: pip install 'fastapi-sse-channels[redis]'\n"
    )
