"""Connecting: what is refused, and what is told of it."""

from __future__ import annotations

import pytest
from redis.exceptions import NoPermissionError


async def test_thousands_of_channels_are_subscribed(server, start_subscriber):
    names = [f"channel-{number}" for number in range(2500)]
    await start_subscriber(channels=names)

    assert server.subscribed() == sorted(names)


async def test_right_missing_at_the_start_is_raised(server, start_subscriber):
    server.client.execute_command("ACL", "SETUSER", "default", "resetchannels")

    with pytest.raises(NoPermissionError):
        await start_subscriber(channels=["a"])


async def test_right_taken_away_is_logged_once(server, start_subscriber, eventually, caplog):
    subscriber, heard = await start_subscriber(channels=["a"])
    server.client.execute_command("ACL", "SETUSER", "default", "resetchannels")
    await eventually(lambda: "Redis refuses the subscription" in caplog.text)
    server.client.client_kill_filter(_type="pubsub")
    server.client.execute_command("ACL", "SETUSER", "default", "allchannels")

    await eventually(lambda: heard.connected == 2)
    assert caplog.text.count("Redis refuses the subscription") == 1
    await subscriber.subscribe("b")
