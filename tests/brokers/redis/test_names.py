"""Names of keys and channels: nothing of one application or channel is another's."""

from __future__ import annotations

import itertools

import pytest
from redis.crc import key_slot

from fastapi_sse_channels._core.keys import KeySpace
from fastapi_sse_channels.brokers.redis._names import Names

HOSTILE = ["a", "a:b", "*", "?", "[a]", "{", "}", "{}", "%7B", "\\", "ä", "\r\n", "\0", "a}:x{b"]


def test_names_of_a_channel_share_a_slot():
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


def test_names_differ_and_only_patterns_hold_a_glob():
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
def test_pattern_covers_its_own_channels_only(pair):
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


def test_lone_surrogate_may_be_an_idempotency_key():
    assert Names("a").receipt("k", "\ud800") == "a:rcpt:{k}:%ED%A0%80"
