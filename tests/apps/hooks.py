"""The example application, with a page whose scripts a test has bundled."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi.responses import FileResponse, HTMLResponse

from example_app.main import app

__all__ = ["app"]

BUNDLE = Path(os.environ["HOOKS_BUNDLE"])


@app.get("/hooks")
async def page() -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><title>Hooks</title><link rel="icon" href="data:,"><body>'
        '<script type="module" src="/hooks.js"></script>'
    )


@app.get("/hooks.js")
async def script() -> FileResponse:
    return FileResponse(BUNDLE, media_type="text/javascript")
