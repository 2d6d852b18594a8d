"""Names of keys and channels: nothing of one application or channel is another's."""

from __future__ import annotations

import itertools

import pytest
from redis.crc import key_slot

from fastapi_sse_channels._core.keys import KeySpace
from fastapi_sse_channels.brokers.redis._names import Names

HOSTILE = ["a", "a:b", "*", "?", "[a]", "{", "}", "{}", "%7B", "\\", "ä", "\r\n", "\0", "a}:x{b"]


def test_everything_of_a_channel_lies_on_one_server_of_a_cluster():
    names = Names("shop")
    key = KeySpace("note", "events").key("}{")

    found = [
        names.channel(key),
        names.position(key),
        names.log(key),
        names.receipt(key, "}x{y}"),
        names.counts(key),
    ]

    assert len({key_slot(name.encode()) for name in found}) == 1


def test_no_two_names_are_the_same_and_only_the_pattern_holds_a_glob_character():
    keys = [KeySpace("note", "events").key(one) for one in HOSTILE]
    found = []
    for namespace in HOSTILE:
        names = Names(namespace)
        found += [names.lease("n"), names.probe("n"), names.pattern]
        for key in keys:
            found += [names.channel(key), names.position(key), names.log(key), names.counts(key)]
            found += [names.receipt(key, one) for one in HOSTILE]

    assert len(set(found)) == len(found)
    globbing = [name for name in found if set("*?[]\\").intersection(name)]
    assert globbing == [Names(namespace).pattern for namespace in HOSTILE]


@pytest.mark.parametrize(
    "pair", list(itertools.permutations([("a", 0), ("a", 1), ("a", 11), ("ab", 0)], 2))
)
def test_pattern_covers_the_channels_of_its_namespace_and_database_only(pair):
    one, other = (Names(*each) for each in pair)
    begins = one.pattern.removesuffix("*")

    assert one.channel("note:1:events").startswith(begins)
    assert not other.channel("note:1:events").startswith(begins)


def test_long_idempotency_key_makes_no_long_name():
    names = Names("a")
    longest = names.receipt("k", "x" * 64)

    assert longest == "a:rcpt:{k}:" + "x" * 64
    assert len(names.receipt("k", "x" * 8000)) < len(longest)
    assert names.receipt("k", "x" * 65) != names.receipt("k", "x" * 66)


def test_lone_surrogate_is_as_good_an_idempotency_key_as_any():
    assert Names("a").receipt("k", "\ud800") == "a:rcpt:{k}:%ED%A0%80"
