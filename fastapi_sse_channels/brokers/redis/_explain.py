"""What to do about an error of Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import (
    AuthenticationError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._envelope import NotOursError

if TYPE_CHECKING:
    from ._names import Names


# What a command raises while the server is away. A cluster's own errors are no RedisErrors; and for
# a connection that is closed between being opened and being written to, uvloop has only a plain
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


def is_foreign(error: BaseException) -> bool:
    """Whether something under our names was written by others."""
    return isinstance(error, NotOursError) or str(error).startswith("WRONGTYPE")


def lacks_rights(error: BaseException) -> bool:
    """Whether the user may not do something, be it inside a script."""
    in_script = ("The user executing the script", "ACL failure in script")
    return isinstance(error, NoPermissionError) or str(error).startswith(in_script)


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
        return f"lacks rights ({text}); grant the user `{names.rights}`"
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
