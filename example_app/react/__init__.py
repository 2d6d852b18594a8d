"""The application with its React page at `/react/`: `uvicorn example_app.react:app`.

The page is built first: `npm run build` in this folder and, before it, in `client`.
"""

from pathlib import Path

from fastapi.staticfiles import StaticFiles

from example_app.main import app

__all__ = ["app"]

DIST = Path(__file__).parent / "dist"

app.mount("/react", StaticFiles(directory=DIST, html=True))
