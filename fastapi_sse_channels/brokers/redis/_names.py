"""The names of everything that a broker keeps in Redis. Pure.

Keys of one channel share a hash tag, so that a Redis Cluster keeps them on one node.
"""

from __future__ import annotations

from urllib.parse import quote


class Names:
    """Key and channel names inside one namespace."""

    __slots__ = ("_event_prefix", "namespace", "pattern")

    def __init__(self, namespace: str) -> None:
        """Encode the namespace; applications that share a Redis need different ones."""
        self.namespace = quote(namespace, safe="")
        self._event_prefix = f"{self.namespace}:ev:{{"
        # the namespace is encoded, so the only glob character is our own
        self.pattern = f"{self._event_prefix}*"

    def channel(self, key: str) -> str:
        """The pub/sub channel of events."""
        return f"{self._event_prefix}{key}}}"

    def key_of(self, channel: bytes) -> str | None:
        """Return the key whose events a pub/sub channel carries, `None` if it is not ours."""
        try:
            text = channel.decode("ascii")
        except UnicodeDecodeError:
            return None
        if not text.startswith(self._event_prefix) or not text.endswith("}"):
            return None
        return text[len(self._event_prefix) : -1]

    def position(self, key: str) -> str:
        """The hash that holds a channel's epoch and top."""
        return f"{self.namespace}:pos:{{{key}}}"

    def log(self, key: str) -> str:
        """The stream that holds a channel's entries."""
        return f"{self.namespace}:log:{{{key}}}"

    def receipt(self, key: str, idempotency_key: str) -> str:
        """The hash that remembers an idempotent publish."""
        return f"{self.namespace}:rcpt:{{{key}}}:{quote(idempotency_key, safe='')}"

    def counts(self, key: str) -> str:
        """The hash of session counts by node."""
        return f"{self.namespace}:cnt:{{{key}}}"

    def lease(self, node: str) -> str:
        """The key that lives as long as a node does."""
        return f"{self.namespace}:node:{node}"

    def probe(self, node: str) -> str:
        """The pub/sub channel on which a node listens to itself."""
        return f"{self.namespace}:probe:{{{node}}}"
