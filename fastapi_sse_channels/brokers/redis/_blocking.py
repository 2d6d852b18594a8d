"""Publishing without an event loop."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from ..._errors import PublishError
from .._comparison import disagreement
from ._connect import address_of, database_of, options_for, url_error
from ._envelope import NotOursError
from ._errors import explain, inner_error
from ._names import Names
from ._scripts import PUBLISH, parse_position, publish_call

if TYPE_CHECKING:
    from ..._core.log import Retention
    from ..._core.position import Position


logger = logging.getLogger("fastapi_sse_channels")

# Each thread uses one connection; with redis-py's default limit, the hundred and first fails.
_AS_MANY_AS_THREADS = 2**31
# an event that is stored already is not kept waiting for a warning
_COMPARE_SECONDS = 0.05


class _Deadline(threading.local):
    """When the calling thread's publish has to be over, on the monotonic clock."""

    at = 0.0


def _bounded(connection_class: Any, deadline: _Deadline) -> Any:
    """Make a class of connections whose every step ends at the deadline.

    redis-py's own time limits are for single reads, and a publish that has to connect makes many.
    """

    class Bounded(connection_class):  # type: ignore[misc]  # TCP, TLS or Unix
        def send_packed_command(self, *args: Any, **options: Any) -> Any:
            self._bound()
            return super().send_packed_command(*args, **options)

        def read_response(self, *args: Any, **options: Any) -> Any:
            self._bound()
            return super().read_response(*args, **options)

        def _bound(self) -> None:
            left = deadline.at - time.monotonic()
            if left <= 0:
                self.disconnect()
                raise RedisTimeoutError
            if self._sock is not None:
                self._sock.settimeout(left)

    return Bounded


class BlockingStore:
    """Runs the same script as the broker, over a blocking client."""

    def __init__(self, url: str, *, namespace: str, seconds: float) -> None:
        """Prepare a client.

        Raises:
            ConfigurationError: The URL is not one of Redis, or the namespace is empty.
        """
        options = {**options_for(seconds), "retry": Retry(NoBackoff(), 0)}
        try:
            self._client: Any = Redis.from_url(url, max_connections=_AS_MANY_AS_THREADS, **options)
        except ValueError as error:
            raise url_error(url, error) from None
        pool = self._client.connection_pool
        # the URL's own options win over arguments, but these are not for the user to choose
        pool.connection_kwargs.update(options)
        self._seconds = seconds
        self._deadline = _Deadline()
        pool.connection_class = _bounded(pool.connection_class, self._deadline)
        self._where = f"Redis at {address_of(self._client)}"
        self._names = Names(namespace, database_of(self._client))
        self._compared: set[str] = set()

    def publish(
        self, key: str, body: bytes, retention: Retention, idempotency_key: str | None
    ) -> Position:
        """Run `publish.lua`.

        Raises:
            PublishError: The event is not known to be stored.
        """
        keys, arguments = publish_call(
            self._names, key, body, retention, idempotency_key=idempotency_key
        )
        call = (len(keys), *keys, *arguments)
        self._deadline.at = time.monotonic() + self._seconds
        try:
            try:
                reply = self._client.evalsha(PUBLISH.sha1, *call)
            except NoScriptError:  # the server restarted: nothing was run
                reply = self._client.eval(PUBLISH.text, *call)
            return parse_position(reply)
        except (RedisError, OSError, NotOursError) as error:
            cause = inner_error(error) if isinstance(error, ResponseError) else error
            raise PublishError(explain(cause, self._where, self._names)) from error

    def compare(self, keys: str, declaration: str) -> None:
        """See `SyncStore.compare`."""
        if keys in self._compared:
            return
        self._deadline.at = time.monotonic() + _COMPARE_SECONDS
        try:
            found = self._client.get(self._names.declaration(keys))
        except (RedisError, OSError):
            return
        self._compared.add(keys)
        if found is None:
            nobody = (
                f"no application has declared the channels {keys} on {self._where} in the "
                f"namespace {self._names.namespace!r}: nobody hears what is published, unless "
                "one of an older version runs"
            )
            logger.warning("%s", nobody)
        elif said := disagreement(keys, declaration, found.decode(errors="replace")):
            logger.warning("%s", said)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()
