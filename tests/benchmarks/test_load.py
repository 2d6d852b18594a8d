"""The load client counts every delivery, and lets nothing that went wrong pass."""

from __future__ import annotations

import pytest

from benchmarks.load import LoadClient, check
from benchmarks.processes import BenchmarkError

SESSIONS = 3


def chunk(text: str) -> bytes:
    return b"%x\r\n%s\r\n" % (len(text), text.encode())


def event(seq: int) -> str:
    return f'id: {seq}\ndata: {{"type":"order-updated","ts":1,"seq":{seq}}}\n\n'


@pytest.fixture
def count(sseload, scripted, tmp_path):
    def counted(packets, *, expected, closes=False):
        server = scripted(packets, closes=closes)
        log = tmp_path / "sseload.log"
        with LoadClient(sseload, server.port, channels=1, log=log) as load:
            load.connect(SESSIONS)
            load.begin(f"expect {expected * SESSIONS}")
            server.go()
            return load.answer()

    return counted


def test_events_are_counted_per_session(count):
    answer = count([chunk(event(1)), chunk(event(2) + event(3))], expected=3)

    check(answer)
    assert (answer["deliveries"], answer["fewest"], answer["most"]) == (9, 3, 3)


def test_events_cut_anywhere_are_counted_once(count):
    sent = b"".join(chunk(event(seq)) for seq in range(1, 4))
    packets = [sent[start : start + 7] for start in range(0, len(sent), 7)]

    answer = count(packets, expected=3)

    check(answer)
    assert answer["deliveries"] == 3 * SESSIONS


def test_comments_and_events_of_other_kinds_are_no_deliveries(count):
    other = 'event: stream-open\nid: 0\nretry: 100\ndata: {"protocol":1}\n\n'

    answer = count([chunk(f":\n\n{other}"), chunk(event(1))], expected=1)

    check(answer)
    assert answer["deliveries"] == SESSIONS


@pytest.mark.parametrize(
    ("packets", "expected", "complaint"),
    [
        ([event(1), event(3), event(3)], 3, "disorder: 6"),
        ([event(2), event(1)], 2, "disorder: 3"),
        ([event(1) + event(1), event(2)], 3, "disorder: 3"),
        ([event(1), 'event: stream-reset\ndata: {"reason":"slow"}\n\n', event(2)], 2, "resets: 3"),
    ],
    ids=["lost and doubled", "out of order", "doubled", "reset"],
)
def test_run_with_all_deliveries_but_something_wrong_is_refused(
    count, packets, expected, complaint
):
    answer = count([chunk(packet) for packet in packets], expected=expected)

    assert answer["deliveries"] == answer["expected"]
    with pytest.raises(BenchmarkError, match=complaint):
        check(answer)


@pytest.mark.parametrize(
    "last", [b"", b"0\r\n\r\n"], ids=["connection closed", "end of the response"]
)
def test_closed_session_is_refused_at_once(count, last):
    answer = count([chunk(event(1)), last], expected=2, closes=not last)

    with pytest.raises(BenchmarkError, match=r"closed: [1-3]; \d deliveries instead of 6"):
        check(answer)


def test_mistake_in_a_command_is_told(sseload, scripted, tmp_path):
    server = scripted([])
    log = tmp_path / "sseload.log"
    with (
        LoadClient(sseload, server.port, channels=1, log=log) as load,
        pytest.raises(BenchmarkError, match="at most 20000 sessions"),
    ):
        load.connect(20_001)
