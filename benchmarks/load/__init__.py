"""The load client: a C program, and the handle to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..processes import CLIENT_CPU, BenchmarkError, Pinned

SOURCE = Path(__file__).parent / "sseload.c"
EVENT_BYTES = 200


class LoadClient(Pinned):
    """Sessions on one server; see the head of `sseload.c` for the commands."""

    def __init__(self, program: Path, port: int, *, channels: int, log: Path) -> None:
        paths = ("/events/{}", "/publish/{}")
        super().__init__(
            [str(program), str(port), str(channels), *paths, str(EVENT_BYTES)],
            cpu=CLIENT_CPU,
            log=log,
            is_piped=True,
        )

    def connect(self, sessions: int) -> float:
        """Open sessions until there are so many, and return how many opened each second."""
        answer = self._run(f"connect {sessions}")
        return float(answer["added"] / answer["seconds"])

    def closed(self, events: int, seconds: float) -> dict[str, Any]:
        return self._run(f"closed {events} {seconds}")

    def burst(self, events: int, window: int) -> dict[str, Any]:
        return self._run(f"burst {events} {window}")

    def begin(self, command: str) -> None:
        """Start a command that counts what others do, and return once it counts."""
        self._run(command)

    def say(self, line: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(f"{line}\n".encode())
        self.popen.stdin.flush()

    def answer(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.read_line())
        if "error" in answer:
            raise BenchmarkError(answer["error"])
        return answer

    def _run(self, command: str) -> dict[str, Any]:
        self.say(command)
        return self.answer()


def check(answer: dict[str, Any]) -> None:
    """Refuse a run in which anything was lost, doubled, out of order, closed or reset.

    Raises:
        BenchmarkError: It cannot be counted.
    """
    wrong = [
        f"{name}: {answer[name]}"
        for name in ("disorder", "closed", "resets", "refused")
        if answer[name]
    ]
    if answer["deliveries"] != answer["expected"]:
        wrong.append(f"{answer['deliveries']} deliveries instead of {answer['expected']}")
    if answer["fewest"] != answer["most"]:
        wrong.append(f"sessions got from {answer['fewest']} to {answer['most']} events")
    if wrong:
        raise BenchmarkError("; ".join(wrong))
