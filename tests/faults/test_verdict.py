"""The judge of the fault suite finds every broken promise."""

from __future__ import annotations

import pytest

from tests.faults.verdict import Got, Opened, Tally, Truth, WasReset, judge

IDS = [f"one.{offset}.a{offset}" for offset in range(8)]
AGAIN = [f"one.{offset}.b{offset}" for offset in range(8)]
OTHER = [f"two.{offset}.c{offset}" for offset in range(8)]


def opened(event_id, *, resumed=False, had_id=False):
    return Opened(event_id, resumed, had_id, 0)


def resumed(event_id):
    return opened(event_id, resumed=True, had_id=True)


def got(*event_ids):
    return [Got(event_id, "p", int(event_id.split(".")[1]), 0) for event_id in event_ids]


def reset(event_id):
    return WasReset(event_id, "epoch", 0)


def truth(*stored, acknowledged=None, may_lose=False):
    return Truth(set(stored if acknowledged is None else acknowledged), stored, may_lose)


ALL = truth(*IDS[1:5])
LOST = truth(*OTHER[1:4], acknowledged=[*IDS[1:4], *OTHER[1:4]], may_lose=True)
REUSED = truth(*IDS[1:3], *AGAIN[3:6], acknowledged=[*IDS[1:5], *AGAIN[3:6]], may_lose=True)


@pytest.mark.parametrize(
    ("heard", "what"),
    [
        ([opened(IDS[0]), *got(*IDS[1:5])], ALL),
        ([opened(IDS[0]), *got(*IDS[1:3]), resumed(IDS[2]), *got(*IDS[3:5])], ALL),
        ([opened(IDS[0]), *got(*IDS[1:4]), reset(OTHER[0]), *got(*OTHER[1:4])], LOST),
        ([opened(IDS[0]), *got(*IDS[1:3]), reset(OTHER[2]), *got(OTHER[3])], LOST),
        ([opened(IDS[0]), *got(*IDS[1:5]), reset(AGAIN[4]), *got(AGAIN[5])], REUSED),
        (
            [
                opened(IDS[0]),
                *got(*IDS[1:5]),
                opened(AGAIN[4], had_id=True),
                reset(AGAIN[4]),
                *got(AGAIN[5]),
            ],
            REUSED,
        ),
    ],
    ids=["all", "resumed", "reset", "reset late", "reset within an epoch", "reset on return"],
)
def test_kept_promises_pass(heard, what):
    resets = int(what.may_lose)

    assert judge(heard, what) == Tally(resets=resets)


def test_event_lost_before_delivery_needs_no_reset():
    heard = [opened(IDS[0]), *got(*IDS[1:3], *AGAIN[3:6])]

    assert judge(heard, REUSED) == Tally()
    assert REUSED.forgotten == set(IDS[3:5])


def test_every_rollback_of_the_store_needs_a_reset():
    heard = [opened(IDS[0]), *got(*IDS[1:4]), reset(IDS[6]), reset(AGAIN[4]), *got(AGAIN[5])]

    tally = judge(heard, REUSED)

    assert (tally.resets, tally.due_resets, tally.undue_resets) == (2, 2, 0)


def test_only_lost_events_may_come_again_after_a_reset():
    again = [reset(IDS[2]), *got(*IDS[3:5]), reset(AGAIN[3]), *got(*AGAIN[4:6])]
    heard = [opened(IDS[0]), *got(*IDS[1:5]), *again]
    kept = [opened(IDS[0]), *got(*IDS[1:5]), reset(IDS[1]), *got(IDS[2], *AGAIN[3:6])]

    assert judge(heard, REUSED) == Tally(resets=2)
    assert judge(kept, REUSED) == Tally(duplicated=1, resets=1)


@pytest.mark.parametrize(
    ("heard", "what", "tally"),
    [
        ([opened(IDS[0]), *got(*IDS[1:4])], ALL, Tally(lost=1)),
        ([opened(IDS[0]), *got(IDS[1], *IDS[3:5])], ALL, Tally(lost=2)),
        (
            [opened(IDS[0]), *got(*IDS[1:5])],
            truth(*IDS[1:4], acknowledged=IDS[1:6]),
            Tally(lost=1),
        ),
        ([opened(IDS[0]), *got(*IDS[1:3], IDS[2], *IDS[3:5])], ALL, Tally(duplicated=1)),
        (
            [opened(IDS[0]), *got(*IDS[1:4]), Got(IDS[4], "p", 3, 0)],
            ALL,
            Tally(duplicated=1),
        ),
        (
            [opened(IDS[0]), *got(*IDS[1:4]), Got(IDS[4], "p", 1, 0)],
            ALL,
            Tally(disordered=1),
        ),
        ([opened(IDS[0]), *got(*IDS[1:3]), opened(IDS[4])], ALL, Tally(lost=3)),
        (
            [opened(IDS[0]), *got(*IDS[1:3]), opened(IDS[4], had_id=True)],
            ALL,
            Tally(lost=3),
        ),
        (
            [opened(IDS[0]), *got(*IDS[1:3]), reset(IDS[2]), *got(*IDS[3:5])],
            ALL,
            Tally(resets=1, undue_resets=1),
        ),
        (
            [opened(IDS[0]), reset(IDS[4])],
            ALL,
            Tally(lost=4, resets=1, undue_resets=1),
        ),
        (
            [opened(IDS[0]), *got(*IDS[1:4]), *got(*OTHER[1:4])],
            LOST,
            Tally(lost=1, missed_resets=1),
        ),
        (
            [opened(IDS[0]), *got(*IDS[1:4]), reset(OTHER[0]), *got(OTHER[1], OTHER[3])],
            LOST,
            Tally(lost=2, resets=1),
        ),
        (
            [
                opened(IDS[0]),
                *got(*IDS[1:4]),
                reset(OTHER[0]),
                reset(OTHER[0]),
                *got(*OTHER[1:4]),
            ],
            LOST,
            Tally(resets=2, undue_resets=1),
        ),
        (
            [opened(IDS[0]), *got(*IDS[1:5]), resumed(IDS[4]), *got(AGAIN[5])],
            REUSED,
            Tally(lost=2, missed_resets=1),
        ),
        (
            [opened(IDS[0]), *got(*IDS[1:3]), reset(AGAIN[4]), *got(AGAIN[5])],
            REUSED,
            Tally(lost=2, resets=1, undue_resets=1),
        ),
    ],
    ids=[
        "the last is missing",
        "one in between is missing",
        "the store lost one that a client never saw",
        "the same id twice",
        "the same number twice under two ids",
        "an earlier number later",
        "starting over without an id",
        "starting over silently",
        "a reset for nothing",
        "a reset instead of events",
        "another epoch without a reset",
        "a hole after a reset",
        "two resets",
        "offsets used again, unnoticed",
        "a reset before anything was got that was lost",
    ],
)
def test_broken_promises_are_counted(heard, what, tally):
    assert judge(heard, what) == tally
