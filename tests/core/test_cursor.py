"""A reader's place in a log."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_sse_channels._core.cursor import Cursor
from fastapi_sse_channels._core.log import PIECE, Retention, new_log
from fastapi_sse_channels._core.position import Position, start_of


def append(log, count, *, length=10):
    return [log.append(b"x" * length, f"n{log.top.offset}", 0) for _ in range(count)]


def make_log(*, size=100):
    return new_log(Retention(size, 10**9, 10**9), "epoch")


class TestTake:
    def test_new_cursor_has_taken_everything(self):
        log = make_log()
        append(log, 3)

        assert Cursor(log).is_up_to_date

    def test_taken_pieces_are_what_was_appended_since(self):
        log = make_log()
        append(log, 3)
        cursor = Cursor(log)
        append(log, 2)
        frames = [entry.frame for entry in log.entries[3:]]

        assert not cursor.is_up_to_date
        assert cursor.take() == b"".join(frames)
        assert cursor.is_up_to_date
        assert cursor.event_id == log.top.event_id

    def test_large_frame_is_taken_in_parts_even_where_the_log_has_dropped_it(self):
        log = make_log(size=2)
        cursor = Cursor(log)
        append(log, 1, length=2 * PIECE)
        [large] = log.entries
        first = cursor.take()
        append(log, 4)

        assert cursor.is_cut_off
        parts = [first, cursor.take(), cursor.take()]
        assert b"".join(parts) == large.frame
        assert max(map(len, parts)) == PIECE

    def test_parts_put_first_come_before_the_log(self):
        log = make_log()
        cursor = Cursor(log)
        append(log, 1)
        cursor.put_first((b"a", b"b"))

        taken = [cursor.take() for _ in range(3)]

        assert taken == [b"a", b"b", log.entries[0].frame]
        assert cursor.is_up_to_date


class TestReplay:
    @given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
    def test_everything_after_a_position_is_taken_once(self, before, missed, since):
        log = make_log(size=8)
        append(log, before)
        position = log.top
        append(log, missed)
        at_once, one_by_one = Cursor(log), Cursor(log)
        for cursor in (at_once, one_by_one):
            cursor.go_back_to(position)
        append(log, since)
        expected = list(range(before + 1, before + missed + since + 1))

        frames = at_once.take_all()
        entries = []
        while (entry := one_by_one.take_entry()) is not None:
            entries.append(entry)

        assert [entry.offset for entry in entries] == expected
        assert frames == [entry.frame for entry in entries]
        assert at_once.is_up_to_date
        assert one_by_one.is_up_to_date
        assert not at_once.is_cut_off

    def test_entries_dropped_meanwhile_are_still_replayed(self):
        log = make_log(size=3)
        position, *_ = append(log, 4)
        cursor = Cursor(log)
        cursor.go_back_to(position)
        append(log, 3)

        assert not cursor.is_cut_off
        assert [e.offset for _ in range(6) if (e := cursor.take_entry())] == [2, 3, 4, 5, 6, 7]


class TestCutOff:
    def test_cursor_below_the_floor_is_cut_off_as_slow(self):
        log = make_log(size=3)
        cursor = Cursor(log)
        append(log, 3)
        assert not cursor.is_cut_off

        append(log, 1)

        assert cursor.is_cut_off
        assert cursor.why_cut_off() == "slow"

    @pytest.mark.parametrize(
        ("top", "reason"), [(start_of("other"), "epoch"), (Position("epoch", 9, "n"), "epoch")]
    )
    def test_restarted_log_cuts_off_its_readers(self, top, reason):
        log = make_log()
        append(log, 2)
        cursor = Cursor(log)

        log.restart(top)

        assert cursor.is_cut_off
        assert cursor.why_cut_off() == reason

    def test_cursor_moved_to_the_top_goes_on_with_the_next_entry(self):
        log = make_log(size=3)
        position, *_ = append(log, 3)
        cursor = Cursor(log)
        cursor.go_back_to(position)
        cursor.put_first((b"rest",))
        log.restart(start_of("other"))

        cursor.move_to_top()
        append(log, 1)

        assert not cursor.is_cut_off
        assert cursor.take() == log.entries[0].frame
