"""The errors that Redis raises, and the way out of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._envelope import NotOursError

if TYPE_CHECKING:
    from ._names import Names


# What a command raises while the server is away. A cluster's own errors are no RedisErrors. Where a
# connection is closed between being opened and being written to, uvloop raises a plain
# RuntimeError, redis-py 8.1 an AttributeError of the writer that is gone, and asyncio of Python
# 3.12 and 3.13.0 a TypeError: it calls a method of the transport that closing has set to None.
UNAVAILABLE = (
    RedisError,
    RedisClusterException,
    OSError,
    TimeoutError,
    RuntimeError,
    AttributeError,
    TypeError,
)

# what the server's own words begin with where redis-py has no class for them
_PASSING = re.compile(r"(MISCONF|NOREPLICAS|BUSY) ")
# of servers of every make, inside scripts and outside
_UNKNOWN = re.compile(r"unknown (redis )?command|invalid command passed", re.IGNORECASE)
_TRIED = "Redis from 6.2 on or Valkey"

# how Redis before 7 wraps what a command inside a script was refused with
_IN_SCRIPT = re.compile(r"@user_script: ?\d+: -?((\w+) .*)", re.DOTALL)
_CLASSES = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError}


def inner_error(error: ResponseError) -> ResponseError:
    """Return the error of the command that ended a script, in its own class."""
    found = _IN_SCRIPT.search(str(error))
    return _CLASSES.get(found[2], ResponseError)(found[1]) if found else error


def is_foreign(error: BaseException) -> bool:
    """Whether something under our names was written by others."""
    return isinstance(error, NotOursError) or str(error).startswith("WRONGTYPE")


def lacks_rights(error: BaseException) -> bool:
    """Whether Redis denied permission, directly or inside a script."""
    in_script = ("The user executing the script", "ACL failure in script")
    return isinstance(error, NoPermissionError) or str(error).startswith(in_script)


def may_pass(error: BaseException) -> bool:
    """Whether a server that refuses may recover by itself: it is full, say, or cannot save."""
    passing = (OutOfMemoryError, ClusterDownError, TryAgainError)
    return isinstance(error, passing) or _PASSING.match(str(error)) is not None


def explain(error: BaseException, where: str, names: Names) -> str:
    """Say what went wrong at a server, and the way out.

    Args:
        error: What was raised.
        where: The server.
        names: Whose rights may be missing.
    """
    return f"{where} {_verdict(error, names)}"


def _verdict(error: BaseException, names: Names) -> str:
    text = str(error)
    known: dict[tuple[type[BaseException], ...], str] = {
        (ReadOnlyError,): f"is a replica, or was demoted to one: {text}",
        (OutOfMemoryError,): f"is full ({text}); raise maxmemory, or keep less history",
        (MovedError,): f"is part of a cluster ({text}); use RedisBroker.cluster(…)",
        (TimeoutError, RedisTimeoutError): "does not answer in time",
    }
    # Redis does not even read a command as long as ours from a client that is not authenticated
    if isinstance(error, AuthenticationError) or "unauthenticated" in text:
        return f"refuses the password or user: {text}"
    if lacks_rights(error):
        return f"lacks rights ({text}); grant the user `{names.rights}`{_or_else(text)}"
    if _UNKNOWN.search(text):
        # the arguments follow, which may be long
        said = text.partition(", with args")[0]
        way_out = _or_else(said) or (
            f"; allow it in the server's configuration (`rename-command`), or use {_TRIED}"
        )
        return f"does not have a command that is needed: {said}{way_out}"
    if text.startswith("NOREPLICAS"):
        return (
            f"refuses, as too few replicas keep up ({text}); bring one back, or lower the server's "
            "min-replicas-to-write"
        )
    if is_foreign(error):
        return (
            f"holds something in {names.namespace!r} that this library did not write ({text}); "
            "give each application a namespace of its own"
        )
    return next(
        (verdict for types, verdict in known.items() if isinstance(error, types)),
        f"cannot be used: {text}",
    )


def _or_else(refusal: str) -> str:
    """Name the option that does without the refused command, if there is one."""
    command = re.search(r"\b(p|s|sun)subscribe\b|\bspublish\b", refusal, re.IGNORECASE)
    if command is None:
        return ""
    name = command[0].upper()
    if name == "PSUBSCRIBE":
        return '; follow="channel" does without PSUBSCRIBE'
    return f'; follow="pattern" does without {name}, which came with Redis 7'
