"""The one place that imports httpx, which is an extra."""

from __future__ import annotations

try:
    import httpx
except ModuleNotFoundError as error:
    msg = "the client needs httpx: pip install 'fastapi-sse-channels[client]'"
    raise ModuleNotFoundError(msg, name="httpx") from error

__all__ = ["httpx"]
