"""What clients are told while the store is away."""

from __future__ import annotations

import logging

from fastapi import Request
from fastapi.responses import JSONResponse

logger = logging.getLogger("fastapi_sse_channels")

RETRY_AFTER = {"Retry-After": "2"}
# Which keys there are, where the store is and who has which rights there, is not for every client
# to know; the log has it.
UNAVAILABLE = "events are not available at present; the server's log says why"


async def broker_error_handler(request: Request, error: Exception) -> JSONResponse:
    """Answer 503 with `Retry-After` where a handler fails because the store is away.

    `app.add_exception_handler(BrokerError, broker_error_handler)`. The log has the details. What
    the handler did before it published stays done, so use it where repeating a request is safe.

    Args:
        request: The request.
        error: What its handler raised.
    """
    logger.error("%s %s answered with 503: %s", request.method, request.url.path, error)
    return JSONResponse({"detail": UNAVAILABLE}, 503, headers=RETRY_AFTER)
