"""Publish, connect, drop, resume, stall, expire, close and restart in any order, against a model.

The model is a number: the initial event says how many notes there were, and every note says which
one it is. So each client knows what has to come next, and sees every hole and every repetition.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, Literal, TypeVar

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pydantic import BaseModel

from fastapi_sse_channels import ChannelManager, MemoryBroker, SSEMiddleware, create_sse_router
from fastapi_sse_channels._manager import engine_of
from tests.conftest import AsgiStream

T = TypeVar("T")

CLIENTS = 3
HISTORY = 4
TTL = 10
WHO = st.integers(0, CLIENTS - 1)


class Note(BaseModel):
    type: Literal["note"] = "note"
    number: int


class State(BaseModel):
    type: Literal["state"] = "state"
    count: int


class Client:
    """Checks what it reads, and may lose the last of that with the connection."""

    def __init__(self) -> None:
        self.known = 0
        self.last_event_id: str | None = None
        # the number of the last id
        self.epoch = 0
        self.begin(AsgiStream(), epoch=0)

    def begin(self, stream: AsgiStream, *, epoch: int) -> None:
        self.stream = stream
        self._epoch_now = epoch
        self.is_held = self.was_held = False
        self.resumed = False
        self._is_opening = True
        self._awaits_state = False
        # the number before the first frame of the stream, and after each frame
        self._past = [(self.known, self.last_event_id, self.epoch)]

    @property
    def is_live(self) -> bool:
        return self.stream.task is not None and not self.stream.task.done()

    def hold(self) -> None:
        self.is_held = self.was_held = True
        self.stream.hold()

    def release(self) -> None:
        self.is_held = False
        self.stream.release()

    def read(self) -> None:
        for frame in self.stream.frames[len(self._past) - 1 :]:
            self._take(frame)
            if "id" in frame:
                self.last_event_id, self.epoch = frame["id"], self._epoch_now
            self._past.append((self.known, self.last_event_id, self.epoch))

    async def leave(self) -> None:
        self.stream.disconnect()
        self.release()
        if self.stream.task is not None:
            await self.stream.task

    def lose(self, frames: int) -> None:
        before = max(0, len(self._past) - 1 - frames)
        self.known, self.last_event_id, self.epoch = self._past[before]

    def _take(self, frame: dict[str, str]) -> None:
        data: Any = json.loads(frame["data"])
        match frame.get("event") or data["type"]:
            case "stream-open":
                self.resumed = data["resumed"]
                self._awaits_state = not self.resumed
            case "stream-reset":
                assert self.was_held or (self._is_opening and not self.resumed)
                self._awaits_state = True
            case "state":
                assert self._awaits_state
                assert data["count"] >= self.known
                self.known, self._awaits_state = data["count"], False
            case "note":
                assert not self._awaits_state
                assert data["number"] == self.known + 1
                self.known = data["number"]
            case "stream-close":
                assert not self._awaits_state
        self._is_opening = frame.get("event") == "stream-open"


class AnyOrder(RuleBasedStateMachine):
    """What the clients of a channel live through."""

    is_handed_off = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.now = self.used_at = 1000.0
        self.stored_at: list[float] = []
        # the channel's possible epoch, and the last epoch that certainly followed another
        self.epoch = self.began_anew = 0
        self.clients = [Client() for _ in range(CLIENTS)]
        self.manager: ChannelManager[Any] = ChannelManager(
            Note | State,
            key_prefix="note",
            broker=MemoryBroker(clock=lambda: self.now),
            history_size=HISTORY,
            history_ttl=TTL,
            slow_after=0.001,
        )

        async def initial_event() -> State:
            return State(count=len(self.stored_at))

        app = FastAPI()
        app.include_router(
            create_sse_router(self.manager, "/{note_id}", initial_event=initial_event)
        )
        self.app: Any = SSEMiddleware(app) if self.is_handed_off else app
        self.run(self.manager.start())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    @rule(count=st.integers(1, HISTORY + 2))
    def publish(self, count: int) -> None:
        async def publish() -> None:
            for _ in range(count):
                self.stored_at.append(self.now)
                await self.manager.publish("1", Note(number=len(self.stored_at)))

        self._use()
        self.run(publish())

    @rule(seconds=st.integers(1, TTL))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule(who=WHO)
    def come(self, who: int) -> None:
        client = self.clients[who]
        if client.is_live:
            return
        self._use()
        missed = self.stored_at[client.known :]
        is_the_same = client.epoch == self.epoch
        is_another = client.epoch < self.began_anew
        has_position = client.last_event_id is not None and not client.last_event_id.endswith("~")
        self._open(client)
        if not has_position or is_another or len(missed) > HISTORY:
            assert not client.resumed
        elif is_the_same and all(self.now < stored_at + TTL for stored_at in missed):
            assert client.resumed

    @rule(who=WHO, lost=st.integers(0, 4))
    def drop(self, who: int, lost: int) -> None:
        client = self.clients[who]
        if client.is_live:
            self._use()
            self.run(client.leave())
            client.read()
            client.lose(lost)

    @rule(who=WHO, lost=st.integers(0, 4), missed=st.integers(0, HISTORY + 1))
    def come_back(self, who: int, lost: int, missed: int) -> None:
        self.drop(who, lost)
        self.publish(missed)
        self.come(who)

    @rule(who=WHO, missed=st.integers(0, HISTORY + 3))
    def lag(self, who: int, missed: int) -> None:
        self.stall(who)
        self.publish(missed)
        self.go_on(who)

    @rule(who=WHO)
    def stall(self, who: int) -> None:
        self.clients[who].hold()

    @rule(who=WHO)
    def go_on(self, who: int) -> None:
        self.clients[who].release()

    @rule()
    def close(self) -> None:
        self.manager.channel("1").close()

    @rule()
    def forget(self) -> None:
        if self.manager.cleanup_if_empty("1"):
            self.epoch += 1
            self.began_anew = self.epoch

    @rule()
    def restart(self) -> None:
        async def restart() -> None:
            await self.manager.stop()
            await self.manager.start()

        self._use()
        for client in self.clients:
            client.release()
        self.run(restart())

    @invariant()
    def everyone_who_reads_knows_everything(self) -> None:
        async def settle() -> None:
            async with asyncio.timeout(5):
                # a client learns of events by reading only, hence the polling
                while not all(map(self._is_up_to_date, self.clients)):  # noqa: ASYNC110
                    await asyncio.sleep(0.001)

        self.run(settle())

    def teardown(self) -> None:
        async def leave() -> None:
            for client in self.clients:
                await client.leave()
            assert not engine_of(self.manager).hub.streams
            assert engine_of(self.manager).hub.feed("note:1:events") is None
            await self.manager.stop()
            assert asyncio.all_tasks() == {asyncio.current_task()}

        self.run(leave())
        self.runner.close()

    def _is_up_to_date(self, client: Client) -> bool:
        client.read()
        return client.is_held or not client.is_live or client.known == len(self.stored_at)

    def _use(self) -> None:
        """Allow for the end of a channel that nobody used for its `history_ttl`."""
        is_followed = any(client.is_live for client in self.clients)
        if not is_followed and self.used_at + TTL <= self.now:
            self.epoch += 1
        self.used_at = self.now

    def _open(self, client: Client) -> None:
        async def open_() -> None:
            stream.task = asyncio.ensure_future(self.app(scope, stream.receive, stream.send))
            await stream.until(lambda: stream.body)
            # publishing hardly waits for a stream that is still opening
            while any(stream.is_guest for stream in engine_of(self.manager).hub.streams):  # noqa: ASYNC110
                await asyncio.sleep(0)

        stream = AsgiStream()
        last_event_id = client.last_event_id
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/1",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"last-event-id", last_event_id.encode())] if last_event_id else [],
        }
        self.run(open_())
        client.begin(stream, epoch=self.epoch)
        client.read()


class AnyOrderHandedOff(AnyOrder):
    is_handed_off = True


@pytest.mark.parametrize(
    "machine", [AnyOrder, AnyOrderHandedOff], ids=["in their requests", "handed off"]
)
def test_no_client_misses_or_repeats_anything(machine: type[AnyOrder]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=50,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
