"""How long publishing waits for readers that would be overrun. Pure.

A reader that reads has credit: each piece that its connection takes, once it has had to wait for
one, buys it a moment for which it may hold up publishers. So a reader that keeps a certain pace is
waited for as long as a burst lasts, and one that stops reading uses up what it has. For all others
a channel has a small budget of time, which no number of clients can enlarge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.log import PIECE

if TYPE_CHECKING:
    from .reader import Reader

# Seconds of credit for a byte: the pace of a reader that is waited for is 640 KiB a second.
_CREDIT = 0.05 / PIECE

# Shares of the longest wait of one publish, and, for the refill, of the time. More of that would be
# seen in the 99th percentile of publishing.
_BUDGET = 0.1
_REFILL = 0.002
_STRANGER = 0.1
_GUEST = 0.05


def earned(credit: float, waited: float, nbytes: int, *, most: float) -> float:
    """Return the credit of a reader whose connection took a piece.

    Args:
        credit: The credit before, in seconds.
        waited: Seconds for which the connection did not take it.
        nbytes: The length of the piece.
        most: Seconds of credit that can be saved.
    """
    return min(most, max(0.0, credit - waited) + nbytes * _CREDIT)


class Patience:
    """The patience of one channel's publishers.

    Attributes:
        longest: Seconds for which one publish waits at most.
        step: Seconds after which to look again.
    """

    __slots__ = ("_spent", "_spent_at", "longest", "step")

    def __init__(self, longest: float) -> None:
        """Start with the whole budget."""
        self.longest = longest
        self.step = longest * _GUEST
        self._spent = 0.0
        self._spent_at = 0.0

    def allows(self, reader: Reader, now: float) -> bool:
        """Whether publishing waits for a reader.

        Readers without credit are strangers, who get a tenth of the longest wait, or guests, who
        are opening their stream or have not asked for an event yet: they get a twentieth, and leave
        half of the budget to the others.
        """
        since = reader.stuck_since
        if since is None:
            # it is handed what there is as soon as the event loop comes to that
            return True
        left = self.longest * _BUDGET - self._spent_by(now)
        if reader.is_guest:
            grace = self.longest * _GUEST if left > self.longest * _BUDGET / 2 else 0.0
        else:
            grace = self.longest * _STRANGER if left > 0 else 0.0
        return now - since < min(self.longest, reader.credit + grace)

    def spend(self, stuck_since: float, credit: float, began: float, ended: float) -> None:
        """Take a wait from the budget, except for what the reader had credit for.

        Waits at the same time count once.

        Args:
            stuck_since: Since when the reader was stuck.
            credit: The credit that it had.
            began: When the wait began.
            ended: When it ended.
        """
        charged_from = max(began, self._spent_at, stuck_since + credit)
        spent = self._spent_by(ended) + max(0.0, ended - charged_from)
        self._spent, self._spent_at = spent, max(ended, self._spent_at)

    def _spent_by(self, now: float) -> float:
        return max(0.0, self._spent - max(0.0, now - self._spent_at) * _REFILL)
