"""What to do about an error of Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis.exceptions import AuthenticationError, NoPermissionError, ReadOnlyError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ._envelope import NotOursError

if TYPE_CHECKING:
    from ._names import Names

# What a command raises while the server is away. uvloop has only a plain RuntimeError for a
# connection that was closed between being opened and being written to.
UNAVAILABLE = (RedisError, OSError, TimeoutError, RuntimeError)


def explain(error: BaseException, where: str, names: Names) -> str:
    """Say what went wrong at a server, and the way out.

    Args:
        error: What was raised.
        where: The server.
        names: Whose rights may be missing.
    """
    match error:
        case AuthenticationError():
            return f"{where} refuses the password or user: {error}"
        case NoPermissionError():
            space = names.namespace
            return f"{where} lacks rights ({error}); grant `~{space}:* &{space}:* +@all`"
        case ReadOnlyError():
            return f"{where} is a replica, or was demoted to one: {error}"
        case TimeoutError() | RedisTimeoutError():
            return f"{where} does not answer in time"
        case NotOursError():
            return f"{where}: {error}; give each application a namespace of its own"
        case _:
            return f"{where}: {error}"
