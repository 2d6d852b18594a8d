"""What a started broker runs in one process: the subscription, its repair, and the probe."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, Literal

from redis.exceptions import (
    AuthenticationError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ..._log import Log, Retention
from ..._position import Position, start_of
from ..._wire import event_body
from ._continuity import append_next, continues, has_reached, read_log
from ._counts import SessionCounts
from ._envelope import Look, NotOursError, Stored, parse_look, parse_message
from ._explain import UNAVAILABLE, is_foreign, lacks_rights
from ._link import Link
from ._reader import PLAIN, SHARDED
from ._scripts import HISTORY, PUBLISH, history_call, parse_position, publish_call, run_script
from ._tasks import TimeLimit, end

if TYPE_CHECKING:
    from ._connect import Connector
    from ._names import Names

Follow = Literal["pattern", "channel"]

logger = logging.getLogger("fastapi_sse_channels")

# an offset that no log reaches: asks for the position alone
_NO_ENTRIES = 2**53 - 1

# seconds in which a message that was just published arrives
_ON_ITS_WAY = 0.5
_SYNC_RETRY = 0.1
_TOPOLOGY_INTERVAL = 0.25
_SYNCS_AT_ONCE = 32
# messages that wait for one look; it takes milliseconds
_MOST_ARRIVED = 1024
_LEASE_INTERVALS = 3

_LET_GO = "the channel is no longer followed"

_REHEARSAL = event_body(b"{}")
_FORGOTTEN_SOON = Retention(1, 1, 1.0)


class Followed:
    """One followed channel; `channel` is its name in pub/sub.

    Messages that come while the store is being read wait in `arrived`, which otherwise is `None`.
    Those who ask for the store's state wait for the next look, as one under way may be older.
    """

    __slots__ = (
        "_asked_next",
        "_asked_now",
        "arrived",
        "channel",
        "is_outdated",
        "key",
        "log",
        "notify",
        "retention",
        "shard",
        "syncing",
    )

    def __init__(
        self,
        key: str,
        retention: Retention,
        notify: Callable[[], bool | None],
        *,
        channel: str,
        shard: str,
    ) -> None:
        """Follow nothing yet."""
        self.shard = shard
        self.key = key
        self.channel = channel
        self.retention = retention
        self.notify = notify
        self.log = Log(retention, start_of("none"))
        self.arrived: deque[Stored] | None = deque()
        self.is_outdated = False
        self.syncing: asyncio.Task[None] | None = None
        self._asked_next: tuple[asyncio.Future[None], ...] = ()
        self._asked_now: tuple[asyncio.Future[None], ...] = ()

    def begin_look(self) -> None:
        """Take note that the store is asked now."""
        # they were stored before this look, which therefore has them, or the next one
        self.arrived = deque()
        self.is_outdated = False
        self._ask()

    def next_look(self) -> asyncio.Future[None]:
        """Return what is done once the log holds what a look that begins from now on found."""
        if not self._asked_next:
            self._asked_next = (asyncio.get_running_loop().create_future(),)
        return self._asked_next[0]

    def end_look(self, error: BaseException | None = None) -> None:
        """Answer those who wait for the looks that were begun."""
        asked, self._asked_now = self._asked_now, ()
        for each in asked:
            if error is None:
                each.set_result(None)
            else:
                each.set_exception(error)
                each.exception()  # may have no one waiting

    def let_go(self) -> None:
        """End what goes on for this channel."""
        if self.syncing is not None:
            self.syncing.cancel()
        self._ask()
        self.end_look(RedisError(_LET_GO))

    def _ask(self) -> None:
        self._asked_now += self._asked_next
        self._asked_next = ()

    def arrive(self, stored: Stored) -> None:
        """Keep what cannot be appended yet; of too many, the rest is read from the store."""
        assert self.arrived is not None
        if len(self.arrived) < _MOST_ARRIVED:
            self.arrived.append(stored)
        else:
            self.is_outdated = True


class Node:
    """One process among those that share a Redis."""

    def __init__(
        self,
        connector: Connector,
        names: Names,
        *,
        follow: Follow,
        command_timeout: float,
        probe_interval: float,
        check_interval: float,
    ) -> None:
        """Connect nothing yet; times in seconds."""
        self.id = secrets.token_hex(8)
        self.loop = asyncio.get_running_loop()
        self._connector = connector
        self._names = names
        self._follow = follow
        self._limited = TimeLimit(command_timeout)
        self._check_interval = check_interval
        self._probe_interval = probe_interval
        self._lease_ms = int(probe_interval * _LEASE_INTERVALS * 1000)
        self._followed: dict[bytes, Followed] = {}
        self._lease_was_kept = True
        self._was_cut_off = False
        self._complaints: set[str] = set()
        self._syncs = asyncio.Semaphore(_SYNCS_AT_ONCE)
        self._checking: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._links: dict[str, Link] = {}
        self._moving: asyncio.Task[None] | None = None
        self.counts = SessionCounts(connector.client, names, self.id)

    @property
    def is_healthy(self) -> bool:
        """Whether the server answers, and events come through."""
        return all(link.is_healthy for link in self._links.values())

    async def start(self, seconds: float) -> None:
        """Connect within `seconds`, or raise one of `UNAVAILABLE`."""
        try:
            async with asyncio.timeout(seconds):
                await self._connector.find_servers()
            for shard in self._connector.shards():
                link = self._links[shard] = self._new_link(shard)
                await link.start(seconds)
            await self._rehearse(seconds)
        except BaseException:
            await self._stop_links()
            await self._connector.close()
            raise
        self.counts.start()
        self._checking = asyncio.create_task(self._check_positions())
        if self._connector.may_move:
            self._watching = asyncio.create_task(self._watch_moves())

    async def _rehearse(self, seconds: float) -> None:
        """Do everything once that will be done later, so that missing rights prevent the start."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self._renew_lease()
                    # every channel's key has colons, so this name is free
                    await self.publish("start", _REHEARSAL, _FORGOTTEN_SOON, self.id)
                    # twice, for the second drops the first
                    await self.publish("start", _REHEARSAL, _FORGOTTEN_SOON, None)
                    client = self._connector.client
                    await self._limited(client.delete(self._names.log("start")))
                    await self._limited(client.hdel(self._names.counts("start"), self.id))
                    await self.counts.total("start")
                except (AuthenticationError, ReadOnlyError):
                    raise
                except ResponseError as error:
                    if lacks_rights(error):
                        raise
                    # full, or unable to save: this may pass, and what is stored can be read
                    logger.warning("Redis takes no events at present: %s", error)
                except (RedisConnectionError, RedisTimeoutError, OSError):
                    # loading, or failing over
                    await asyncio.sleep(_SYNC_RETRY)
                    continue
                return

    async def stop(self) -> None:
        """Disconnect; what is stored stays."""
        for followed in tuple(self._followed.values()):
            self.unfollow(followed.key)
        await end(self._checking)
        await end(self._watching)
        await self.counts.stop()
        await self._stop_links()
        try:
            await self._limited(self._connector.client.delete(self._names.lease(self.id)))
        except UNAVAILABLE:
            logger.debug("leaving Redis failed; the lease will expire", exc_info=True)
        await self._limited.stop()
        try:
            await self._limited(self._connector.close())
        except UNAVAILABLE:
            logger.debug("closing the connections to Redis failed", exc_info=True)

    async def publish(
        self, key: str, body: bytes, retention: Retention, idempotency_key: str | None
    ) -> Position:
        """Run `publish.lua`."""
        verb = "SPUBLISH" if self._connector.is_sharded else "PUBLISH"
        call = publish_call(self._names, key, body, retention, idempotency_key, verb)
        return parse_position(
            await self._limited(run_script(self._connector.client, PUBLISH, *call))
        )

    async def look(self, key: str, since: int, retention: Retention) -> Look:
        """Run `history.lua`."""
        call = history_call(self._names, key, since, retention)
        return parse_look(await self._limited(run_script(self._connector.client, HISTORY, *call)))

    async def read(self, key: str, retention: Retention) -> Log:
        """Read all that is stored of a channel."""
        return await read_log(retention, lambda since: self.look(key, since, retention))

    async def total_sessions(self, key: str) -> int:
        """Count the sessions of all nodes."""
        return await self._limited(self.counts.total(key))

    async def follow(
        self, key: str, retention: Retention, notify: Callable[[], bool | None]
    ) -> Log:
        """Follow a channel: listen first, then read the past, then merge."""
        channel = self._names.channel(key)
        shard = self._connector.shard_of(channel)
        followed = Followed(key, retention, notify, channel=channel, shard=shard)
        self._followed[channel.encode()] = followed
        try:
            await self._limited(self._listen_to(followed))
            if not await self._catch_up(followed):
                self._sync(followed)
        except BaseException:
            self._let_go(followed)
            raise
        return followed.log

    def unfollow(self, key: str) -> None:
        """Stop following a channel."""
        followed = self._following(key)
        if followed is not None:
            self._let_go(followed)

    async def refresh(self, key: str) -> None:
        """Bring a followed log to the store's state, by the same repair as after a hole."""
        followed = self._following(key)
        if followed is None:
            return
        if self._connector.may_move:
            # who knows more may have got it from the server that took this one's place
            await self._go_along()
            if self._following(key) is not followed:
                raise RedisError(_LET_GO)
        answer = followed.next_look()
        self._sync(followed)
        # shielded: it is also the answer of others
        await self._limited(asyncio.shield(answer))

    def _following(self, key: str) -> Followed | None:
        return self._followed.get(self._names.channel(key).encode())

    def _let_go(self, followed: Followed) -> None:
        followed.let_go()
        name = followed.channel.encode()
        if self._followed.get(name, followed) is not followed:
            # it was let go before, and somebody follows the channel again
            return
        self._followed.pop(name, None)
        link = self._links.get(followed.shard)
        if self._follow == "channel" and link is not None:
            # also if it was let go before: it may have been subscribed since
            link.unsubscribe(followed.channel)

    def on_message(self, channel: bytes, payload: bytes) -> Awaitable[None] | None:
        """See `LinkListener.on_message`."""
        followed = self._followed.get(channel)
        if followed is None:
            return None
        try:
            stored = parse_message(payload)
        except NotOursError as error:
            self._complain("published to", channel, error)
            return None
        if followed.arrived is not None:
            followed.arrive(stored)
        elif not append_next(followed.log, stored):
            self._sync(followed)
        elif followed.notify():
            return _until_shown(followed)
        return None

    def on_link_up(self, link: Link, *, is_first: bool) -> None:
        """See `LinkListener.on_link_up`."""
        if is_first:
            return
        logger.info("Redis is back; reading what was missed")
        self._was_cut_off = True
        for followed in self._followed.values():
            if followed.shard == link.shard:
                self._sync(followed)

    def on_link_down(self, link: Link, error: BaseException) -> None:
        """See `LinkListener.on_link_down`."""
        logger.warning("lost the subscription to Redis, reconnecting: %s", error)
        if link.shard:
            self._look_for_slots()

    async def _listen_to(self, followed: Followed) -> None:
        """Return once what is published from now on is heard."""
        await self._link(followed.shard).is_up.wait()
        await self._subscribe(followed)

    async def _subscribe(self, followed: Followed) -> None:
        if self._follow == "channel":
            await self._link(followed.shard).subscribe(followed.channel)

    def _link(self, shard: str) -> Link:
        link = self._links.get(shard)
        if link is None:
            # redis-py learnt of another server before a link was lost
            link = self._links[shard] = self._new_link(shard)
            link.start_in_background()
            self._look_for_slots()
        return link

    def _new_link(self, shard: str) -> Link:
        return Link(
            shard,
            lambda: self._connector.reader_connection(shard),
            self._send_probe,
            self,
            pattern=self._names.pattern if self._follow == "pattern" else None,
            verbs=SHARDED if self._connector.is_sharded else PLAIN,
            probe_channel=self._probe_channel(shard),
            probe_interval=self._probe_interval,
            on_silence=self._on_silence,
        )

    async def _stop_links(self) -> None:
        await end(self._moving)
        links, self._links = self._links, {}
        for link in links.values():
            await link.stop()

    def _probe_channel(self, shard: str) -> str:
        if shard not in self._connector.shards():
            msg = f"{shard} carries no channels any more"
            raise RedisConnectionError(msg)
        candidates = (self._names.probe(f"{self.id}.{number}") for number in count())
        return next(name for name in candidates if self._connector.shard_of(name) == shard)

    def _look_for_slots(self) -> None:
        if self._moving is None or self._moving.done():
            self._moving = asyncio.create_task(self._follow_moved_slots())

    async def _follow_moved_slots(self) -> None:
        """Listen where a sharded cluster carries the channels now."""
        while not all(link.is_up.is_set() for link in self._links.values()):
            try:
                await self._limited(self._connector.find_servers())
                await self._move_to(frozenset(self._connector.shards()))
            except UNAVAILABLE:
                logger.debug("the cluster cannot say where its slots are", exc_info=True)
            # a failover takes the cluster a while
            await asyncio.sleep(_TOPOLOGY_INTERVAL)

    async def _move_to(self, shards: frozenset[str]) -> None:
        left = {
            shard: self._links.pop(shard)
            for shard, link in tuple(self._links.items())
            # the slot of the probe may move as any other
            if shard not in shards or self._connector.shard_of(link.probe_channel) != shard
        }
        for shard in shards:
            self._link(shard)
        for followed in tuple(self._followed.values()):
            shard = self._connector.shard_of(followed.channel)
            if shard != followed.shard or shard in left:
                if followed.shard in self._links:
                    self._links[followed.shard].unsubscribe(followed.channel)
                followed.shard = shard
                self._sync(followed)
        for link in left.values():
            await link.stop()

    def _sync(self, followed: Followed) -> None:
        """Read what was missed, in the background; callable at any time."""
        if self._followed.get(followed.channel.encode()) is not followed:
            # let go while its position was looked at; nobody would let it go again
            return
        # a look already under way may be older than the cause of this call
        followed.is_outdated = True
        if followed.arrived is None:
            followed.arrived = deque()
            followed.syncing = asyncio.create_task(self._repair(followed))

    async def _repair(self, followed: Followed) -> None:
        while followed.arrived is not None:
            try:
                # before taking a place: a server that is away must not hold up what others serve
                await self._link(followed.shard).is_up.wait()
                async with self._syncs:
                    await self._subscribe(followed)
                    if not await self._catch_up(followed):
                        followed.arrived = deque()
            except (*UNAVAILABLE, NotOursError) as error:
                followed.end_look(error)
                if is_foreign(error):
                    self._complain("stored in", followed.key.encode(), error)
                await asyncio.sleep(_SYNC_RETRY)
            else:
                # in each round, for the next may take long
                followed.notify()

    async def _catch_up(self, followed: Followed) -> bool:
        """Bring the log to the store's state, then append what arrived meanwhile.

        Returns:
            Whether the log and the store agree now; otherwise another look is due.
        """
        await self._bring_up(followed)
        followed.end_look()
        agree = True
        while agree and followed.arrived:
            agree = append_next(followed.log, followed.arrived.popleft())
            await _show(followed)
        followed.arrived = None
        return agree and not followed.is_outdated

    async def _bring_up(self, followed: Followed) -> None:
        """Append what the log lacks, or start it over where the store does not continue it."""
        log = followed.log
        while True:
            look = await self._look_at(followed, log.top.offset)
            if not continues(log, look):
                first = look if log.top.offset == 0 else None
                log.become(
                    await read_log(
                        followed.retention, lambda since: self._look_at(followed, since), first
                    )
                )
                return
            now = time.monotonic()
            for stored, age in look.entries:
                log.append(stored.body, stored.position.nonce, now - age)
                await _show(followed)
            log.expire(now)
            if look.is_last:
                return

    async def _look_at(self, followed: Followed, since: int) -> Look:
        followed.begin_look()
        look = await self.look(followed.key, since, followed.retention)
        if look.damage is not None:
            self._complain("stored in", followed.key.encode(), look.damage)
        return look

    async def _watch_moves(self) -> None:
        while True:
            await asyncio.sleep(self._probe_interval / 2)
            await self._go_along()

    async def _go_along(self) -> None:
        """Leave a server that another one has replaced."""
        try:
            has_moved = await self._limited(self._connector.has_moved())
        except UNAVAILABLE:
            # the server may be well all the same
            logger.debug("nobody says which server is the primary", exc_info=True)
        else:
            if has_moved:
                logger.warning("another server has taken the place of the primary; going there")
                for link in self._links.values():
                    link.restart()

    async def _check_positions(self) -> None:
        """Find what was stored without being announced to this node."""
        while True:
            pause = self._check_interval / max(1, len(self._followed))
            for followed in tuple(self._followed.values()):
                await asyncio.sleep(pause)
                if followed.arrived is not None:
                    continue
                try:
                    look = await self.look(followed.key, _NO_ENTRIES, followed.retention)
                except (*UNAVAILABLE, NotOursError):
                    continue
                if look.top != followed.log.top:
                    await asyncio.sleep(_ON_ITS_WAY)
                    if not has_reached(followed.log, look.top):
                        self._sync(followed)
            if not self._followed:
                await asyncio.sleep(self._check_interval)

    async def _send_probe(self, channel: str, token: str) -> None:
        client = self._connector.client
        # writing too: a demoted primary still takes PUBLISH
        await self._renew_lease()
        verb = "SPUBLISH" if self._connector.is_sharded else "PUBLISH"
        await self._limited(client.execute_command(verb, channel, token))

    async def _renew_lease(self) -> None:
        if self._was_cut_off:
            await self._take_another_lease()
        lease = self._names.lease(self.id)
        # unlike SET, this is allowed when memory is full
        is_kept = bool(await self._limited(self._connector.client.pexpire(lease, self._lease_ms)))
        if not is_kept:
            await self._write_lease(self.id)
        if not (is_kept and self._lease_was_kept):
            # flushed, or expired while this process was stopped: the counts may be gone too. And
            # again at the next renewal, for a node that saw no lease may delete them only now.
            self.counts.rewrite()
        self._lease_was_kept = is_kept

    async def _take_another_lease(self) -> None:
        """Disown the counts written so far: a server that lost its last writes has old ones."""
        node = secrets.token_hex(8)
        if await self._write_lease(node):
            self._was_cut_off = False
            self.id = node
            self.counts.rename(node)

    async def _write_lease(self, node: str) -> bool:
        lease = self._names.lease(node)
        try:
            await self._limited(self._connector.client.set(lease, "1", px=self._lease_ms))
        except OutOfMemoryError:
            logger.debug("the lease cannot be written", exc_info=True)
            return False
        return True

    async def _on_silence(self, link: Link) -> None:
        if link.has_been_silent:
            logger.warning("Redis does not answer; streams stay open and go on once it does")
        await self._connector.drop_connections()

    def _complain(self, how: str, where: bytes, what: object) -> None:
        if how not in self._complaints:
            self._complaints.add(how)
            logger.error(
                "something that this library did not write is %s %r (%s); it is skipped, and "
                "more of it will not be logged. Give each application a namespace of its own",
                how,
                where,
                what,
            )


async def _show(followed: Followed) -> None:
    # a channel that is only beginning to be followed has no readers
    if followed.syncing is not None and followed.notify():
        await _until_shown(followed)


async def _until_shown(followed: Followed) -> None:
    """Let the event loop run until readers were shown the log; never waits for a reader."""
    while followed.notify():  # noqa: ASYNC110  # turns of the loop are what is wanted
        await asyncio.sleep(0)
