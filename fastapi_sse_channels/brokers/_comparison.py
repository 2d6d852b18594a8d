"""Compare what two programs declare of the same channels. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator


def disagreement(keys: str, ours: str, theirs: str) -> str | None:
    """Say where two declarations of the same channels differ.

    Args:
        keys: The name of the channels' keys.
        ours: The declaration of this program, as its `summary`.
        theirs: That of another one; what is not a declaration says nothing.
    """
    try:
        mine, others = json.loads(ours), json.loads(theirs)
        differences = "; ".join(_differences(mine, others))
    except (ValueError, AttributeError, TypeError):
        return None
    if not differences:
        return None
    return (
        f"the channels {keys} are declared differently elsewhere: {differences}. Each publish "
        "trims the history to what its own program declares: give all the same values, or use "
        "manager.sync_publisher() in scripts"
    )


def _differences(mine: dict[str, object], others: dict[str, object]) -> Iterator[str]:
    for name, value in mine.items():
        if name in others and others[name] != value:
            yield f"{name} is {value!r} here and {others[name]!r} there"
