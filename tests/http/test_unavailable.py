"""What clients and the log are told while the store is away."""

from __future__ import annotations

import pytest

from fastapi_sse_channels import BrokerError, broker_error_handler


@pytest.fixture
async def app(make_notes):
    """An application that publishes through a broker which was stopped."""
    notes = make_notes()
    notes.app.add_exception_handler(BrokerError, broker_error_handler)

    @notes.app.post("/notes")
    async def add() -> None:
        await notes.publish("a")

    @notes.app.put("/notes")
    def add_in_a_thread() -> None:
        notes.manager.publish_sync("1", {"type": "note"})

    await notes.manager.start()
    await notes.manager.stop()
    return notes.app


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_publish_that_fails_is_a_503_whose_details_only_the_log_has(
    app, connect, caplog, method
):
    answer = await connect(app, "/notes", method=method)

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert answer.answer == {
        "detail": "events are not available at present; the server's log says why"
    }
    [record] = caplog.records
    assert record.getMessage().startswith(f"{method} /notes answered with 503: ")
    assert "lifespan" in record.getMessage()
    assert record.exc_info is None
