"""What others write under the names of this library: the log says it once."""

from __future__ import annotations

from fastapi_sse_channels.brokers.redis._names import Names

NAMES = Names("sse")
KEY = "note:1:events"
CHANNEL, LOG = NAMES.channel(KEY), NAMES.log(KEY)


async def test_each_kind_is_logged_once(start_broker, follow, server, caplog):
    channel = await follow(await start_broker(), KEY)
    await channel.publish(1)
    server.client.xadd(LOG, {"d": "x"}, id="1-1")
    await channel.publish(2)
    for _ in range(3):
        server.client.publish(CHANNEL, b"x")
        channel.leave()
        channel = await follow(channel.broker, KEY)
        await channel.shows(1, 2)
        server.client.publish(CHANNEL, b"x")
    await channel.publish(3)
    await channel.shows(1, 2, 3)

    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert sorted(error.split(" is ")[1].split()[0] for error in errors) == [
        "published",
        "stored",
    ]
