"""Run managers without their store, for tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from .._manager import engine_of
from ..brokers import MemoryBroker

if TYPE_CHECKING:
    from .._manager import ChannelManager


@contextmanager
def in_memory(*managers: ChannelManager[Any]) -> Iterator[None]:
    """Run managers on an empty `MemoryBroker`, whatever broker they were declared with.

    Enter it before the application starts, and leave it once that has stopped. Managers of one
    store share one broker. `manager.broker` is that broker meanwhile.

    Args:
        managers: All that the application starts, if none may reach its store.

    Raises:
        ConfigurationError: A manager is running.
    """
    stores: dict[Hashable, MemoryBroker] = defaultdict(MemoryBroker)
    with ExitStack() as stack:
        for manager in managers:
            engine = engine_of(manager)
            declared = engine.broker
            broker = stores[declared.store]
            broker.claim(engine.keys.name)
            engine.move_to(broker)
            stack.callback(engine.move_to, declared)
        yield
