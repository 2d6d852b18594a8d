"""Serve the example: `python -m example_app`."""

from __future__ import annotations

import contextlib
import os
import socket

import uvicorn


class Server(uvicorn.Server):
    """Says where the page is once it really is there."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            address = f"http://{self.config.host}:{self.config.port}"
            print(f"Open {address} in two windows (Ctrl+C ends)", flush=True)  # noqa: T201


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8000"))
    with contextlib.suppress(KeyboardInterrupt):
        Server(uvicorn.Config("example_app.main:app", port=port, log_level="warning")).run()
