"""The scripts on a real server: one step, all or nothing."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from fastapi_sse_channels import PublishError
from fastapi_sse_channels._core.log import Retention
from fastapi_sse_channels._core.position import Position
from fastapi_sse_channels._core.wire import event_body
from fastapi_sse_channels._errors import BrokerError
from fastapi_sse_channels.brokers.redis._blocking import BlockingStore
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._scripts import COUNT, HISTORY, history_call

KEY = "note:1:events"
NAMES = Names("sse")
LOG, POSITION, RECEIPT = NAMES.log(KEY), NAMES.position(KEY), NAMES.receipt(KEY, "once")
KEEPING = Retention(256, 1024 * 1024, 300)


@pytest.fixture
async def channel(start_broker, follow, server):
    following = await follow(await start_broker(), KEY)
    server.client.script_flush()
    return following


@pytest.fixture
def heard(server):
    """Everything published to the channel from here on."""
    subscription = server.client.pubsub()
    subscription.subscribe(NAMES.channel(KEY))
    assert subscription.get_message(timeout=5)["type"] == "subscribe"

    def take(count):
        messages = [subscription.get_message(timeout=5) for _ in range(count)]
        assert subscription.get_message(timeout=0.05) is None
        return [message["data"] for message in messages]

    yield take
    subscription.close()


def entries(server):
    return [(entry_id.decode(), fields) for entry_id, fields in server.client.xrange(LOG)]


def stored(server):
    # a lease is renewed all the time
    return {name: server.client.dump(name) for name in server.names() if ":node:" not in name}


class TestPublish:
    async def test_entry_position_and_message_say_the_same(self, channel, server, heard):
        before = server.client.hgetall(POSITION)
        first, second = await channel.publish(1, 2)

        [(_, one), (_, two)] = entries(server)
        assert [entry_id for entry_id, _ in entries(server)] == ["1-0", "2-0"]
        assert (one[b"n"].decode(), two[b"n"].decode()) == (first.nonce, second.nonce)
        assert (one[b"p"], two[b"p"]) == (before[b"n"], one[b"n"])
        assert {first.epoch, second.epoch} == {before[b"e"].decode()}
        assert server.client.hgetall(POSITION) == {
            b"e": second.epoch.encode(),
            b"s": b"2",
            b"n": second.nonce.encode(),
            b"z": b"18",
        }
        assert heard(2) == [
            f"sse1 {first.epoch} 1 {first.nonce} {before[b'n'].decode()}\ndata: 1\n\n".encode(),
            f"sse1 {first.epoch} 2 {second.nonce} {first.nonce}\ndata: 2\n\n".encode(),
        ]

    async def test_shortened_history_is_dropped_in_few_steps(self, channel, server):
        """Each step holds up every other client of the server."""
        pipeline = server.client.pipeline()
        for number in range(2, 2002):
            fields = {"d": "data: 1\n\n", "n": f"n{number}", "p": f"n{number - 1}", "t": "1"}
            pipeline.xadd(LOG, fields, id=f"{number}-0")
        pipeline.hset(POSITION, mapping={"s": 2001, "n": "n2001", "z": 2000 * 9})
        pipeline.execute()
        server.client.config_resetstat()

        await channel.broker.publish(KEY, event_body(b"1"), Retention(10, 1024 * 1024, 300))

        assert [entry_id for entry_id, _ in entries(server)] == [
            f"{number}-0" for number in range(1993, 2003)
        ]
        assert server.client.hget(POSITION, "z") == b"90"
        assert server.client.info("commandstats")["cmdstat_xrange"]["calls"] < 20

    async def test_idempotent_publish_happens_once(self, channel, server, heard):
        positions = await channel.publish(1, 2, 3, idempotency_key="once")

        assert len(set(positions)) == 1
        assert len(entries(server)) == 1
        assert len(heard(1)) == 1

    async def test_idempotency_ends_with_its_receipt(self, channel, server, eventually):
        await channel.publish(1, idempotency_key="once")
        server.client.delete(RECEIPT)
        await channel.publish(2, idempotency_key="once")

        await eventually(lambda: channel.numbers() == [1, 2])

    @pytest.mark.parametrize(("size", "kept"), [(1, 1), (3, 3), (100, 10)])
    async def test_count_is_trimmed_exactly(self, channel, server, size, kept):
        channel.retention = Retention(size, 1_000_000, 300)
        await channel.publish(*range(10))

        assert server.client.xlen(LOG) == kept
        assert int(server.client.hget(POSITION, "z")) == kept * len(event_body(b"0"))

    @pytest.mark.parametrize(("max_bytes", "kept"), [(1, 1), (26, 2), (27, 3), (35, 3), (36, 4)])
    async def test_bytes_are_trimmed_exactly(self, channel, server, max_bytes, kept):
        """A body is nine bytes long."""
        channel.retention = Retention(100, max_bytes, 300)
        await channel.publish(*range(10))

        assert server.client.xlen(LOG) == kept
        assert [fields[b"d"] for _, fields in entries(server)] == [
            event_body(b"%d" % number) for number in range(10 - kept, 10)
        ]

    async def test_smaller_retention_trims_at_the_next_publish(self, channel, server):
        await channel.publish(*range(10))
        channel.retention = Retention(2, 1_000_000, 300)
        await channel.publish(9)

        assert server.client.xlen(LOG) == 2

    async def test_every_key_expires(self, channel, server):
        await channel.publish(1, idempotency_key="once")

        days, ms = 24 * 3600, {key: server.client.pttl(key) for key in server.names()}
        assert all(left > 0 for left in ms.values()), ms
        assert 280 < ms[LOG] / 1000 <= 300
        assert 280 < ms[RECEIPT] / 1000 <= 300
        assert 29 * days < ms[POSITION] / 1000 <= 30 * days

    async def test_position_outlives_even_a_long_history(self, channel, server):
        channel.retention = Retention(10, 1_000_000, float("inf"))
        await channel.publish(1)

        assert 0 < server.client.ttl(LOG) <= server.client.ttl(POSITION) + 1

    async def test_script_that_the_server_forgot_is_sent_again(self, channel, server, eventually):
        await channel.publish(1)
        server.client.script_flush()
        await channel.publish(2)

        await eventually(lambda: channel.numbers() == [1, 2])

    async def test_script_is_sent_once(self, channel, server):
        server.client.config_resetstat()
        await channel.publish(*range(20))

        assert server.calls("eval") == 1


class TestNothingHalfDone:
    """A publish that fails leaves everything as it was."""

    async def failing(self, channel, server, heard, match, *, spoil, key=None):
        await channel.publish(1)
        heard(1)
        spoil(server.client)
        before = stored(server)

        with pytest.raises(PublishError, match=match):
            await channel.publish(2, idempotency_key=key)

        after = stored(server)
        assert after == before
        assert heard(0) == []

    async def test_when_the_server_is_full(self, channel, server, heard, eventually):
        await self.failing(
            channel,
            server,
            heard,
            r"is full \(.*\); raise maxmemory",
            spoil=lambda client: client.config_set("maxmemory", 1),
            key="once",
        )
        server.client.config_set("maxmemory", 0)
        await channel.publish(3, idempotency_key="once")

        await eventually(lambda: channel.numbers() == [1, 3])

    async def test_when_the_server_is_full_and_the_channel_is_new(self, channel, server):
        server.client.config_set("maxmemory", 1)

        with pytest.raises(PublishError, match="is full"):
            await channel.broker.publish("note:2:events", event_body(b"1"), KEEPING)
        with pytest.raises(BrokerError, match="is full"):
            await channel.broker.subscribe("note:3:events", KEEPING, lambda: None)
        server.client.config_set("maxmemory", 0)

        assert not [key for key in server.names() if "note:2" in key or "note:3" in key]

    async def test_when_the_position_has_another_type(self, channel, server, heard):
        def spoil(client):
            client.delete(POSITION)
            client.set(POSITION, "mine")

        await self.failing(channel, server, heard, "namespace of its own", spoil=spoil)

    async def test_when_the_log_has_another_type(self, channel, server, heard):
        def spoil(client):
            client.delete(LOG)
            client.set(LOG, "mine")

        await self.failing(channel, server, heard, "namespace of its own", spoil=spoil)

    async def test_when_the_receipt_has_another_type(self, channel, server, heard):
        await self.failing(
            channel,
            server,
            heard,
            "namespace of its own",
            spoil=lambda client: client.set(RECEIPT, "mine"),
            key="once",
        )

    @pytest.mark.usefixtures("since_redis_7")
    async def test_when_the_user_may_not_publish_to_the_channel(
        self, server, start_broker, follow, heard
    ):
        def grant(*rules):
            server.client.execute_command("ACL", "SETUSER", "app", "on", ">secret", *rules)

        grant(*NAMES.rights.split())
        url = server.url.replace("//", "//app:secret@")
        channel = await follow(await start_broker(url), KEY)

        await self.failing(
            channel,
            server,
            heard,
            r"lacks rights \(.* sse:ev:{note:1:events}\); grant the user `~sse:\* resetchannels",
            spoil=lambda _client: grant("resetchannels", "&sse:probe:*"),
        )

    async def test_when_the_server_became_a_replica(self, channel, server, heard):
        await self.failing(
            channel,
            server,
            heard,
            "is a replica, or was demoted",
            spoil=lambda client: client.replicaof("127.0.0.1", 1),
        )


@pytest.mark.usefixtures("since_redis_7")
class TestRightsTakenAway:
    """An administrator's slip costs errors, and nothing else."""

    # each leaves out one thing that the scripts need
    RULES = (
        *(
            f"-{command}"
            for command in (
                *("evalsha", "hmget", "time", "xlen", "xrange", "xadd"),
                *("hset", "pexpire", "hdel", "del", "publish"),
            )
        ),
        *(
            f"resetkeys {' '.join(f'~sse:{kind}:*' for kind in kept)} %R~sse:*"
            for kept in (("pos", "log"), ("pos", "rcpt"), ("log", "rcpt"))
        ),
        "resetchannels",
    )

    @pytest.fixture
    def grant(self, server):
        def grant(*rules):
            rights = ("reset", "on", ">secret", *NAMES.rights.split(), *rules)
            server.client.execute_command("ACL", "SETUSER", "app", *rights)

        return grant

    @pytest.fixture
    def app_url(self, server, grant):
        """Names a user that has every right at first."""
        grant()
        return server.url.replace("//", "//app:secret@")

    @pytest.fixture
    def as_app(self, app_url):
        client = Redis.from_url(app_url)
        yield client
        client.close()

    @pytest.fixture
    def publish(self, app_url):
        store = BlockingStore(app_url, namespace="sse", seconds=2)

        def publish(number, **options):
            options = {"key": KEY, "retention": KEEPING, "idempotency_key": None, **options}
            return store.publish(body=event_body(b"%d" % number), **options)

        yield publish
        store.close()

    async def test_repeats_of_a_refused_publish_store_it_once(
        self, start_broker, follow, stored_log, publish, grant
    ):
        retention = Retention(3, 1024 * 1024, 300)
        broker = await start_broker()
        for at, rule in enumerate(self.RULES):
            key = f"note:{at}:events"
            channel = await follow(broker, key, retention)
            incarnation = channel.log.incarnation
            for number in range(4):
                publish(number, key=key, retention=retention)
            grant(*rule.split())
            answers = set()
            for _ in range(3):
                with contextlib.suppress(PublishError):
                    answers.add(publish(4, key=key, retention=retention, idempotency_key="once"))
            grant()
            answers.add(publish(4, key=key, retention=retention, idempotency_key="once"))
            publish(5, key=key, retention=retention)

            await channel.shows(3, 4, 5)
            assert len(answers) == 1, rule
            assert channel.log.incarnation == incarnation, rule
            kept = await stored_log(key, retention)
            assert [entry.offset for entry in kept.entries] == [4, 5, 6], rule

    @pytest.mark.parametrize("lost", ["position", "log and position", "nothing"])
    def test_refused_publish_changes_nothing(self, server, publish, grant, lost):
        for at, rule in enumerate(self.RULES):
            key = f"note:{at}:events"
            if lost != "log and position":
                publish(1, key=key)
            if lost == "position":
                server.client.delete(NAMES.position(key))
            before = stored(server)
            grant(*rule.split())
            try:
                publish(2, key=key, idempotency_key="once")
            except PublishError:
                assert stored(server) == before, rule
            grant()

    @pytest.mark.parametrize("rule", ["-hset", "-pexpire", "-del"])
    async def test_refused_start_of_a_channel_changes_nothing(
        self, server, publish, grant, as_app, rule
    ):
        publish(1)
        server.client.delete(POSITION)
        before = stored(server)
        grant(rule)
        keys, arguments = history_call(NAMES, KEY, 0, KEEPING)

        with pytest.raises(ResponseError, match=r"may not|can't run|no permissions to run"):
            as_app.eval(HISTORY.text, len(keys), *keys, *arguments)

        assert stored(server) == before

    @pytest.mark.parametrize("rule", ["-hset", "-pexpire", "-hdel"])
    def test_refused_count_leaves_no_key(self, server, grant, as_app, rule):
        grant(rule)

        with pytest.raises(ResponseError, match=r"may not|can't run|no permissions to run"):
            as_app.eval(COUNT.text, 1, NAMES.counts(KEY), "node", 1, 1000, "former")

        assert stored(server) == {}


class TestLostKeys:
    async def test_lost_position_begins_a_new_epoch_without_the_old_entries(
        self, channel, server, stored_log
    ):
        [old, _] = await channel.publish(1, 2)
        server.client.delete(POSITION)
        [new] = await channel.publish(3)

        assert (new.offset, new.epoch != old.epoch) == (1, True)
        assert [fields[b"d"] for _, fields in entries(server)] == [event_body(b"3")]
        assert (await stored_log()).gap(old) == "epoch"

    async def test_lost_log_goes_on_in_the_same_epoch(
        self, channel, server, stored_log, eventually
    ):
        old, top = await channel.publish(1, 2)
        server.client.delete(LOG)
        log = await stored_log()
        assert (len(log), log.gap(old), log.gap(top)) == (0, "expired", None)
        [new] = await channel.publish(3)

        assert (await stored_log()).gap(top) is None
        assert new == top._replace(offset=3, nonce=new.nonce)
        assert int(server.client.hget(POSITION, "z")) == len(event_body(b"3"))
        # whoever followed all along missed nothing
        await eventually(lambda: channel.numbers() == [1, 2, 3])

    async def test_everything_flushed_begins_a_new_epoch(self, channel, server, eventually):
        [old] = await channel.publish(1)
        incarnation = channel.log.incarnation
        server.client.flushall()
        [new] = await channel.publish(2)

        assert (new.offset, new.epoch != old.epoch) == (1, True)
        await eventually(lambda: channel.log.top == new)
        assert channel.numbers() == [2]
        assert channel.log.incarnation == incarnation + 1

    async def test_log_ahead_of_its_position_begins_a_new_epoch(self, channel, server):
        [old] = await channel.publish(1)
        server.client.xadd(LOG, {"d": "restored from elsewhere"}, id="9-0")
        [new] = await channel.publish(2)

        assert (new.offset, new.epoch != old.epoch) == (1, True)
        assert len(entries(server)) == 1

    @pytest.mark.parametrize(
        "fields",
        [{"e": "a\nid: 1"}, {"e": ""}, {"s": "x"}, {"s": "-1"}, {"s": "1.5"}, {"n": "\u2028"}],
        ids=str,
    )
    async def test_damaged_position_begins_a_new_epoch(self, channel, server, stored_log, fields):
        [old] = await channel.publish(1)
        server.client.hset(POSITION, mapping=fields)

        log = await stored_log()
        start = log.top
        assert (len(log), start.offset) == (0, 0)
        [new] = await channel.publish(2)

        assert (new.offset, new.epoch) == (1, start.epoch)
        assert new.epoch != old.epoch


class TestStarts:
    async def test_channel_that_began_at_a_start_named_0_goes_on(
        self, server, start_broker, follow, stored_log
    ):
        """Channels of earlier versions began there."""
        start = Position("Epoch0123456", 0, "0")
        server.client.hset(POSITION, mapping={"e": start.epoch, "s": 0, "n": "0", "z": 0})
        channel = await follow(await start_broker(), KEY)
        incarnation = channel.log.incarnation

        await channel.publish(1, 2)

        await channel.shows(1, 2)
        assert channel.log.incarnation == incarnation
        assert (await stored_log()).gap(start) is None

    @pytest.mark.parametrize("lost", [[POSITION], [POSITION, LOG]], ids=len)
    async def test_start_after_a_loss_cannot_be_guessed(self, channel, server, stored_log, lost):
        await channel.publish(1)
        server.client.delete(*lost)
        [new] = await channel.publish(2)

        assert (await stored_log()).gap(Position(new.epoch, 0, "0")) == "epoch"


class TestHistory:
    async def test_made_up_channel_expires_within_the_hour(self, server, stored_log):
        await stored_log("note:2:events")

        assert 3500 < server.client.pttl(NAMES.position("note:2:events")) / 1000 <= 3600

    async def test_what_others_added_after_the_top_is_left_out(self, channel, server, stored_log):
        positions = await channel.publish(1, 2)
        for fields in ({"d": "data: forged\n\n"}, {"\xff": "\0"}, {"d": "x" * 10_000_000}):
            server.client.xadd(LOG, fields)

        log = await stored_log()

        assert [log.position(entry.offset) for entry in log.entries] == positions


async def test_offsets_of_several_processes_are_contiguous(start_broker, follow, server):
    brokers = [await start_broker() for _ in range(4)]
    channels = [await follow(broker, KEY) for broker in brokers]

    published = await asyncio.gather(
        *(channel.publish(*range(at * 25, at * 25 + 25)) for at, channel in enumerate(channels))
    )

    positions = sorted((p for each in published for p in each), key=lambda p: p.offset)
    assert [position.offset for position in positions] == list(range(1, 101))
    stored = entries(server)
    assert [fields[b"p"].decode() for _, fields in stored[1:]] == [
        position.nonce for position in positions[:-1]
    ]
    assert Redis.from_url(server.url).xlen(LOG) == 100


async def test_made_up_channels_leave_keys_that_expire(start_broker, follow, server):
    broker = await start_broker()

    async def visit(number):
        channel = await follow(broker, f"note:{number}:events")
        broker.report_sessions(channel.key, 1)
        if number % 10 == 0:
            await channel.publish(1, idempotency_key="once")
        await broker.total_sessions(channel.key)
        broker.report_sessions(channel.key, 0)
        channel.leave()

    for start in range(0, 1000, 50):
        await asyncio.gather(*(visit(start + at) for at in range(50)))
    await broker.stop()
    await broker.start()

    names = server.names()
    assert len([name for name in names if ":pos:" in name]) >= 1000
    assert [name for name in names if server.client.pttl(name) <= 0] == []
    made_up = [name for name in names if ":pos:" in name and not name.endswith("0:events}")]
    assert all(server.client.ttl(name) <= 3600 for name in made_up if "start" not in name)
