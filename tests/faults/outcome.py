"""The outcome of a fault, and the promises of the library. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from .verdict import Tally

# The library promises these times, in seconds.
HEALED_WITHIN = 1.0
NOTICED_WITHIN = 10.0
PUBLISH_WITHIN = 2.0
LONGEST_STALL = 0.1


@dataclass
class Outcome:
    """The outcome of a fault.

    Attributes:
        fault: Its name.
        acknowledged: Events whose publisher got the confirmation that they are stored.
        forgotten: Acknowledged events that the store did not keep.
        tally: What went wrong, summed over the clients.
        failures: Publishes that raised `PublishError`.
        healed: Seconds until the last client got an event again.
        heals_within: Seconds that this may take.
        healing_starved: Seconds meanwhile for which processes that take part had no CPU.
        noticed: Seconds until `is_healthy` was false on the last node concerned, if it hung.
        stall: Longest that a node's event loop was kept from running, in seconds.
        slowest: Seconds that the longest publish took.
        starved: Seconds of that publish for which the machine had no CPU for it.
        complaints: What else is wrong.
    """

    fault: str
    acknowledged: int = 0
    forgotten: int = 0
    tally: Tally = field(default_factory=Tally)
    failures: int = 0
    healed: float = 0.0
    heals_within: float = HEALED_WITHIN
    healing_starved: float = 0.0
    noticed: float | None = None
    stall: float = 0.0
    slowest: float = 0.0
    starved: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def problems(self) -> list[str]:
        """Name every promise that was broken."""
        counts = {
            "events lost": self.tally.lost,
            "events duplicated": self.tally.duplicated,
            "events out of order": self.tally.disordered,
            "resets without a reason": self.tally.undue_resets,
            "resets missing": self.tally.missed_resets,
        }
        times = [
            ("first event after healing", self.healed - self.healing_starved, self.heals_within),
            ("fault noticed", self.noticed or 0.0, NOTICED_WITHIN),
            ("publish ended", self.slowest - self.starved, PUBLISH_WITHIN),
            ("event loop stalled", self.stall, LONGEST_STALL),
        ]
        return [
            *self.complaints,
            *(f"{what}: {count}" for what, count in counts.items() if count),
            *(f"{what} after {s:.3f} s" for what, s, bound in times if s > bound),
        ]
