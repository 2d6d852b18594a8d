"""The chain runs before the handlers of others, and never gets in their way."""

from __future__ import annotations

import asyncio
import signal

import pytest

from fastapi_sse_channels._live.signals import SignalChain

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def heard():
    return []


@pytest.fixture(autouse=True)
def servers_handler(heard):
    """The handler that a server installs, which must run as well."""

    def handle(_number, _stack_frame):
        heard.append("server")

    previous = {number: signal.signal(number, handle) for number in SIGNALS}
    yield handle
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_callback_runs_before_the_previous_handler(heard, number):
    SignalChain(lambda: heard.append("ours")).install()

    signal.raise_signal(number)

    assert heard == ["ours", "server"]


def test_installing_again_changes_nothing(heard):
    chain = SignalChain(lambda: heard.append("ours"))
    for _ in range(3):
        chain.install()

    signal.raise_signal(signal.SIGTERM)

    assert heard == ["ours", "server"]


def test_installing_again_chains_before_a_later_handler(heard):
    """hypercorn installs its handlers after the application has started."""
    chain = SignalChain(lambda: heard.append("ours"))
    chain.install()
    signal.signal(signal.SIGTERM, lambda *_: heard.append("later server"))
    chain.install()

    signal.raise_signal(signal.SIGTERM)

    assert heard == ["ours", "later server"]


def test_two_chains_that_install_in_turns_do_not_grow(heard):
    """The streams of two managers do this; a grown chain would raise a RecursionError."""
    chains = [SignalChain(lambda: heard.append("a")), SignalChain(lambda: heard.append("b"))]
    for _ in range(2000):
        for chain in chains:
            chain.install()

    signal.raise_signal(signal.SIGTERM)

    assert sorted(heard) == ["a", "b", "server"]


def test_uninstalling_restores_the_previous_handler(servers_handler, heard):
    chain = SignalChain(lambda: heard.append("ours"))
    chain.install()
    chain.uninstall()

    assert [signal.getsignal(number) for number in SIGNALS] == [servers_handler] * 2


def test_uninstalling_keeps_the_handler_of_whoever_chained_later(heard):
    chain = SignalChain(lambda: heard.append("ours"))
    chain.install()

    def later(*_):
        heard.append("later")

    signal.signal(signal.SIGTERM, later)
    chain.uninstall()

    assert signal.getsignal(signal.SIGTERM) is later


def test_chains_uninstalled_in_any_order_leave_nothing_that_fails(heard):
    first, second = SignalChain(lambda: heard.append("a")), SignalChain(lambda: heard.append("b"))
    first.install()
    second.install()
    first.uninstall()
    second.uninstall()

    signal.raise_signal(signal.SIGTERM)

    assert heard[-1] == "server"


def test_chains_uninstalled_in_the_order_of_installing_are_gone(servers_handler):
    """Applications that run one after the other do this; each round must leave no handler."""
    for _ in range(3):
        chains = [SignalChain(lambda: None) for _ in range(3)]
        for chain in chains:
            chain.install()
        for chain in chains:
            chain.uninstall()

    assert [signal.getsignal(number) for number in SIGNALS] == [servers_handler] * 2


def test_default_disposition_is_left_alone(heard):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    chain = SignalChain(lambda: heard.append("ours"))

    chain.install()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    chain.uninstall()


async def test_other_threads_install_nothing(servers_handler):
    chain = SignalChain(lambda: None)

    await asyncio.to_thread(chain.install)
    await asyncio.to_thread(chain.uninstall)

    assert signal.getsignal(signal.SIGTERM) is servers_handler
