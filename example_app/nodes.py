"""Which process serves a page, and which others could."""

from __future__ import annotations

import os
import platform
import signal

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware

# set by `example_app.cluster`: this node's name, and the addresses of all by name
NAME = os.environ.get("NODE", platform.node())
NODES = dict(pair.split("=", 1) for pair in os.environ.get("NODES", "").split())

router = APIRouter()


@router.get("/node")
async def node() -> dict[str, str | int | dict[str, str]]:
    return {"name": NAME, "process": os.getpid(), "nodes": NODES}


async def kill() -> None:
    """End this process as a power failure would."""
    os.kill(os.getpid(), signal.SIGKILL)


def join_cluster(app: FastAPI) -> None:
    """Let pages of the other nodes go on here, and be killed for show."""
    app.add_middleware(
        CORSMiddleware,
        allow_origin_regex=r"http://(localhost|127\.0\.0\.1):\d+",
        allow_methods=["POST"],
        allow_headers=["Content-Type"],
    )
    app.add_api_route("/node/kill", kill, methods=["POST"], status_code=204)
