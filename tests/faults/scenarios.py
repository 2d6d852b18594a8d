"""The faults, and letting them happen."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM

from .outcome import Outcome
from .processes import RedisServer, until, workplace
from .site import ENOUGH, Site
from .traffic import ScriptPublisher
from .verdict import position_of

_KILLS = 20


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong.

    Attributes:
        name: What it is called in the table.
        inject: Does it, and undoes it where that is not up to the library.
        redis_options: Of the server.
        loses_data: Whether the server loses what it acknowledged.
        behind_proxy: Who reaches the server through the proxy: nodes by number, and scripts.
    """

    name: str
    inject: Callable[[Site], Awaitable[None]]
    redis_options: tuple[str, ...] = RedisServer.DURABLE
    loses_data: bool = False
    behind_proxy: frozenset[int | str] = frozenset({1})


async def run(fault: Fault, directory: Path, *, follow: Sequence[str], quota: int) -> Outcome:
    """Let one fault happen.

    Args:
        fault: What goes wrong.
        follow: What each node is told; see `RedisBroker`.
        directory: For the files of the servers.
        quota: Events to be acknowledged at least.
    """
    site = Site(
        directory,
        Outcome(fault.name),
        redis_options=fault.redis_options,
        loses_data=fault.loses_data,
        behind_proxy=fault.behind_proxy,
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

    One node follows a pattern, and the other each channel; the next time it is the other way round.

    Args:
        faults: What goes wrong, in this order.
        report: Told of each outcome when it is there.
        lanes: Faults at a time.
        quota: Events to be acknowledged at least, for each.
    """
    waiting = iter(faults)
    modes = {fault.name: ["channel", "pattern"] for fault in faults}

    async def lane() -> None:
        for fault in waiting:
            follow = modes[fault.name]
            modes[fault.name] = follow[::-1]
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

    # the only one who says so is the server, in its log
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
        # and whatever is being published meanwhile
        await client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    site.healed()


async def _flush(site: Site) -> None:
    await site.redis.client.flushall()
    site.healed()


async def _fail_over_to_lagging_replica(site: Site) -> None:
    wire = await site.add_proxy(site.redis.port)
    replica = await site.add_replica(wire.port)
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
    await replica.client.execute_command("REPLICAOF", "NO", "ONE")
    site.redis = replica
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
    # longer than a publish may take
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


_EVERYBODY: frozenset[int | str] = frozenset({0, 1, "script"})

FAULTS = (
    Fault("restart (SIGTERM)", _restart),
    Fault("kill -9, AOF", _kill),
    Fault("kill -9, no persistence", _kill, redis_options=(), loses_data=True),
    Fault("hang (SIGSTOP)", _hang),
    Fault("black hole", _black_hole),
    Fault("black hole, then reset", _black_hole_then_reset, behind_proxy=_EVERYBODY),
    Fault("output-buffer kick", _kick, redis_options=()),
    Fault("20 times CLIENT KILL", _client_kill),
    Fault("FLUSHALL", _flush, loses_data=True),
    Fault(
        "failover to a lagging replica",
        _fail_over_to_lagging_replica,
        redis_options=(),
        loses_data=True,
        behind_proxy=_EVERYBODY,
    ),
    Fault("slow link", _slow_link, behind_proxy=frozenset({1, "script"})),
    Fault("node kill -9", _kill_node),
    Fault("node SIGTERM", _stop_node),
    Fault("subscription times out", _freeze),
)
