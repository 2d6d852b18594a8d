"""Says that others write under the names of this library."""

from __future__ import annotations

import logging
from typing import Literal

logger = logging.getLogger("fastapi_sse_channels")

How = Literal["published to", "stored in"]


class Complaints:
    """Logs each kind of foreign data once; it may come without end."""

    def __init__(self) -> None:
        """Have complained of nothing yet."""
        self._said: set[How] = set()

    def say(self, how: How, where: bytes, what: object) -> None:
        """Log what was found, unless its kind was logged before.

        Args:
            how: The kind.
            where: The channel or key.
            what: What is wrong with it.
        """
        if how not in self._said:
            self._said.add(how)
            logger.error(
                "something that this library did not write is %s %r (%s); it is skipped, and "
                "more of it will not be logged. Give each application a namespace of its own",
                how,
                where,
                what,
            )
