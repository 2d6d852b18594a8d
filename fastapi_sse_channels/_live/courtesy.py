"""How long publishing waits for readers."""

from __future__ import annotations


class Courtesy:
    """How long the publishers of a channel wait for readers that they cannot hurry. Pure.

    A reader that goes on reading is waited for as long as that takes. For all others there is a
    budget: one publish waits `patience` at most, and all together a tenth of the time. Guests, who
    are opening their stream or have not asked for an event yet, get a twentieth of that each, and
    leave half of the budget to the others.

    Attributes:
        patience: Seconds.
        step: Seconds after which to look again.
    """

    __slots__ = ("_spent", "_spent_at", "patience", "step")

    SHARE_OF_TIME = 0.1
    SHARE_OF_GUEST = 0.05

    def __init__(self, patience: float) -> None:
        """Start with the whole budget."""
        self.patience = patience
        self.step = patience * self.SHARE_OF_GUEST
        self._spent = 0.0
        self._spent_at = 0.0

    def limits(self, now: float) -> tuple[float, float]:
        """Return for how many seconds a stuck reader is waited for: one that reads; a guest."""
        left = self.patience - self._spent_by(now)
        return (
            self.patience if left > 0 else 0.0,
            self.step if left > self.patience / 2 else 0.0,
        )

    def spend(self, began: float, ended: float) -> None:
        """Count a wait; waits at the same time count once."""
        spent = self._spent_by(ended) + max(0.0, ended - max(began, self._spent_at))
        self._spent, self._spent_at = spent, max(ended, self._spent_at)

    def _spent_by(self, now: float) -> float:
        paid_back = max(0.0, now - self._spent_at) * self.SHARE_OF_TIME
        return max(0.0, self._spent - paid_back)
