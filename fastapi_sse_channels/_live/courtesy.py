"""How long publishing waits for readers."""

from __future__ import annotations


class Courtesy:
    """How long the publishers of a channel wait for readers that they cannot hurry. Pure.

    Publishers wait as long as it takes for a reader that goes on reading. All other readers share a
    budget: one publish waits `patience` at most, and all together wait a tenth of the time. A
    guest, who is opening a stream or has not asked for an event yet, gets a twentieth of that, and
    guests leave half of the budget to the others.

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
