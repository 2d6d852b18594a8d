"""The event that every server sends."""

from __future__ import annotations

import json

# the JSON around it brings an event to 200 bytes
TEXT = "x" * 120


def event_json(ts: int, seq: int, text: str) -> str:
    """Encode what the load client would post."""
    event = {"type": "order-updated", "ts": ts, "seq": seq, "text": text}
    return json.dumps(event, separators=(",", ":"))
