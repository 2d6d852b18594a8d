"""Typed Server-Sent-Events channels for FastAPI."""

from ._channel import Channel
from ._client_router import client_url, create_client_router
from ._errors import (
    BrokerClosedError,
    BrokerError,
    BrokerNotStartedError,
    ConfigurationError,
    DrainingError,
    EventTooLargeError,
    InvalidEventError,
    InvalidResourceIdError,
    PublishError,
    SessionLimitError,
    SnapshotTooSlowError,
    SSEChannelsError,
    StreamResetError,
    WrongThreadError,
)
from ._handoff import SSEMiddleware
from ._lifespan import sse_lifespan
from ._manager import ChannelManager
from ._publisher import Publisher
from ._router import create_sse_router
from ._session import Session
from ._subscription import Subscription
from ._sync_publisher import SyncPublisher
from .brokers import Broker, MemoryBroker

__all__ = [
    "Broker",
    "BrokerClosedError",
    "BrokerError",
    "BrokerNotStartedError",
    "Channel",
    "ChannelManager",
    "ConfigurationError",
    "DrainingError",
    "EventTooLargeError",
    "InvalidEventError",
    "InvalidResourceIdError",
    "MemoryBroker",
    "PublishError",
    "Publisher",
    "SSEChannelsError",
    "SSEMiddleware",
    "Session",
    "SessionLimitError",
    "SnapshotTooSlowError",
    "StreamResetError",
    "Subscription",
    "SyncPublisher",
    "WrongThreadError",
    "client_url",
    "create_client_router",
    "create_sse_router",
    "sse_lifespan",
]
