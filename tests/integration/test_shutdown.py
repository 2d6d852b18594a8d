"""A server that stops closes its open streams first."""

from __future__ import annotations

import asyncio
import functools
import json
import signal

import httpx2
import pytest

# Some servers stop later, or noisily, for reasons that have nothing to do with streams.
SERVERS = [
    "uvicorn",
    "uvicorn-h11",
    "uvicorn-2-workers",
    "uvicorn-reload",
    "granian",
    "hypercorn",
    "hypercorn-no-worker",
    "gunicorn-asgi",
    "gunicorn-uvicorn",
]
SPREAD = range(500, 5501)


@pytest.fixture
def serve(serve, ways):
    return functools.partial(serve, env=ways)


@pytest.fixture
async def open_streams(open_stream):
    async def open_(server, count):
        streams = [
            await open_stream(f"{server.url}/discussions/{number}/events")
            for number in range(count)
        ]
        for stream in streams:
            await stream.until(b"stream-open")
            await stream.until(b"\n\n")
        return streams

    return open_


async def signalled(server, number=signal.SIGTERM):
    return await asyncio.to_thread(server.terminate, number)


class TestSignals:
    @pytest.mark.parametrize("server_name", SERVERS)
    async def test_sigterm_closes_open_streams_within_a_second(
        self, serve, open_streams, server_name
    ):
        server = serve(server=server_name)
        streams = await open_streams(server, 8)
        openings = [stream.body for stream in streams]

        stopping = asyncio.create_task(signalled(server))
        async with asyncio.timeout(1):
            for stream in streams:
                await stream.until_end()
        await stopping

        retries = []
        for stream, opening in zip(streams, openings, strict=True):
            *_, farewell = stream.frames
            retries.append(int(farewell["retry"]))
            assert stream.ended
            assert json.loads(farewell["data"]) == {"reason": "shutdown", "reconnect": True}
            assert (
                stream.body
                == opening
                + (
                    f"event: stream-close\nretry: {farewell['retry']}\n"
                    'data: {"reason":"shutdown","reconnect":true}\n\n'
                ).encode()
            )
        assert all(retry in SPREAD for retry in retries)
        assert len(set(retries)) > 1
        assert "Traceback" not in server.log
        assert "ASGI callable returned" not in server.log

    @pytest.mark.parametrize("server_name", ["uvicorn", "uvicorn-2-workers", "granian"])
    async def test_process_is_gone_within_a_second(self, serve, open_streams, server_name):
        server = serve(server=server_name)
        await open_streams(server, 4)

        assert await signalled(server) < (1 if server_name == "uvicorn" else 2)

    async def test_sigint_closes_open_streams(self, serve, open_streams):
        server = serve()
        [stream] = await open_streams(server, 1)

        assert await signalled(server, signal.SIGINT) < 1

        await stream.until_end()
        assert stream.frames[-1]["event"] == "stream-close"
        assert "Traceback" not in server.log.replace("KeyboardInterrupt", "")

    @pytest.mark.parametrize("server_name", ["granian", "hypercorn", "gunicorn-asgi"])
    async def test_sigint_closes_open_streams_of_other_servers(
        self, serve, open_streams, server_name
    ):
        server = serve(server=server_name)
        [stream] = await open_streams(server, 1)

        await signalled(server, signal.SIGINT)

        await stream.until_end()
        assert stream.frames[-1]["event"] == "stream-close"
        assert "Traceback" not in server.log

    async def test_sigint_from_gunicorn_ends_streams_but_no_worker(self, serve, open_streams):
        """The worker does not end without streams either, before gunicorn kills it."""
        server = serve(server="gunicorn-uvicorn")
        [stream] = await open_streams(server, 1)

        server.process.send_signal(signal.SIGINT)

        await stream.until_end()
        assert stream.frames[-1]["event"] == "stream-close"

    # granian alone gives nobody access to its connections
    @pytest.mark.parametrize(
        ("server_name", "seconds"),
        [
            ("uvicorn", 2),
            ("hypercorn", 5),
            ("hypercorn-no-worker", 5),
            ("gunicorn-asgi", 5),
            ("gunicorn-uvicorn", 5),
        ],
    )
    async def test_client_that_reads_nothing_does_not_delay_the_shutdown(
        self, serve, open_stream, open_streams, server_name, seconds
    ):
        server = serve(server=server_name)
        reading = (await open_streams(server, 2))[1]
        await open_stream(f"{server.url}/discussions/0/events", receive_buffer=4096)
        async with httpx2.AsyncClient(base_url=server.url, timeout=20) as client:
            text = "x" * 60_000
            for _ in range(3):
                await client.post(
                    "/discussions/0/repeated", params={"times": 60}, json={"text": text}
                )

        assert await signalled(server) < seconds

        await reading.until_end()
        assert reading.frames[-1]["event"] == "stream-close"
        assert "Traceback" not in server.log

    async def test_published_events_precede_the_close(self, serve, open_streams):
        server = serve()
        [stream] = await open_streams(server, 1)
        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/discussions/0/comments?count=7")
            await signalled(server)

        await stream.until_end()

        assert [frame.get("event", "comment") for frame in stream.frames] == [
            "stream-open",
            "comment",
            "stream-close",
        ]


class TestDraining:
    async def test_new_streams_are_refused_until_the_next_start(self, serve, open_streams):
        server = serve()
        [stream] = await open_streams(server, 1)

        async with httpx2.AsyncClient(base_url=server.url) as client:
            await client.post("/drain")
            await stream.until_end()
            refused = await client.get("/discussions/0/events")

        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "2"
        assert stream.frames[-1]["event"] == "stream-close"

    async def test_stream_requested_during_shutdown_gets_503(
        self, serve, open_stream, open_streams, eventually
    ):
        """The stream's dependency is still running when the other streams end."""
        server = serve()
        [stream] = await open_streams(server, 1)
        opening = asyncio.create_task(open_stream(f"{server.url}/late/1/events"))
        async with httpx2.AsyncClient(base_url=server.url) as client:

            async def is_asking():
                return (await client.get("/asking")).json() == ["1"]

            await eventually(is_asking)

        stopping = asyncio.create_task(signalled(server))
        await stream.until_end()
        late = await opening
        body = await late.until_end()
        await stopping

        assert (late.status, late.headers["retry-after"]) == (503, "2")
        assert b"stream-open" not in body
        assert "Traceback" not in server.log
