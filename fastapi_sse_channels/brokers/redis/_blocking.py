"""Publishing without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from ..._errors import ConfigurationError, PublishError
from ._connect import address_of, database_of, options_for
from ._envelope import NotOursError
from ._explain import explain
from ._names import Names
from ._scripts import PUBLISH, parse_position, publish_call

if TYPE_CHECKING:
    from ..._log import Retention
    from ..._position import Position


class BlockingStore:
    """Runs the same script as the broker, over a blocking client."""

    def __init__(self, url: str, *, namespace: str, seconds: float) -> None:
        """Prepare a client.

        Raises:
            ConfigurationError: The URL is not one of Redis.
        """
        # connecting and the command each take half at most
        options = {**options_for(seconds / 2), "retry": Retry(NoBackoff(), 0)}
        try:
            self._client: Any = Redis.from_url(url, **options)
        except ValueError as error:
            msg = f"{url!r} is not a Redis URL ({error}); use redis://host:port/db"
            raise ConfigurationError(msg) from error
        # the URL's own options win over arguments, but these are not for the user to choose
        self._client.connection_pool.connection_kwargs.update(options)
        self._where = f"Redis at {address_of(self._client)}"
        self._names = Names(namespace, database_of(self._client))

    def publish(
        self, key: str, body: bytes, retention: Retention, idempotency_key: str | None
    ) -> Position:
        """Run `publish.lua`.

        Raises:
            PublishError: The event is not known to be stored.
        """
        keys, arguments = publish_call(self._names, key, body, retention, idempotency_key)
        call = (len(keys), *keys, *arguments)
        try:
            try:
                reply = self._client.evalsha(PUBLISH.sha1, *call)
            except NoScriptError:  # the server restarted: nothing was run
                reply = self._client.eval(PUBLISH.text, *call)
            return parse_position(reply)
        except (RedisError, OSError, NotOursError) as error:
            raise PublishError(explain(error, self._where, self._names)) from error

    def close(self) -> None:
        """Close every connection."""
        self._client.close()
