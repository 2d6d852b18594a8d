"""The rooms, and redirects to wherever a test wants; every page of every origin may read it all."""

from __future__ import annotations

from fastapi import Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import RedirectResponse
from starlette.middleware.base import RequestResponseEndpoint
from starlette.responses import Response

from tests.apps.rooms import app

__all__ = ["app"]

Visit = tuple[str, str | None, str | None]

visits: list[Visit] = []


@app.middleware("http")
async def note_headers(request: Request, call_next: RequestResponseEndpoint) -> Response:
    if request.method == "GET":
        headers = request.headers
        visits.append((request.url.path, headers.get("x-api-key"), headers.get("authorization")))
    return await call_next(request)


# as an attacker would answer: a preflight that asks for any header is granted
app.add_middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["*"])


@app.get("/redirect")
async def redirect(to: str) -> RedirectResponse:
    return RedirectResponse(to)


@app.get("/visits")
async def seen() -> list[Visit]:
    return visits
