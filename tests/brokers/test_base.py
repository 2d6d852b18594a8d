"""What brokers have in common."""

from __future__ import annotations

from fastapi_sse_channels.brokers import MemoryBroker, closed_error


def test_closed_error_shows_the_broker_and_how_to_start_it_again():
    message = str(closed_error(MemoryBroker()))

    assert message.startswith("<MemoryBroker followed=0 idle=0> was stopped")
    assert "start it again: `with TestClient(app):`" in message
