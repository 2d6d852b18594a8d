"""The faults, and how they happen."""

from __future__ import annotations

import asyncio
import functools
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from .outcome import NOTICED_WITHIN, Outcome
from .processes import RedisServer, until, workplace
from .proxy import Proxy
from .site import CHANNELS, ENOUGH, Loses, Site
from .stores import WAITS_FOR_REPLICA, Cluster, OneServer, Sentinels, Store
from .traffic import ScriptPublisher
from .verdict import position_of

_KILLS = 20
_LAGS = (0.7, 2.0)
_MOVES = 2
_SLOT_MOVES = 3

_DURABLE = functools.partial(OneServer, options=RedisServer.DURABLE)
_SAFER_SENTINELS = functools.partial(Sentinels, options=WAITS_FOR_REPLICA)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: What it is called in the table.
        inject: Causes the fault, and undoes it where the library cannot.
        store: Makes the store.
        loses: Whether the store loses what it acknowledged.
        behind_proxies: For each proxy, who reaches the server through it: nodes by number, and
            scripts.
        follow: Each node's `follow` in turn, for round after round; see `RedisBroker`.
    """

    name: str
    inject: Callable[[Site], Awaitable[None]]
    store: Callable[[Path], Store] = _DURABLE
    loses: Loses = "never"
    behind_proxies: tuple[frozenset[int | str], ...] = (frozenset({1}),)
    follow: tuple[tuple[str, str], ...] = (("channel", "pattern"), ("pattern", "channel"))


async def run(fault: Fault, directory: Path, *, follow: Sequence[str], quota: int) -> Outcome:
    """Let one fault happen.

    Args:
        fault: What goes wrong.
        follow: Each node's `follow`; see `RedisBroker`.
        directory: Holds the files of the servers.
        quota: Events to be acknowledged at least.
    """
    site = Site(
        directory,
        Outcome(fault.name),
        fault.store(directory),
        loses=fault.loses,
        behind_proxies=fault.behind_proxies,
        follow=follow,
    )
    try:
        await site.open()
        await site.publish()
        await fault.inject(site)
        return await site.conclude(quota)
    except Exception:
        site.outcome.complaints.append(traceback.format_exc())
        site.outcome.complaints += [line for node in site.nodes for line in node.complaints()]
        return site.outcome
    finally:
        await site.close()


async def run_all(
    faults: Sequence[Fault],
    report: Callable[[Outcome], None],
    *,
    lanes: int,
    quota: int,
) -> None:
    """Let faults happen, several at a time, since most of a fault is waiting.

    Args:
        faults: What goes wrong, in this order.
        report: Gets each outcome when it is there.
        lanes: Faults at a time.
        quota: Events to be acknowledged at least, for each.
    """
    waiting = iter(faults)
    rounds: Counter[str] = Counter()

    async def lane() -> None:
        for fault in waiting:
            follow = fault.follow[rounds[fault.name] % len(fault.follow)]
            rounds[fault.name] += 1
            with workplace() as directory:
                report(await run(fault, directory, follow=follow, quota=quota))

    await asyncio.gather(*(lane() for _ in range(lanes)))


async def _restart(site: Site) -> None:
    await site.redis.end(SIGTERM)
    await site.publishes_fail()
    await site.redis.start()
    site.healed()


async def _kill(site: Site) -> None:
    await site.redis.end(SIGKILL)
    await site.publishes_fail()
    await site.redis.start()
    site.healed()


async def _hang(site: Site) -> None:
    site.redis.send(SIGSTOP)
    await site.notices(0, 1)
    await site.publishes_fail()
    site.redis.send(SIGCONT)
    site.healed()


async def _black_hole(site: Site) -> None:
    # the one event that is missed is the last: nothing that follows it betrays the gap
    quiet = site.add_client("quiet", 1)
    publisher = ScriptPublisher("quiet", "quiet", site.redis.port, 0)
    site.publishers.append(publisher)
    await until(lambda: quiet.is_listening, "the quiet channel is followed")
    await publisher.publish_next()
    await until(lambda: len(quiet.heard) > 1, "the quiet channel carries events")

    site.proxy.black_hole()
    await site.notices(1)
    await site.publishes_fail(1)
    await publisher.publish_next()
    site.proxy.heal()
    site.healed()


async def _black_hole_then_reset(site: Site) -> None:
    site.proxy.black_hole()
    await site.notices(0, 1)
    await site.publishes_fail()
    await site.proxy.reset()
    site.proxy.heal()
    site.healed()


async def _kick(site: Site) -> None:
    client = site.redis.client
    await client.config_set("client-output-buffer-limit", "pubsub 256kb 128kb 1")
    site.proxy.stall_replies()
    site.add_publisher(ScriptPublisher("bulk", "a", site.redis.port, 0, padding=8192))

    # only the server reports this, in its log
    kicked = "overcoming of output buffer limits"
    await until(
        lambda: kicked in site.redis.log_path.read_text(), "the stalled subscriber is kicked"
    )
    await site.publishers[-1].stop()
    site.proxy.heal()
    site.healed()


async def _client_kill(site: Site) -> None:
    client = site.redis.client

    async def all_listen() -> bool:
        return len(await client.client_list(_type="pubsub")) == len(site.nodes)

    for _ in range(_KILLS):
        await until(all_listen, "both nodes listen")
        await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        # events that are published meanwhile may be lost too
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    site.healed()


async def _flush(site: Site) -> None:
    await site.redis.client.flushall()
    site.healed()


async def _fail_over_to_lagging_replica(site: Site) -> None:
    wire = await site.add_proxy(site.redis.port)
    replica = await site.one_server.add_replica(wire.port)
    # nobody else follows this channel, so a node has to find out from the store alone
    late = site.add_client("late", 0)
    site.add_publisher(ScriptPublisher("late", "late", site.proxy.port, 0))
    await site.heard_more(ENOUGH, [late])
    for channel in site.channels():
        await site.comes_to(replica, channel, 1)
    wire.black_hole()
    await site.heard_more(ENOUGH, site.clients)
    await late.leave()
    await site.redis.end(SIGKILL)

    tops = {c.channel: position_of(c.last_event_id or "").offset for c in site.clients}
    for channel, top in tops.items():
        assert await site.top(replica, channel) < top, "the replica does not lag"
    await site.one_server.promote(replica)
    # the offsets that clients have seen are used again before any node is back
    for channel, top in tops.items():
        early = site.add_publisher(ScriptPublisher(f"early-{channel}", channel, replica.port, 0))
        await site.comes_to(replica, channel, top + ENOUGH)
        await early.stop()
    site.proxy.upstream = replica.port
    await site.proxy.reset()
    site.healed(*(client for client in site.clients if client is not late))
    late.come()


async def _slow_link(site: Site) -> None:
    site.proxy.slow_down(0.2, rate=256 * 1024)
    await site.heard_more(ENOUGH, site.clients)
    # a publish may not take this long
    site.proxy.slow_down(1.2)
    await site.publishes_fail(1, "script")
    site.proxy.heal()
    site.healed()


async def _kill_node(site: Site) -> None:
    await site.look_at(1)
    site.healed()
    await site.nodes[1].end(SIGKILL)
    await _counts_settle(site)


async def _stop_node(site: Site) -> None:
    await site.look_at(1)
    site.healed()
    await site.nodes[1].end(SIGTERM)
    await _counts_settle(site)


async def _counts_settle(site: Site) -> None:
    expected = sum(client.channel == "a" for client in site.clients)

    async def is_right() -> bool:
        return bool(await site.nodes[0].get("/channels/a/sessions") == expected)

    await until(is_right, "the sessions of the node that is gone are no longer counted", 10)


async def _freeze(site: Site) -> None:
    for node in site.nodes:
        await node.post("/freeze")
    site.healed()


async def _move_while_behind(site: Site, fall_behind: Callable[[Proxy], Awaitable[None]]) -> None:
    """Bring clients to a node that does not know yet what they got at the other, and back."""
    for behind, proxy in enumerate(site.proxies):
        ahead = 1 - behind
        await fall_behind(proxy)
        for _ in range(_MOVES):
            await site.bring_movers_to(ahead)
            await site.heard_more(ENOUGH, site.movers)
            await site.bring_movers_to(behind)
        proxy.heal()
        site.healed()
        await site.heard_more(ENOUGH, site.clients)


async def _move_while_subscription_lags(site: Site) -> None:
    async def lag(proxy: Proxy, seconds: float) -> None:
        proxy.slow_down(seconds, spare_commands=True)

    for seconds in _LAGS:
        await _move_while_behind(site, functools.partial(lag, seconds=seconds))


async def _move_while_link_lags(site: Site) -> None:
    async def lag(proxy: Proxy, seconds: float) -> None:
        proxy.slow_down(seconds)

    for seconds in _LAGS:
        await _move_while_behind(site, functools.partial(lag, seconds=seconds))


async def _move_while_refused(site: Site) -> None:
    await _move_while_behind(site, Proxy.refuse)


async def _move_while_in_black_hole(site: Site) -> None:
    async def cut(proxy: Proxy) -> None:
        proxy.black_hole()

    await _move_while_behind(site, cut)


async def _kill_primary(site: Site) -> None:
    primary = await site.store.primary(site.key("a"))
    async with site.moving():
        await primary.end(SIGKILL)
        await site.replicated.replaces(primary)
        site.healed()
        await site.heard_more(ENOUGH, site.clients)
    await site.replicated.take_back(primary)


async def _stop_primary(site: Site) -> None:
    primary = await site.store.primary(site.key("a"))
    async with site.moving():
        primary.send(SIGSTOP)
        # the nodes have to notice the hang first
        site.outcome.heals_within += NOTICED_WITHIN
        await site.replicated.replaces(primary)
        site.healed()
        await site.heard_more(ENOUGH, site.clients)
        primary.send(SIGCONT)
        await site.store.settles()
        await site.heard_more(ENOUGH, site.clients)


async def _fail_over(site: Site) -> None:
    async with site.moving():
        for channel in CHANNELS:
            primary = await site.store.primary(site.key(channel))
            await site.replicated.fail_over(primary)
            await site.store.settles()
            site.healed()
            await site.heard_more(ENOUGH, site.clients)


async def _move_slots(site: Site) -> None:
    cluster = site.store
    assert isinstance(cluster, Cluster)
    async with site.moving():
        for _ in range(_SLOT_MOVES):
            for channel in CHANNELS:
                key = site.key(channel)
                source = await cluster.primary(key)
                target = next(one for one in await cluster.primaries() if one is not source)
                await cluster.move_slot(key, target)
                await site.store.settles()
                site.healed()
                await site.heard_more(ENOUGH, site.clients)


_EVERYBODY: frozenset[int | str] = frozenset({0, 1, "script"})
_EACH: tuple[frozenset[int | str], ...] = (frozenset({0}), frozenset({1}))
# the nodes of a cluster do not hear each other unless they follow alike
_CHANNEL = (("channel", "channel"), ("pattern", "pattern"))
_PATTERN = _CHANNEL[::-1]

FAULTS = (
    Fault("restart (SIGTERM)", _restart),
    Fault("kill -9, AOF", _kill),
    Fault("kill -9, no persistence", _kill, OneServer, loses="always"),
    Fault("hang (SIGSTOP)", _hang),
    Fault("black hole", _black_hole),
    Fault("black hole, then reset", _black_hole_then_reset, behind_proxies=(_EVERYBODY,)),
    Fault("output-buffer kick", _kick, OneServer),
    Fault("20 times CLIENT KILL", _client_kill),
    Fault("FLUSHALL", _flush, loses="always"),
    Fault(
        "failover to a lagging replica",
        _fail_over_to_lagging_replica,
        OneServer,
        loses="always",
        behind_proxies=(_EVERYBODY,),
    ),
    Fault("slow link", _slow_link, behind_proxies=(frozenset({1, "script"}),)),
    Fault("node kill -9", _kill_node),
    Fault("node SIGTERM", _stop_node),
    Fault("subscription times out", _freeze),
    Fault("moves, subscription lags", _move_while_subscription_lags, behind_proxies=_EACH),
    Fault("moves, link lags", _move_while_link_lags, behind_proxies=_EACH),
    Fault("moves, link refused", _move_while_refused, behind_proxies=_EACH),
    Fault("moves, black hole", _move_while_in_black_hole, behind_proxies=_EACH),
    Fault("Cluster: kill -9", _kill_primary, Cluster, "maybe", (), _CHANNEL),
    Fault("Cluster: SIGSTOP, SIGCONT", _stop_primary, Cluster, "maybe", (), _PATTERN),
    Fault("Cluster: planned failover", _fail_over, Cluster, "never", (), _PATTERN),
    Fault("Cluster: slots move", _move_slots, Cluster, "never", (), _CHANNEL),
    Fault("Sentinel: kill -9", _kill_primary, Sentinels, "maybe", ()),
    Fault("Sentinel: SIGSTOP, SIGCONT", _stop_primary, Sentinels, "maybe", ()),
    Fault("Sentinel: planned failover", _fail_over, Sentinels, "maybe", ()),
    Fault("Sentinel, min-replicas: kill -9", _kill_primary, _SAFER_SENTINELS, "maybe", ()),
    Fault("Sentinel, min-replicas: SIGSTOP, SIGCONT", _stop_primary, _SAFER_SENTINELS, "maybe", ()),
    Fault("Sentinel, min-replicas: planned failover", _fail_over, _SAFER_SENTINELS, "maybe", ()),
)
