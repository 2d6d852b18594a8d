"""Serves the parsing vectors as they are, to a page that hears them with EventSource."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "client/test/wpt-vectors.json").read_text(encoding="utf-8")
)

PAGE = """<!doctype html>
<title>Vectors</title>
<link rel="icon" href="data:,">
<script>
  // what EventSource dispatches until the end of the body, which it tells as an error
  window.hear = (number, names) => new Promise((resolve) => {
    const events = []
    const source = new EventSource(`/vectors/${number}`)
    for (const name of names) {
      source.addEventListener(name, ({ type, data, lastEventId }) =>
        events.push({ event: type, data, id: lastEventId }))
    }
    source.onerror = () => {
      source.close()
      resolve(events)
    }
  })
</script>
"""

app = FastAPI()


@app.get("/page")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE)


@app.get("/vectors/{number}")
async def vector(number: int) -> Response:
    found = VECTORS[number]
    body = base64.b64decode(found["base64"]) if "base64" in found else found["input"].encode()
    return Response(body, media_type="text/event-stream")
