"""Typed Server-Sent-Events channels for FastAPI."""

from ._channel import Channel, Session
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
from ._http.browser_module import client_url, create_client_router
from ._http.lifespan import sse_lifespan
from ._http.middleware import SSEMiddleware
from ._http.router import create_sse_router
from ._http.unavailable import broker_error_handler
from ._manager import ChannelManager
from ._publisher import Publisher
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
    "broker_error_handler",
    "client_url",
    "create_client_router",
    "create_sse_router",
    "sse_lifespan",
]
