"""How long to wait before the next attempt; all in seconds."""

from __future__ import annotations

import math
from collections.abc import Callable
from email.utils import parsedate_to_datetime

_MAX_DELAY = 30.0
# A server that asks for less is not obeyed: it would make a busy loop.
_MIN_RETRY = 0.1
_MAX_DOUBLINGS = 16
# A server that asks for more is mistaken, and timers have limits too.
_MAX_RETRY = 86_400.0


def backoff(retry: float, failures: int, random: Callable[[], float]) -> float:
    """Return `retry`, doubled for each failure since the stream was last alive.

    At most 30 s, or `retry` where the server asks for more. What has grown is spread over its upper
    half, so that clients do not come back together; the first wait is exactly `retry`, for the
    server spreads that one itself, and may ask for no less.
    """
    base = min(max(retry, _MIN_RETRY), _MAX_RETRY)
    delay = min(max(_MAX_DELAY, base), base * 2.0 ** min(failures, _MAX_DOUBLINGS))
    return max(base, delay * (0.5 + random() / 2))


def retry_after(header: str | None, now: float) -> float:
    """Return what a `Retry-After` header asks for, as seconds or as a date.

    Args:
        header: Its value, RFC 9110 section 10.2.3.
        now: The time since the epoch.

    Returns:
        0 without a usable value.
    """
    try:
        seconds = float(header) if header and header.strip().isdigit() else _until(header, now)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), _MAX_RETRY)


def _until(header: str | None, now: float) -> float:
    return parsedate_to_datetime(header).timestamp() - now if header else -math.inf
