"""The served client, and the browser's own EventSource, in Chromium against real nodes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Page


@dataclass
class Listener:
    """One listener of a page, as `listen` of the test page opened it."""

    page: Page
    number: int

    async def read(self, expression: str) -> Any:
        """Evaluate an expression of the listener's `log`."""
        return await self.page.evaluate(self._function(expression))

    async def until(self, expression: str) -> None:
        # windows in the background have no animation frames, hence the interval
        await self.page.wait_for_function(self._function(expression), polling=20)

    def _function(self, expression: str) -> str:
        return f"() => {{ const log = logs[{self.number}]; return {expression} }}"

    async def until_number(self, number: int) -> list[int]:
        """Wait for an event, and return all events so far."""
        await self.until(f"log.numbers.includes({number})")
        return list(await self.read("log.numbers"))


ListenFunction = Callable[..., Awaitable[Listener]]


@pytest.fixture
def listen() -> ListenFunction:
    """Listen in a page, and wait until the stream is open."""

    async def listen_(page: Page, path: str, *arguments: str, function: str = "listen") -> Listener:
        call = f"{function}({', '.join([repr(path), *arguments])})"
        listener = Listener(page, await page.evaluate(call))
        if function == "listen":
            await listener.until("log.connection.status.state == 'open'")
        else:
            await listener.until("log.opened == 1")
        return listener

    return listen_


@dataclass
class Talker:
    """Says ascending numbers in a room, by way of one node."""

    url: str
    room: str
    next_number: int = 0
    ids: list[str] = field(default_factory=list)

    async def say(self, times: int = 1, text: str = "") -> int:
        """Return the last number said."""
        async with httpx2.AsyncClient() as http:
            for _ in range(times):
                said = {"number": self.next_number, "text": text}
                response = await http.post(f"{self.url}{self.room}", json=said)
                self.ids.append(response.raise_for_status().json())
                self.next_number += 1
        return self.next_number - 1

    @contextlib.asynccontextmanager
    async def talking(self) -> AsyncIterator[None]:
        """Say one number after another in the background."""
        silent = asyncio.Event()

        async def talk() -> None:
            while not silent.is_set():
                await self.say()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(silent.wait(), 0.02)

        task = asyncio.create_task(talk())
        try:
            yield
        finally:
            silent.set()
            await task


@dataclass
class Proxy:
    """Forwards TCP connections, until it stalls: then the open ones stay open, and silent."""

    target: int
    port: int = 0
    _flowing: list[asyncio.Event] = field(default_factory=list)

    def stall(self) -> None:
        for flowing in self._flowing:
            flowing.clear()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flowing = asyncio.Event()
        flowing.set()
        self._flowing.append(flowing)
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.target)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    await flowing.wait()
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass  # once one side is gone, the other is closed too
            finally:
                sink.close()

        await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))


@pytest.fixture
async def proxy_to() -> AsyncIterator[Callable[[int], Awaitable[Proxy]]]:
    async with contextlib.AsyncExitStack() as stack:

        async def start(target: int) -> Proxy:
            proxy = Proxy(target)
            handlers: set[asyncio.Task[None]] = set()

            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                handlers.add(task)
                with contextlib.suppress(asyncio.CancelledError):
                    await proxy.handle(reader, writer)
                writer.close()

            async def stop() -> None:
                server.close()
                for task in handlers:
                    task.cancel()
                await asyncio.gather(*handlers, return_exceptions=True)

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            proxy.port = server.sockets[0].getsockname()[1]
            stack.push_async_callback(stop)
            return proxy

        yield start


async def sessions(url: str, room: str) -> int:
    async with httpx2.AsyncClient() as http:
        return int((await http.get(f"{url}{room}/sessions")).json())


@pytest.fixture
def room(new_resource: Callable[[], str]) -> str:
    return f"/rooms/{new_resource()}"


class TestRestart:
    @pytest.mark.parametrize("way", ["terminate", "kill"])
    @pytest.mark.parametrize("function", ["listen", "listenNatively"])
    async def test_page_gets_every_event_once(
        self, *, serve, redis_url, open_page, listen, eventually, room, way, function
    ):
        environment = {"REDIS_URL": redis_url}
        node = serve("rooms:app", env=environment)
        talker = Talker(serve("rooms:app", env=environment).url, room)
        page = await open_page(f"{node.url}/page")
        listener = await listen(page, f"{room}/events", function=function)

        async with talker.talking():
            await listener.until_number(5)
            await asyncio.to_thread(getattr(node, way))
            said_before = talker.next_number
            await eventually(lambda: talker.next_number > said_before + 3)
            await asyncio.to_thread(serve, "rooms:app", port=node.port, env=environment)
            await listener.until(f"log.numbers.length > {talker.next_number + 5}")
        numbers = await listener.until_number(talker.next_number - 1)

        assert numbers == list(range(talker.next_number))
        assert await listener.read("log.ids") == talker.ids
        if function == "listen":
            assert await listener.read("log.resets") == []
            assert await listener.read("log.connection.status") == {
                "state": "open",
                "resumed": True,
            }

    async def test_history_lost_with_the_process_causes_one_reset(
        self, serve, open_page, listen, room
    ):
        node = serve("rooms:app")
        page = await open_page(f"{node.url}/page")
        listener = await listen(page, f"{room}/events")
        talker = Talker(node.url, room)
        await listener.until_number(await talker.say(3))

        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(serve, "rooms:app", port=node.port)
        await listener.until("log.resets.length")
        await listener.until_number(await talker.say())

        assert await listener.read("log.numbers") == [0, 1, 2, 3]
        assert await listener.read("log.resets") == ["epoch"]

    async def test_client_waits_out_the_503_of_a_deploy(
        self, serve, redis_url, open_page, listen, room
    ):
        environment = {"REDIS_URL": redis_url}
        node = serve("rooms:app", env=environment)
        talker = Talker(serve("rooms:app", env=environment).url, room)
        page = await open_page(f"{node.url}/page")
        listener = await listen(page, f"{room}/events")

        async with talker.talking(), httpx2.AsyncClient() as http:
            await listener.until_number(3)
            await http.post(f"{node.url}/drain")
            await listener.until("log.statuses.some(({ reason }) => reason == 'http')")
            await asyncio.to_thread(node.terminate)
            await asyncio.to_thread(serve, "rooms:app", port=node.port, env=environment)
            await listener.until("log.connection.status.state == 'open'")
        numbers = await listener.until_number(talker.next_number - 1)

        reasons = [status.get("reason") for status in await listener.read("log.statuses")]
        assert numbers == list(range(talker.next_number))
        assert await listener.read("log.resets") == []
        assert reasons[reasons.index("close") + 2] == "http"


async def test_stalled_proxy_is_noticed_after_three_ping_intervals(
    serve, open_page, listen, proxy_to, room
):
    ping_interval = 0.4
    node = serve("rooms:app", env={"PING_INTERVAL": str(ping_interval)})
    proxy = await proxy_to(node.port)
    page = await open_page(f"http://127.0.0.1:{proxy.port}/page")
    listener = await listen(page, f"{room}/events")
    talker = Talker(node.url, room)
    await listener.until_number(await talker.say())

    proxy.stall()
    stalled_at = await page.evaluate("performance.now()")
    await talker.say(3)
    await listener.until("log.connection.status.resumed")
    await listener.until_number(await talker.say())

    [noticed] = [s for s in await listener.read("log.statuses") if s.get("reason") == "stall"]
    seconds = (noticed["at"] - stalled_at) / 1000
    assert await listener.read("log.numbers") == list(range(5))
    assert await listener.read("log.resets") == []
    # the last byte came up to one interval before the proxy stalled
    assert 1.9 * ping_interval < seconds < 3 * ping_interval + 2


async def test_page_restored_from_the_back_forward_cache_goes_on_where_it_was(
    serve, open_page, listen, eventually, room
):
    node = serve("rooms:app")
    page = await open_page(f"{node.url}/page")
    listener = await listen(page, f"{room}/events")
    talker = Talker(node.url, room)
    await listener.until_number(await talker.say(3))

    await page.goto(f"{node.url}/elsewhere")

    async def nobody_is_there() -> bool:
        return await sessions(node.url, room) == 0

    await eventually(nobody_is_there)
    await talker.say(3)
    await page.go_back(wait_until="commit")
    await listener.until_number(await talker.say())

    assert await page.evaluate("restored") == 1
    assert await listener.read("log.numbers") == list(range(7))
    assert await listener.read("log.resets") == []


async def test_client_reconnects_as_soon_as_the_network_is_back(
    serve, open_page, listen, profile, room
):
    node = serve("rooms:app")
    page = await open_page(f"{node.url}/page")
    listener = await listen(page, f"{room}/events")
    talker = Talker(node.url, room)
    await listener.until_number(await talker.say())

    # Chromium leaves an open stream alone, as systems often leave a dead socket open
    await profile.set_offline(True)
    await talker.say()
    await profile.set_offline(False)
    await listener.until("log.connection.status.resumed")
    await listener.until_number(await talker.say())

    assert [s["state"] for s in await listener.read("log.statuses")] == [
        "open",
        "connecting",
        "open",
    ]
    assert await listener.read("log.numbers") == [0, 1, 2]
    assert await listener.read("log.resets") == []


@pytest.mark.parametrize("is_other", [False, True], ids=["same origin", "other origin"])
async def test_redirect_takes_headers_to_no_other_origin(serve, open_page, listen, room, is_other):
    node, other = serve("redirects:app"), serve("redirects:app")
    page = await open_page(f"{node.url}/page")
    target = other.url if is_other else node.url

    options = '{ headers: { "X-Api-Key": "KEY", Authorization: "token" } }'
    listener = await listen(page, f"/redirect?to={target}{room}/events", options)
    talker = Talker(target, room)
    await listener.until_number(await talker.say())

    async def visits(url: str, path: str) -> list[list[str | None]]:
        async with httpx2.AsyncClient() as http:
            seen = (await http.get(f"{url}/visits")).json()
        return [headers for name, *headers in seen if name == path]

    assert (await visits(node.url, "/redirect"))[0] == ["KEY", "token"]
    # within its origin, a request without the key has shown where the redirect leads
    expected = [[None, None]] if is_other else [[None, "token"], ["KEY", "token"]]
    assert await visits(target, f"{room}/events") == expected
    assert await listener.read("log.errors") == []


class TestSharing:
    async def test_components_of_a_page_share_one_connection(
        self, serve, open_page, listen, eventually, room
    ):
        node = serve("rooms:app")
        page = await open_page(f"{node.url}/page")
        first = await listen(page, f"{room}/events")
        second = await listen(page, f"{room}/events")
        talker = Talker(node.url, room)
        last = await talker.say(3)

        assert await first.until_number(last) == await second.until_number(last) == [0, 1, 2]
        assert await sessions(node.url, room) == 1

        await first.read("log.connection.close()")
        assert await second.until_number(await talker.say()) == [0, 1, 2, 3]
        assert await first.read("log.numbers") == [0, 1, 2]

        await second.read("log.connection.close()")

        async def nobody_is_there() -> bool:
            return await sessions(node.url, room) == 0

        await eventually(nobody_is_there)

    @pytest.mark.parametrize("way", ["close", "crash"])
    async def test_eight_tabs_share_a_connection_that_outlives_its_tab(
        self, *, serve, open_page, listen, room, way
    ):
        node = serve("rooms:app")
        shared = "{ share: client.tabs, user: 'ann' }"
        talker = Talker(node.url, room)
        pages = [await open_page(f"{node.url}/page") for _ in range(8)]
        listeners = [await listen(page, f"{room}/events", shared) for page in pages]

        last = await talker.say(20)
        for listener in listeners:
            assert await listener.until_number(last) == list(range(20))
        assert await sessions(node.url, room) == 1

        async with talker.talking():
            # the first tab that asks holds the lock
            if way == "crash":
                with pytest.raises(PlaywrightError, match="crash"):
                    await pages[0].goto("chrome://crash")
            else:
                await pages[0].close()
            for listener in listeners[1:]:
                await listener.until_number(last + 10)
        last = talker.next_number - 1
        for listener in listeners[1:]:
            assert await listener.until_number(last) == list(range(last + 1))
            assert await listener.read("log.resets") == []
        assert await sessions(node.url, room) == 1

    async def test_tabs_of_two_users_have_two_connections(self, serve, open_page, listen, room):
        node = serve("rooms:app")
        for user in ["ann", "ann", "bob"]:
            page = await open_page(f"{node.url}/page")
            await listen(page, f"{room}/events", f"{{ share: client.tabs, user: '{user}' }}")

        assert await sessions(node.url, room) == 2

    async def test_tab_in_the_back_forward_cache_passes_the_connection_on(
        self, serve, open_page, listen, room
    ):
        node = serve("rooms:app")
        shared = "{ share: client.tabs, user: 'ann' }"
        talker = Talker(node.url, room)
        pages = [await open_page(f"{node.url}/page") for _ in range(2)]
        first, second = [await listen(page, f"{room}/events", shared) for page in pages]
        await first.until_number(await talker.say(3))

        async with talker.talking():
            await pages[0].goto(f"{node.url}/elsewhere")
            await second.until_number(talker.next_number + 3)
            await pages[0].go_back(wait_until="commit")
            await first.until_number(talker.next_number + 3)
        last = talker.next_number - 1

        assert await second.until_number(last) == list(range(last + 1))
        assert await second.read("log.resets") == []
        assert await pages[0].evaluate("restored") == 1
        # the other tab has kept the events that this one missed
        assert await first.until_number(last) == list(range(last + 1))
        assert await first.read("log.resets") == []
        assert await sessions(node.url, room) == 1


HOSTILE = {
    "line ends": "a\r\nb\rc\nd\n\ne\r\r",
    "nul and controls": "".join(map(chr, range(0xA0))),
    "unicode line ends": "\u2028 \u2029 \x85 \x0b \x0c",
    "byte order marks": "\ufeff \ufffe \uffff",
    "beyond the basic plane": "\N{PILE OF POO}\U0010ffff e\u0301 \u05d0 \u202e",
    "fields": "\n\nid: 1\nevent: open\nretry: 1\n: comment\ndata: x\n\n",
    "only space": " ",
    "nothing": "",
    "long line": "x" * 200_000,
    "long line of wide characters": "x" + "\N{PILE OF POO}" * 40_000,
}


class TestNativeEventSource:
    @pytest.mark.parametrize("kind", ["rooms", "named-rooms"])
    async def test_event_source_receives_exactly_what_was_published(
        self, serve_shared, open_page, listen, new_resource, kind
    ):
        node = serve_shared("rooms:app")
        room = f"/{kind}/{new_resource()}"
        page = await open_page(f"{node.url}/page")
        name = "'said'" if kind == "named-rooms" else "'message'"
        listener = await listen(page, f"{room}/events", name, function="listenNatively")
        talker = Talker(node.url, room)
        for text in HOSTILE.values():
            await talker.say(text=text)
        await listener.until_number(talker.next_number - 1)

        expected = [
            json.dumps(
                {"type": "said", "number": number, "text": text},
                ensure_ascii=False,
                separators=(",", ":"),
            )
            for number, text in enumerate(HOSTILE.values())
        ]
        assert await listener.read("log.data") == expected
        assert await listener.read("log.ids") == talker.ids
        assert await listener.read("log.errors") == []
