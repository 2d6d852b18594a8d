"""Threads publish up to the last turn of the event loop and beyond."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from fastapi_sse_channels import BrokerClosedError, BrokerError, sse_lifespan


@pytest.fixture
def manager(make_notes):
    return make_notes().manager


def provided(manager):
    """A publisher, as FastAPI passes it to a handler, and its running loop."""
    loop: Any = asyncio.new_event_loop()
    return loop.run_until_complete(manager.publisher()), loop


def in_thread(publish):
    """Publish in another thread; return the id or the error."""
    results = []

    def run():
        try:
            results.append(publish())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result():
        thread.join(5)
        assert not thread.is_alive()
        return results[0]

    return result


def test_thread_gets_the_id_of_its_event(manager):
    async def main():
        async with sse_lifespan(manager):
            publisher = await manager.publisher()
            return await asyncio.to_thread(publisher.publish_sync, "1", {"type": "note"})

    assert asyncio.run(main()).split(".")[1] == "1"


def test_publish_fails_when_its_loop_ends_first(manager):
    publisher, loop = provided(manager)
    result = in_thread(lambda: publisher.publish_sync("1", {"type": "note"}))
    deadline = time.monotonic() + 5
    while not loop._ready and time.monotonic() < deadline:  # noqa: SLF001  # it does not run
        time.sleep(0.001)
    loop.close()

    assert isinstance(result(), BrokerClosedError)
    assert "ended before the event was known to be stored" in str(result())


def test_publish_to_an_ended_loop_is_refused(manager):
    publisher, loop = provided(manager)
    loop.close()

    with pytest.raises(BrokerClosedError, match="the event loop ended"):
        publisher.publish_sync("1", {"type": "note"})


@pytest.fixture
def ending(manager):
    """Run the manager on another thread's loop, which ends with a publish in its last turn."""
    loop: Any = asyncio.new_event_loop()
    is_running = threading.Event()

    async def main():
        await manager.start()
        is_running.set()
        deadline = time.monotonic() + 5
        # nothing else runs on this loop during the check, or after it
        while not loop._ready and time.monotonic() < deadline:  # noqa: SLF001
            time.sleep(0.001)  # noqa: ASYNC251

    def run():
        loop.run_until_complete(main())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert is_running.wait(5)
    yield
    thread.join(5)


@pytest.mark.usefixtures("ending")
def test_publish_from_another_loop_fails_when_its_loop_ends_first(manager):
    async def publish():
        async with asyncio.timeout(5):
            await manager.publish("1", {"type": "note"})

    with pytest.raises(BrokerClosedError, match="ended before the event was known to be stored"):
        asyncio.run(publish())


def test_publish_cancelled_with_its_loop_says_so(manager):
    publisher, loop = provided(manager)
    result = in_thread(lambda: publisher.publish_sync("1", {"type": "note"}))

    async def cancel_all():
        async with asyncio.timeout(5):
            while len(tasks := asyncio.all_tasks()) < 2:  # noqa: ASYNC110  # a thread makes it
                await asyncio.sleep(0)
        publishing = tasks - {asyncio.current_task()}
        for task in publishing:
            task.cancel()
        await asyncio.wait(publishing)

    loop.run_until_complete(cancel_all())
    loop.close()

    assert isinstance(result(), BrokerClosedError)


def test_error_of_the_broker_reaches_the_thread(manager):
    async def main():
        async with sse_lifespan(manager):
            publisher = await manager.publisher()
        return await asyncio.to_thread(
            in_thread(lambda: publisher.publish_sync("1", {"type": "note"}))
        )

    assert isinstance(asyncio.run(main()), BrokerError)
