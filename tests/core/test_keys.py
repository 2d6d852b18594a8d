"""One resource, one key; never two resources."""

from __future__ import annotations

import unicodedata
from typing import Annotated, NewType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import StringConstraints

from fastapi_sse_channels import ConfigurationError, InvalidResourceIdError
from fastapi_sse_channels._core.keys import KeySpace

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
HOSTILE = [
    ":",
    "a:b",
    "*",
    "?",
    "[a]",
    "\\",
    "%",
    "%2F",
    "%253A",
    "/",
    "..",
    "\r\n",
    "\0",
    "\u2028",
    " ",
    unicodedata.normalize("NFC", "e\u0301"),
    unicodedata.normalize("NFD", "\xe9"),
    "A",
    "a",
    "x" * 255,
]


def test_key_joins_the_encoded_components():
    assert KeySpace("discussion", "comments").key("a:b") == "discussion:a%3Ab:comments"


@pytest.mark.parametrize("resource_id", HOSTILE)
def test_hostile_id_needs_no_escaping_in_a_key(resource_id):
    key = KeySpace("note", "events").key(resource_id)

    assert key.count(":") == 2
    assert key.isascii()
    assert not set("*?[]\\ \r\n\0") & set(key)


def test_hostile_ids_have_keys_of_their_own():
    assert len({KeySpace("note", "events").key(resource_id) for resource_id in HOSTILE}) == len(
        HOSTILE
    )


@given(st.tuples(text, text, text), st.tuples(text, text, text))
def test_two_triples_never_share_a_key(first, second):
    keys = [KeySpace(prefix, suffix).key(middle) for prefix, middle, suffix in (first, second)]

    assert (keys[0] == keys[1]) == (first == second)


@pytest.mark.parametrize(
    ("resource_id", "expected"),
    [(42, "note:42:events"), (UUID(int=1), f"note:{UUID(int=1)}:events")],
)
def test_key_writes_other_ids_as_text(resource_id, expected):
    assert KeySpace("note", "events").key(resource_id) == expected


@pytest.mark.parametrize(
    ("resource_id", "message"),
    [
        ("", "the resource id is empty"),
        ("x" * 256, "has 256 characters, 255 are allowed; use a digest of it"),
        ("x" * 60_000, "has 60000 characters"),
        ("\ud800", "lone surrogate"),
    ],
)
def test_key_refuses_ids_that_cannot_name_a_channel(resource_id, message):
    with pytest.raises(InvalidResourceIdError, match=message):
        KeySpace("note", "events").key(resource_id)


UNIQUE = UUID("0e123fb2-6bb5-416c-aa81-c1ddf775bf8c")


@pytest.mark.parametrize(
    ("resource_id_type", "spellings", "expected"),
    [
        (UUID, [UNIQUE, str(UNIQUE), str(UNIQUE).upper(), UNIQUE.hex], str(UNIQUE)),
        (int, [7, "7", "007"], "7"),
        (NewType("NoteId", int), [7, "7"], "7"),
        (Annotated[str, StringConstraints(to_lower=True)], ["Ann", "ann"], "ann"),
    ],
)
def test_spellings_of_one_id_of_a_declared_type_have_one_key(resource_id_type, spellings, expected):
    keys = KeySpace("note", "events", resource_id_type)

    assert {keys.key(one) for one in spellings} == {f"note:{expected}:events"}


@pytest.mark.parametrize("resource_id", ["seven", None, b"\xff", ""])
def test_key_refuses_what_is_not_of_the_declared_type(resource_id):
    with pytest.raises(InvalidResourceIdError, match="is no id of the manager's resource_id_type"):
        KeySpace("note", "events", int).key(resource_id)


@pytest.mark.parametrize("resource_id_type", [float, object, dict[str, int], list, "UUID", None])
def test_key_space_refuses_types_that_are_none_of_resource_ids(resource_id_type):
    with pytest.raises(ConfigurationError, match=r"^resource_id_type=.* use str, int or UUID"):
        KeySpace("note", "events", resource_id_type)


@pytest.mark.parametrize(
    ("prefix", "suffix", "message"),
    [("", "x", "key_prefix is empty"), ("x", "", "key_suffix is empty"), ("\ud800", "x", "prefix")],
)
def test_key_space_refuses_unusable_parts(prefix, suffix, message):
    with pytest.raises(ConfigurationError, match=message):
        KeySpace(prefix, suffix)


def test_key_space_name_covers_exactly_its_keys():
    assert KeySpace("a:b", "c").name == "a%3Ab:*:c"


# as text they would be other ids, whose events no stream of the resource would get
@pytest.mark.parametrize("resource_id", [None, 1.0, b"1", ("a", "b"), object()])
def test_key_refuses_other_types(resource_id):
    with pytest.raises(InvalidResourceIdError, match="is not a resource id; pass the str, int or"):
        KeySpace("note", "events").key(resource_id)
