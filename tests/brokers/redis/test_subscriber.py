"""One subscriber's connections: each listens to everything, and none is left behind."""

from __future__ import annotations


async def test_channels_and_patterns_share_a_connection(server, start_subscriber, eventually):
    _, heard = await start_subscriber(patterns=["p*"], channels=["a", "b"])
    for channel in ("p1", "a", "b", "other"):
        server.client.publish(channel, channel)

    assert len(server.subscribers()) == 1
    await eventually(lambda: len(heard.messages) == 3)
    assert heard.messages == [(b"p1", b"p1"), (b"a", b"a"), (b"b", b"b")]


async def test_new_connection_listens_to_everything(server, start_subscriber, eventually):
    subscriber, heard = await start_subscriber(patterns=["p*"])
    await subscriber.subscribe("a")
    for round_number in range(2, 5):
        server.client.client_kill_filter(_type="pubsub")
        await eventually(lambda number=round_number: heard.connected == number)
        assert len(server.subscribers()) == 1
        assert server.client.publish("a", "x") == server.client.publish("p1", "x") == 1
    assert len(heard.errors) == 3


async def test_stopped_subscriber_leaves_no_connection(server, start_subscriber, eventually):
    subscriber, _ = await start_subscriber(patterns=["p*"])
    await subscriber.stop()

    await eventually(lambda: server.subscribers() == [])
