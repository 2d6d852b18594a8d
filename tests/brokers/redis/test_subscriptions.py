"""Channels that come and go: subscribed while they are wanted, in whatever order answers come."""

from __future__ import annotations

import asyncio
import random

import pytest
from redis.exceptions import NoPermissionError, RedisError


async def test_channel_is_subscribed_while_it_is_wanted(server, start_subscriber, eventually):
    """Commands and answers pass each other in any order."""
    subscriber, _ = await start_subscriber()
    draw = random.Random(7)
    wanted: set[str] = set()
    subscribing: dict[str, asyncio.Task[None]] = {}
    for _ in range(2000):
        name = f"channel-{draw.randrange(5)}"
        if name in wanted:
            wanted.discard(name)
            # who gives up waiting leaves as well
            subscribing[name].cancel()
            subscriber.unsubscribe(name)
        else:
            wanted.add(name)
            subscribing[name] = asyncio.create_task(subscriber.subscribe(name))
            await asyncio.sleep(0)
        for _ in range(draw.randrange(3)):
            await asyncio.sleep(0 if draw.random() < 0.95 else 0.001)
    await asyncio.wait(subscribing.values(), timeout=5)

    await eventually(lambda: server.subscribed() == sorted(wanted))
    # the server's last answers may still be on their way
    await eventually(lambda: subscriber._subscriptions._confirmations == {})


async def test_channel_removed_twice_costs_no_connection(server, start_subscriber, eventually):
    subscriber, heard = await start_subscriber()
    await subscriber.subscribe("a")
    subscriber.unsubscribe("a")
    await asyncio.sleep(0)
    again = asyncio.create_task(subscriber.subscribe("a"))
    await asyncio.sleep(0)
    subscriber.unsubscribe("a")
    await again
    await subscriber.subscribe("b")

    await eventually(lambda: server.subscribed() == ["b"])
    await eventually(lambda: subscriber._subscriptions._let_go.total() == 0)
    assert (heard.connected, heard.errors) == (1, [])


async def test_confirmation_belongs_to_its_command(server, start_subscriber):
    """The answer to an earlier command comes first, before the unsubscription in between."""
    subscriber, _ = await start_subscriber()
    first = asyncio.create_task(subscriber.subscribe("a"))
    await asyncio.sleep(0)
    first.cancel()
    subscriber.unsubscribe("a")
    await asyncio.sleep(0)
    second = asyncio.create_task(subscriber.subscribe("a"))
    await asyncio.sleep(0)

    assert len(subscriber._subscriptions._confirmations[b"a"]) == 2
    await second
    assert server.subscribed() == ["a"]


async def test_channel_removed_while_reconnecting_stays_removed(
    server, start_subscriber, eventually
):
    subscriber, heard = await start_subscriber()
    for number in range(20):
        name = f"channel-{number}"
        await subscriber.subscribe(name)
        server.client.client_kill_filter(_type="pubsub")
        for _ in range(number):
            await asyncio.sleep(0)
        subscriber.unsubscribe(name)
        await eventually(lambda number=number: heard.connected == number + 2)
        await eventually(lambda: server.subscribed() == [])


async def test_subscribing_on_a_lost_connection_fails(server, start_subscriber, eventually):
    subscriber, heard = await start_subscriber(channels=["a"])
    await subscriber._subscriptions.connection.disconnect(nowait=True)

    with pytest.raises(RedisError, match="cannot be reached"):
        await subscriber.subscribe("b")
    await eventually(lambda: heard.connected == 2)
    await eventually(lambda: len(server.subscribers()) == 1)
    assert server.subscribed() == ["a", "b"]


async def test_refused_channel_fails_who_asked_for_it(server, start_subscriber, eventually):
    subscriber, heard = await start_subscriber()
    server.client.execute_command("ACL", "SETUSER", "default", "resetchannels")

    with pytest.raises(RedisError, match="the connection was lost"):
        await subscriber.subscribe("a")
    [error] = heard.errors
    assert isinstance(error, NoPermissionError)
    server.client.execute_command("ACL", "SETUSER", "default", "allchannels")
    await eventually(lambda: server.subscribed() == ["a"])
