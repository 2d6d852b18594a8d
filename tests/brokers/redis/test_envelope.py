"""What is taken for ours, and what is not."""

from __future__ import annotations

import pytest

from fastapi_sse_channels._core.position import Position
from fastapi_sse_channels.brokers.redis._envelope import (
    NotOursError,
    Stored,
    parse_look,
    parse_message,
)

GOOD = b"sse1 abc 7 n7 n6\ndata: {}\n\n"


def test_message_is_parsed():
    assert parse_message(GOOD) == Stored(Position("abc", 7, "n7"), "n6", b"data: {}\n\n")


def test_named_message_is_parsed():
    body = b"event: note\ndata: {}\n\n"

    assert parse_message(b"sse1 abc 7 n7 n6\n" + body).body == body


def test_message_of_others_is_refused(poison):
    with pytest.raises(NotOursError):
        parse_message(poison)


def entry(offset, *, part=0, **changes):
    fields = {b"d": b"data: %d\n\n" % offset, b"n": b"n%d" % offset, b"p": b"n%d" % (offset - 1)}
    fields |= {b"t": b"90000"} | {name.encode(): value for name, value in changes.items()}
    return b"%d-%d" % (offset, part), [each for pair in fields.items() for each in pair]


def look(*entries, epoch=b"abc", top=5, nonce=b"n5", now=b"100000", read=None):
    return parse_look([epoch, top, nonce, now, list(entries), top if read is None else read])


def test_look_is_parsed():
    found = look(entry(4), entry(5))

    assert found.top == Position("abc", 5, "n5")
    assert [(stored.position.offset, stored.previous, age) for stored, age in found.entries] == [
        (4, "n3", 10.0),
        (5, "n4", 10.0),
    ]
    assert found.damage is None
    assert found.is_last


def test_piece_of_a_log_ends_below_the_top():
    found = look(entry(2), entry(3), read=3)

    assert [stored.position.offset for stored, _ in found.entries] == [2, 3]
    assert found.damage is None
    assert not found.is_last


def test_entry_of_a_clock_that_went_back_has_no_age():
    [(_, age)] = look(entry(5, t=b"100001")).entries

    assert age == 0


@pytest.mark.parametrize(
    "poison",
    [
        (b"4-1", [b"d", b"hello"]),
        (b"4-1", [b"field", b"value"]),
        (b"4-1", []),
        (b"4-1", [b"\xff", b"\xfe", b"\0", b""]),
        entry(4, part=1),
        entry(4, part=1, d=b"x" * 10_000_000),
        entry(4, part=1, n=b"\xff"),
        entry(4, part=1, t=b"never"),
    ],
    ids=range(8),
)
def test_foreign_entries_between_ours_are_left_out(poison):
    found = look(entry(3), entry(4), poison, entry(5))

    assert [stored.position.offset for stored, _ in found.entries] == [3, 4, 5]
    assert "is not an event" in (found.damage or "")


@pytest.mark.parametrize(
    "entries",
    [
        [entry(3), entry(5)],
        [entry(3), entry(5, p=b"n3")],
        [entry(3), entry(4, n=b"other"), entry(5)],
        [entry(3), entry(4, d=b"data: a\rid: 1\n\n"), entry(5)],
    ],
    ids=["missing", "skipped", "broken chain", "overwritten"],
)
def test_entries_before_a_hole_are_left_out(entries):
    found = look(*entries)

    assert [stored.position.offset for stored, _ in found.entries] == [5]
    assert found.damage is not None


@pytest.mark.parametrize("nonce", [{"n": b"a\nid: 1"}, {"p": b"a\nid: 1"}], ids=["own", "previous"])
def test_entry_with_a_line_break_in_a_nonce_is_left_out(nonce):
    found = look(entry(3, **nonce), read=3)

    assert found.entries == ()
    assert "is not an event" in (found.damage or "")


@pytest.mark.parametrize("entries", [[entry(4)], [entry(5, n=b"other")]])
def test_log_that_ends_elsewhere_returns_nothing(entries):
    found = look(*entries)

    assert (found.entries, found.damage) == ((), "the log has a hole")


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": b"a\nid: 1"},
        {"epoch": b""},
        {"epoch": b"\xff"},
        {"nonce": b"n" * 17},
        {"top": b"x"},
        {"now": None},
    ],
)
def test_damaged_position_is_refused(change):
    with pytest.raises(NotOursError):
        look(**change)
