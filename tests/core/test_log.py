"""The log bounds what it keeps, and says whether a reader can go on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_sse_channels._core.log import PIECE, Log, Retention, new_log
from fastapi_sse_channels._core.position import Position, start_of

LARGE = 10**9


def make_log(size=100, max_bytes=LARGE, ttl=LARGE):
    return new_log(Retention(size, max_bytes, ttl), "epoch")


def fill(log, count, *, now=0.0):
    return [log.append(b"data: x\n\n", f"nonce{number}", now) for number in range(count)]


def offsets(log):
    return [entry.offset for entry in log.entries]


class TestAppend:
    def test_offsets_are_contiguous_from_one(self):
        log = make_log()

        assert [position.offset for position in fill(log, 3)] == [1, 2, 3]
        assert offsets(log) == [1, 2, 3]

    def test_frame_holds_the_id_of_its_position(self):
        log = make_log()
        position = log.append(b"data: x\n\n", "nonce", 0)

        assert log.piece(0).parts == (f"id: {position.event_id}\ndata: x\n\n".encode(),)

    def test_log_bounds_its_entries(self):
        log = make_log(size=3)
        fill(log, 5)

        assert offsets(log) == [3, 4, 5]
        assert log.floor.offset == 2

    def test_log_bounds_and_counts_its_bytes(self):
        log = make_log(max_bytes=200)
        fill(log, 50)

        assert log.nbytes == sum(len(entry.frame) for entry in log.entries)
        assert 0 < log.nbytes <= 200

    def test_log_keeps_the_newest_entry_however_large(self):
        log = make_log(max_bytes=10)
        fill(log, 2)

        assert offsets(log) == [2]

    def test_log_expires_old_entries(self):
        log = make_log(ttl=10)
        fill(log, 2, now=0)
        fill(log, 1, now=9.9)
        assert len(log.entries) == 3

        log.expire(10)

        assert offsets(log) == [3]
        assert log.nbytes == len(log.entries[0].frame)

    def test_append_drops_what_became_too_old(self):
        log = make_log(ttl=10)
        fill(log, 2, now=0)
        fill(log, 1, now=10)

        assert offsets(log) == [3]

    def test_log_position_outlives_the_entries(self):
        log = make_log(ttl=10)
        *_, last = fill(log, 2, now=0)
        log.expire(100)

        assert log.entries == ()
        assert log.top == log.floor == last
        assert log.append(b"", "n", 100).offset == 3


class TestGap:
    @pytest.mark.parametrize(("behind", "gap"), [(99, None), (100, None), (101, "trimmed")])
    def test_edge_of_a_full_history_is_exact(self, behind, gap):
        log = make_log(size=100)
        positions = fill(log, 150)

        assert log.gap(positions[-1 - behind]) == gap
        assert log.reaches(positions[-1 - behind].offset) is (gap is None)

    @pytest.mark.parametrize("count", [99, 100])
    def test_start_reaches_a_history_that_was_never_trimmed(self, count):
        log = make_log(size=100)
        start = log.top
        fill(log, count)

        assert log.gap(start) is None

    def test_start_is_trimmed_with_one_entry_more(self):
        log = make_log(size=100)
        start = log.top
        fill(log, 101)

        assert log.gap(start) == "trimmed"

    def test_gap_reason_is_what_dropped_the_last_entry(self):
        log = make_log(size=2, ttl=10)
        first, *_ = fill(log, 4, now=0)
        assert log.gap(first) == "trimmed"

        log.expire(20)

        assert log.gap(first) == "expired"

    @pytest.mark.parametrize("offset", [0, 1, 2])
    def test_other_epoch_is_a_gap_at_any_offset(self, offset):
        log = make_log()
        [position] = fill(log, 1)

        assert log.gap(position._replace(epoch="other", offset=offset)) == "epoch"

    def test_offset_above_the_top_is_a_gap(self):
        log = make_log()
        [position] = fill(log, 1)

        assert log.gap(position._replace(offset=2)) == "ahead"

    @pytest.mark.parametrize("offset", [0, 1, 2, 3])
    def test_other_nonce_is_a_gap_at_any_offset(self, offset):
        log = make_log()
        positions = [log.top, *fill(log, 3)]
        assert log.gap(positions[offset]) is None

        assert log.gap(positions[offset]._replace(nonce="other")) == "epoch"

    def test_other_nonce_at_the_floor_is_a_gap(self):
        log = make_log(size=2)
        positions = fill(log, 5)

        assert log.gap(positions[2]) is None
        assert log.gap(positions[2]._replace(nonce="other")) == "epoch"

    @pytest.mark.parametrize("reason", ["trimmed", "expired"])
    def test_gap_reason_before_the_first_entry_is_that_of_the_restart(self, reason):
        earlier, start = Position("epoch", 3, "m"), Position("epoch", 7, "n")
        log = make_log()
        log.restart(start, before=reason)
        taken_over = make_log()
        taken_over.become(log)

        assert log.gap(earlier) == taken_over.gap(earlier) == reason

    def test_restart_cuts_off_readers_even_of_the_same_epoch(self):
        log = make_log()
        fill(log, 3)
        before = log.incarnation

        log.restart(Position("epoch", 7, "n"))

        assert log.incarnation != before
        assert (log.entries, log.nbytes, log.top) == ((), 0, Position("epoch", 7, "n"))
        assert log.gap(Position("epoch", 3, "nonce2")) == "trimmed"
        assert log.append(b"", "m", 0).offset == 8

    def test_log_that_becomes_another_cuts_off_its_readers(self):
        log, other = make_log(), make_log(size=2)
        fill(log, 3)
        before_restart = log.piece(0).parts
        positions = fill(other, 5)
        before = log.incarnation

        log.become(other)

        assert log.incarnation != before
        assert (log.entries, log.nbytes) == (other.entries, other.nbytes)
        assert (log.floor, log.top) == (positions[2], positions[4])
        assert log.gap(positions[0]) == "trimmed"
        assert log.piece(3).parts[0] not in before_restart[0]

    def test_new_log_starts_before_its_first_entry(self):
        log = new_log(Retention(1, 1, 1), "e")

        assert log.top[:2] == ("e", 0)
        assert log.gap(log.top) is None
        assert log.gap(start_of("e")) == "epoch"


class TestPiece:
    def test_piece_is_one_object_for_all_readers_at_an_offset(self):
        log = make_log()
        fill(log, 5)

        assert log.piece(2) is log.piece(2)
        assert log.piece(2) == ((b"".join(entry.frame for entry in log.entries[2:]),), 5)

    def test_piece_is_renewed_by_the_next_append(self):
        log = make_log()
        fill(log, 2)
        [before] = log.piece(0).parts
        fill(log, 1)

        [after] = log.piece(0).parts
        assert after.startswith(before)
        assert after != before

    def test_piece_cache_drops_the_oldest_request(self):
        log = make_log()
        fill(log, 100)
        first, second, *_ = [log.piece(offset) for offset in range(9)]

        assert log.piece(1) is second
        assert log.piece(0) is not first

    @given(st.lists(st.integers(0, 3 * PIECE), min_size=1, max_size=12))
    def test_pieces_hold_the_entries_in_order(self, lengths):
        log = make_log()
        for length in lengths:
            log.append(b"x" * length, "nonce", 0)
        frames = [entry.frame for entry in log.entries]

        pieces: list[bytes] = []
        offset = 0
        while offset < log.top.offset:
            piece = log.piece(offset)
            assert len(piece.parts) == 1 or piece.end == offset + 1
            pieces += piece.parts
            offset = piece.end

        assert offset == len(frames)
        assert b"".join(pieces) == b"".join(frames)
        assert all(0 < len(piece) <= PIECE for piece in pieces)


class TestEntriesAfter:
    @given(st.integers(0, 40), st.integers(1, 20))
    def test_entries_after_every_reachable_offset_are_the_rest(self, count, size):
        log = make_log(size=size)
        fill(log, count)

        for offset in range(log.floor.offset, log.top.offset + 1):
            found = [entry.offset for entry in log.entries_after(offset)]
            assert found[:1] == ([log.entry_after(offset).offset] if offset < count else [])
            assert found == list(range(offset + 1, count + 1))
            assert log.position(offset).offset == offset
            assert log.gap(log.position(offset)) is None


class TestFloorAfter:
    @given(
        st.lists(st.integers(0, 80), max_size=30),
        st.integers(0, 80),
        st.integers(1, 12),
        st.integers(1, 600),
    )
    def test_floor_after_predicts_the_floor(self, lengths, length, size, max_bytes):
        log = make_log(size=size, max_bytes=max_bytes)
        for number in lengths:
            log.append(b"x" * number, "nonce", 0)
        frame = Log(log.retention, log.top)
        frame.append(b"x" * length, "nonce", 0)

        told = log.floor_after(frame.nbytes)
        log.append(b"x" * length, "nonce", 0)

        assert told == log.floor.offset
