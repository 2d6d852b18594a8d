"""What an event that comes through Redis costs a subscriber.

Subscribers are stopped, the events published, and the subscribers let go: so what is measured is
how fast they take in what waits, not how fast somebody publishes. The floor beside them is the
parser alone, on the same bytes.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import hiredis

# the scripts are run without a client around them, which would be slower than what is measured
from fastapi_sse_channels._manager import engine_of
from fastapi_sse_channels.brokers.redis._names import Names
from fastapi_sse_channels.brokers.redis._scripts import PUBLISH, publish_call

from .load import LoadClient, check
from .peers import CACHE
from .processes import SERVER_CPU, BenchmarkError, Cpu, Pinned
from .results import FLOOR
from .servers.events import TEXT
from .servers.ours import OrderUpdated, orders
from .store import packed, redis_server, redis_url
from .workloads import Run

_STREAMS = 16
_PIPELINE = 500
_engine = engine_of(orders)
_names = Names("sse")


def through_redis(run: Run) -> None:
    """Events of channels without a stream on the node, then of channels with one."""
    # each stream gets as many as the others
    events = run.scale.redis_events - run.scale.redis_events % _STREAMS
    # "0" has the one stream that shows when all were taken in
    elsewhere = [f"elsewhere-{number}" for number in range(_STREAMS)]
    followed = [str(number) for number in range(_STREAMS)]
    for nodes in run.scale.nodes:
        with redis_server() as (redis, port):

            def floor(redis: Pinned = redis, port: int = port, nodes: int = nodes) -> _Figures:
                with _floors(port, nodes) as floors:
                    messages = _messages(elsewhere, events)
                    return _taken_in(redis, port, floors, messages, lambda: _heard(floors, events))

            def unfollowed(redis: Pinned = redis, port: int = port, nodes: int = nodes) -> _Figures:
                with _nodes(run, port, nodes, channels=1) as (servers, loads):
                    _begin(loads, 1)
                    messages = _messages(elsewhere, events)
                    return _taken_in(redis, port, servers, messages, lambda: _delivered(loads))

            def streamed(redis: Pinned = redis, port: int = port, nodes: int = nodes) -> _Figures:
                with _nodes(run, port, nodes, channels=_STREAMS) as (servers, loads):
                    _begin(loads, events)
                    messages = _messages(followed, events, has_end=False)
                    return _taken_in(redis, port, servers, messages, lambda: _delivered(loads))

            if "redis" in run.selected:
                run.row("redis", nodes, floor, server=FLOOR)
                run.row("redis", nodes, unfollowed)
            if "redis-streams" in run.selected:
                run.row("redis-streams", nodes, streamed)


_Figures = dict[str, float]


def _taken_in(
    redis: Pinned,
    port: int,
    subscribers: Sequence[Pinned],
    messages: Sequence[bytes],
    wait: Callable[[], None],
) -> _Figures:
    redis_began = redis.cpu()
    for subscriber in subscribers:
        subscriber.signal(signal.SIGSTOP)
    _publish(port, messages)
    began, began_at = _cpu(subscribers), time.monotonic()
    for subscriber in subscribers:
        subscriber.signal(signal.SIGCONT)
    wait()
    seconds = time.monotonic() - began_at
    cpu = _cpu(subscribers).since(began)
    taken = len(messages) * len(subscribers)
    return {
        "cpu_us": cpu.total / taken * 1e6,
        "user_us": cpu.user / taken * 1e6,
        "events_per_s": taken / seconds,
        "server_busy": cpu.total / seconds,
        "redis_us": redis.cpu().since(redis_began).total / len(messages) * 1e6,
        "events": len(messages),
    }


def _messages(channels: Sequence[str], events: int, *, has_end: bool = True) -> list[bytes]:
    named = [(channels[seq % len(channels)], seq) for seq in range(events - has_end)]
    if has_end:
        named.append(("0", events - 1))
    return list(_packed(named))


def _packed(named: Iterable[tuple[str, int]]) -> Iterator[bytes]:
    for channel, seq in named:
        body = _engine.encoder.body(OrderUpdated(ts=time.monotonic_ns(), seq=seq, text=TEXT))
        key = _engine.keys.key(channel)
        keys, arguments = publish_call(_names, key, body, _engine.retention)
        yield packed("EVALSHA", PUBLISH.sha1, len(keys), *keys, *arguments)


def _publish(port: int, messages: Sequence[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        reader = hiredis.Reader()
        connection.sendall(packed("SCRIPT", "LOAD", PUBLISH.text))
        _read_replies(connection, reader, 1)
        for start in range(0, len(messages), _PIPELINE):
            batch = messages[start : start + _PIPELINE]
            connection.sendall(b"".join(batch))
            _read_replies(connection, reader, len(batch))


def _read_replies(connection: socket.socket, reader: hiredis.Reader, count: int) -> None:
    while count:
        reply = reader.gets()
        if reply is False:
            reader.feed(connection.recv(1 << 16))
        elif isinstance(reply, Exception):
            raise BenchmarkError(f"Redis: {reply}")
        else:
            count -= 1


def _cpu(subscribers: Sequence[Pinned]) -> Cpu:
    used = [subscriber.cpu() for subscriber in subscribers]
    return Cpu(sum(cpu.total for cpu in used), sum(cpu.user for cpu in used))


@contextmanager
def _nodes(
    run: Run, port: int, count: int, *, channels: int
) -> Iterator[tuple[list[Pinned], list[LoadClient]]]:
    with ExitStack() as stack:
        servers: list[Pinned] = []
        loads = []
        for _ in range(count):
            environment = {"BENCHMARK_BROKER": redis_url(port)}
            server = stack.enter_context(run.server(environment))
            load = stack.enter_context(run.load(server, channels=channels))
            load.connect(channels)
            servers.append(server)
            loads.append(load)
        yield servers, loads


def _begin(loads: Iterable[LoadClient], total: int) -> None:
    for load in loads:
        load.begin(f"expect {total}")


def _delivered(loads: Iterable[LoadClient]) -> None:
    for answer in [load.answer() for load in loads]:
        check(answer)


@contextmanager
def _floors(port: int, count: int) -> Iterator[list[Pinned]]:
    end = _names.channel(_engine.keys.key("0"))
    command = [sys.executable, "-m", "benchmarks.servers.redis_floor"]
    with ExitStack() as stack:
        floors = []
        for _ in range(count):
            floor = Pinned(
                [*command, str(port), _names.pattern, end],
                cpu=SERVER_CPU,
                log=CACHE / "redis-floor.log",
                is_piped=True,
            )
            stack.enter_context(floor)
            floor.read_line()
            floors.append(floor)
        yield floors


def _heard(floors: Iterable[Pinned], events: int) -> None:
    for floor in floors:
        heard = int(floor.read_line())
        if heard != events:
            raise BenchmarkError(f"the parser heard {heard} events instead of {events}")
