"""A program publishes without an application, and a differing declaration is logged."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import BaseModel

from fastapi_sse_channels import ChannelManager, ConfigurationError
from fastapi_sse_channels.brokers.redis import RedisBroker


class Note(BaseModel):
    type: Literal["note"] = "note"


@pytest.mark.parametrize(
    "broker",
    [
        "memory://",
        RedisBroker.cluster("redis://localhost:1"),
        RedisBroker.sentinel([("localhost", 1)], "primary"),
    ],
    ids=["memory", "cluster", "sentinel"],
)
def test_broker_without_one_server_has_no_sync_publisher(broker):
    manager = ChannelManager(Note, key_prefix="note", broker=broker)

    with pytest.raises(ConfigurationError, match="cannot be reached without an event loop; use"):
        manager.sync_publisher()


def test_declaration_says_what_publishers_must_agree_on():
    from fastapi_sse_channels._manager import engine_of  # noqa: PLC0415

    manager = ChannelManager(Note, key_prefix="note", history_size=7, max_event_bytes=9)

    assert json.loads(engine_of(manager).declaration.summary) == {
        "events": ["note"],
        "event_names": "none",
        "history_size": 7,
        "history_bytes": 1024 * 1024,
        "history_ttl": 300.0,
    }
