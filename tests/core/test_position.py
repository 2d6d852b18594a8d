"""Event ids: opaque to clients, exact to us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastapi_sse_channels._core import position
from fastapi_sse_channels._core.position import Position, Resume, parse_event_id

POSITION = Position("Epoch0123456", 17, "0123abcd")
words = st.text(st.sampled_from("aZ09"), min_size=1, max_size=16)


def test_event_id_reads_back():
    assert POSITION.event_id == "Epoch0123456.17.0123abcd"
    assert parse_event_id(POSITION.event_id) == Resume(POSITION, awaits_initial=False)


def test_marked_event_id_reads_back_as_awaiting_the_initial_event():
    marked = position.awaiting_initial(POSITION.event_id)

    assert marked == "Epoch0123456.17.0123abcd~"
    assert parse_event_id(marked) == Resume(POSITION, awaits_initial=True)


@given(words, st.integers(0, 10**16 - 1), words)
def test_every_position_survives_its_id(epoch, offset, nonce):
    position = Position(epoch, offset, nonce)

    assert parse_event_id(position.event_id) == Resume(position, awaits_initial=False)


@given(st.text(max_size=200))
def test_any_text_is_read_or_unknown(text):
    resume = parse_event_id(text)

    assert resume is None or text.removesuffix("~") == resume.position.event_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "17",
        "Epoch0123456.17",
        "Epoch0123456.17.0123abcd~~",
        "Epoch0123456.17.0123abcd\n",
        " Epoch0123456.17.0123abcd",
        "Epoch0123456.017.0123abcd",
        "Epoch0123456.-1.0123abcd",
        "Epoch0123456.+1.0123abcd",
        "Epoch0123456.1_7.0123abcd",
        "Epoch0123456.\u0661.0123abcd",
        "Epoch0123456.99999999999999999.0123abcd",
        "\xc9poch.17.0123abcd",
        "e" * 33 + ".17.0123abcd",
        "Epoch0123456.17." + "n" * 17,
        "a,b=c",
        "e" * 129,
        "e" * 60_000,
    ],
)
def test_foreign_text_is_unknown(text):
    assert parse_event_id(text) is None


def test_ids_are_safe_in_a_header_across_origins():
    last = Position(position.new_epoch(), 10**16 - 1, position.new_nonce())
    event_id = position.awaiting_initial(last.event_id)

    assert len(event_id) <= position.MAX_ID_LENGTH
    assert set(event_id) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
    )


def test_epochs_and_nonces_differ():
    assert len({position.new_epoch() for _ in range(1000)}) == 1000
    assert len({position.new_nonce() for _ in range(1000)}) > 990


def test_starts_of_one_epoch_differ_in_their_nonces():
    starts = [position.start_of("e") for _ in range(10)]

    assert {start[:2] for start in starts} == {("e", 0)}
    assert len(set(starts)) == 10
