"""The names of everything that a broker keeps in Redis. Pure.

Keys of one channel share a hash tag, so that a Redis Cluster keeps them on one node.
"""

from __future__ import annotations

from urllib.parse import quote

from ..._errors import ConfigurationError
from .._base import digest

# idempotency keys of so many characters are kept as they are, for whoever looks into Redis
_LONGEST_RECEIPT = 64


class Names:
    """Key and channel names inside one namespace."""

    __slots__ = ("_event_prefix", "namespace", "pattern")

    def __init__(self, namespace: str, database: int = 0) -> None:
        """Encode the namespace; applications that share a database need different ones.

        Args:
            namespace: Begins every name.
            database: Part of every pub/sub channel, for `SELECT` keeps only keys apart.

        Raises:
            ConfigurationError: The namespace is empty.
        """
        if not namespace:
            msg = "namespace is empty; name the application, such as 'shop'"
            raise ConfigurationError(msg)
        self.namespace = quote(namespace, safe="")
        events = f"ev{database}" if database else "ev"
        self._event_prefix = f"{self.namespace}:{events}:{{"
        # the namespace is encoded, so the only glob character is our own
        self.pattern = f"{self._event_prefix}*"

    @property
    def rights(self) -> str:
        """What `ACL SETUSER` has to grant."""
        # Redis 6.2 gives a new user every channel. A subscribed pattern has to be granted
        # literally: `&sse:*` does not cover `sse:ev:{*`.
        return (
            f"~{self.namespace}:* resetchannels &{self.namespace}:* &{self.pattern} "
            "+@read +@write +@scripting +@pubsub +time +select -@dangerous"
        )

    def channel(self, key: str) -> str:
        """The pub/sub channel of events."""
        return f"{self._event_prefix}{key}}}"

    def position(self, key: str) -> str:
        """The hash that holds a channel's epoch and top."""
        return f"{self.namespace}:pos:{{{key}}}"

    def log(self, key: str) -> str:
        """The stream that holds a channel's entries."""
        return f"{self.namespace}:log:{{{key}}}"

    def receipt(self, key: str, idempotency_key: str) -> str:
        """The hash that remembers an idempotent publish."""
        if len(idempotency_key) > _LONGEST_RECEIPT:
            # no quoted name has a colon
            name = f"blake2b:{digest(idempotency_key).hex()}"
        else:
            # a lone surrogate is as good a name as any
            name = quote(idempotency_key, safe="", errors="surrogatepass")
        return f"{self.namespace}:rcpt:{{{key}}}:{name}"

    def counts(self, key: str) -> str:
        """The hash of session counts by node."""
        return f"{self.namespace}:cnt:{{{key}}}"

    def declaration(self, keys: str) -> str:
        """The key that says how the channels of a key space are declared."""
        return f"{self.namespace}:decl:{quote(keys, safe='')}"

    def lease(self, node: str) -> str:
        """The key that lives as long as a node does."""
        return f"{self.namespace}:node:{node}"

    def probe(self, node: str) -> str:
        """The pub/sub channel on which a node listens to itself."""
        return f"{self.namespace}:probe:{{{node}}}"
