"""Events that were stored without being announced to a process are found."""

from __future__ import annotations

from fastapi_sse_channels.brokers.redis._names import Names

NAMES = Names("sse")
KEY = "note:1:events"
LOG, POSITION = NAMES.log(KEY), NAMES.position(KEY)


async def test_unannounced_event_is_found(start_broker, follow, publish_unheard):
    channel = await follow(await start_broker(check_interval=0.2), KEY)
    publish_unheard(b"1")

    await channel.shows(1)


async def test_unannounced_replacement_is_found(start_broker, follow, server, publish_unheard):
    """A failover to a replica that was behind gives one offset to two events."""
    channel = await follow(await start_broker(check_interval=0.2), KEY)
    await channel.publish(1)
    before = {key: server.client.dump(key) for key in (POSITION, LOG)}
    await channel.publish(2)
    await channel.shows(1, 2)
    for key, value in before.items():
        server.client.restore(key, 0, value, replace=True)
    publish_unheard(b"3")

    await channel.shows(1, 3)


async def test_channel_left_during_a_check_stays_left(
    start_broker, follow, server, publish_unheard, eventually
):
    broker = await start_broker(follow="channel", check_interval=0.2)
    channels = [await follow(broker, f"left:{number}:events") for number in range(3)]
    looks = server.calls("evalsha")
    await eventually(lambda: server.calls("evalsha") > looks)
    for channel in channels:
        channel.leave()
        await channel.publish(1)
    later = await follow(broker, KEY)
    publish_unheard(b"1")
    await later.shows(1)
    later.leave()

    await eventually(lambda: len(server.client.pubsub_channels()) == 1)
    [link] = broker._node._links
    assert list(link._subscriber._subscriptions.wanted) == [link.probe_channel]
