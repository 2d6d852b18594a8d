"""The rules of `Broker` as tests, for the suite of whoever writes a broker.

Subclass `BrokerContract` in a test file, or `SharedStoreContract` if several processes can share
the broker's store, and override its fixtures:

```python
class TestMyBroker(BrokerContract):
    @pytest.fixture
    def new_broker(self, tmp_path: Path) -> Broker:
        return MyBroker(tmp_path / "channels")
```

The tests need pytest, and any plugin that runs `async def` tests and fixtures on asyncio:
pytest-asyncio with `asyncio_mode = auto`, or anyio's with `anyio_mode = auto`.
"""

import pytest

# rewritten before it is imported, so that a broken rule shows the values it compared
pytest.register_assert_rewrite("fastapi_sse_channels.testing._broker_rules")

from ._broker_rules import BrokerContract, SharedStoreContract  # noqa: E402

__all__ = ["BrokerContract", "SharedStoreContract"]
