"""Declarations of the same channels, compared."""

from __future__ import annotations

import json

import pytest

from fastapi_sse_channels.brokers._comparison import disagreement

OURS = json.dumps({"history_size": 600, "events": ["a", "b"]})


def test_equal_declarations_agree():
    assert disagreement("note:*:events", OURS, OURS) is None


def test_difference_names_both_values_and_the_way_out():
    theirs = json.dumps({"history_size": 256, "events": ["a"]})

    said = disagreement("note:*:events", OURS, theirs)

    assert said is not None
    assert said.startswith(
        "the channels note:*:events are declared differently elsewhere: history_size is 600 here "
        "and 256 there; events is ['a', 'b'] here and ['a'] there."
    )
    assert "manager.sync_publisher()" in said


@pytest.mark.parametrize("theirs", ["", "null", "[]", "{}", '{"of": "a later version"}', "\ufffd"])
def test_what_is_no_declaration_says_nothing(theirs):
    assert disagreement("note:*:events", OURS, theirs) is None
