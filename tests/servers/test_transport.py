"""The server is found behind the functions that middlewares wrap around its own."""

from __future__ import annotations

import asyncio
import functools
import socket
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from fastapi_sse_channels._servers.transport import bound_buffer, left_by_peer, transport_behind


class Transport(asyncio.Transport):
    """A server's transport."""


class Cycle:
    """Shaped like uvicorn's request-response cycle."""

    def __init__(self):
        self.transport = Transport()

    async def receive(self):
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message):
        pass


async def dispatch(request, call_next):
    return await call_next(request)


MIDDLEWARES: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "none": [],
    "cors": [(CORSMiddleware, {"allow_origins": ["*"]})],
    "gzip": [(GZipMiddleware, {})],
    "base": [(BaseHTTPMiddleware, {"dispatch": dispatch})],
    "two bases": [(BaseHTTPMiddleware, {"dispatch": dispatch})] * 2,
    "all": [
        (CORSMiddleware, {"allow_origins": ["*"]}),
        (BaseHTTPMiddleware, {"dispatch": dispatch}),
        (GZipMiddleware, {}),
    ],
}


@pytest.mark.parametrize("name", MIDDLEWARES)
async def test_transport_is_found_behind_middlewares(name):
    found: list[Any] = []

    class Endpoint:
        async def __call__(self, _scope, receive, send):
            found.append(transport_behind(send, receive))
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    app = FastAPI()
    app.mount("/", Endpoint())
    for middleware, options in MIDDLEWARES[name]:
        app.add_middleware(middleware, **options)
    cycle = Cycle()
    headers = [(b"origin", b"http://test"), (b"accept-encoding", b"gzip")]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
    }

    await app(scope, cycle.receive, cycle.send)

    assert found == [cycle.transport]


async def test_transport_is_found_behind_functions_of_every_shape():
    cycle = Cycle()

    def closing_over(send):
        async def wrapped(message):
            await send(message)

        return wrapped

    class Owner:
        def __init__(self, send):
            self.send = send

        async def wrapped(self, message):
            await self.send(message)

    async def partially(message, send):
        await send(message)

    send = closing_over(Owner(functools.partial(partially, send=cycle.send)).wrapped)

    assert transport_behind(send, None) is cycle.transport


class Part:
    """A part of a server that leads to another part."""

    def __init__(self, send=None, **places):
        self.send = send
        self.__dict__ |= places

    async def stream_send(self, event):
        pass

    async def receive(self):
        pass


def test_transport_of_hypercorn_is_found_in_its_stream_writer():
    transport = Transport()
    tcp_server = Part(writer=Part(transport=transport))
    h11 = Part(tcp_server.stream_send)

    assert transport_behind(Part(h11.stream_send).stream_send, None) is transport


def test_transport_shared_by_http2_streams_is_not_returned():
    tcp_server = Part(writer=Part(transport=Transport()))
    h2 = Part(tcp_server.stream_send, streams={})

    assert transport_behind(Part(h2.stream_send).stream_send, None) is None


def test_transport_of_gunicorn_is_found_behind_its_body_receiver():
    transport = Transport()
    body_receiver = Part(protocol=Part(transport=transport))

    assert transport_behind(print, body_receiver.receive) is transport


@pytest.mark.parametrize("send", [None, print, lambda _message: None, functools.partial(print)])
def test_transport_of_a_server_that_hides_it_is_none(send):
    assert transport_behind(send, send) is None


def test_transport_behind_an_unassigned_send_is_none():
    def wrapping():
        def wrapped(message):
            return send(message)

        assert transport_behind(wrapped, wrapped) is None
        send = print

    wrapping()


def test_search_ends_in_a_circle_of_wrappers():
    class Circle:
        async def send(self, message):
            pass

        async def other(self, message):
            pass

    circle = Circle()
    circle.send = circle.other  # type: ignore[method-assign]

    assert transport_behind(circle.send, circle.send) is None


class TestLeftByPeer:
    @pytest.fixture
    async def connected(self):
        """Connect two transports that nobody reads from."""

        async def connect(end):
            transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
                asyncio.Protocol, sock=end
            )
            assert isinstance(transport, asyncio.Transport)
            transport.pause_reading()
            return transport

        transports = [await connect(end) for end in socket.socketpair()]
        yield transports
        for transport in transports:
            transport.abort()

    async def test_open_connection_is_not_left(self, connected):
        assert left_by_peer(connected) == []

    async def test_connection_that_the_peer_closed_is_left_even_unread(self, connected, eventually):
        ours, theirs = connected
        theirs.write(b"more requests")
        theirs.close()

        await eventually(lambda: left_by_peer([ours]) == [ours])
        assert not ours.is_closing()

    async def test_closing_connection_is_left(self, connected):
        ours, theirs = connected
        ours.close()

        assert left_by_peer([ours]) == [ours]
        assert left_by_peer([theirs, ours])[0] is ours

    def test_transport_without_a_socket_is_not_left(self):
        class Without(Transport):
            def is_closing(self):
                return False

        assert left_by_peer([Without()]) == []


class TestBoundBuffer:
    @pytest.mark.parametrize("ssl_object", [None, object()])
    def test_connection_with_tls_alone_is_bounded(self, ssl_object):
        class Connection(Transport):
            limits: tuple[int | None, int | None] | None = None

            def get_extra_info(self, name, default=None):
                return ssl_object if name == "ssl_object" else default

            def set_write_buffer_limits(self, high=None, low=None):
                self.limits = high, low

        connection = Connection()
        bound_buffer(connection)

        assert connection.limits == (None if ssl_object is None else (16 * 1024, None))
