"""Counts how many operations a contender gets done in a second."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

WARM_UP = 0.2
"""Seconds before the counting."""

FEWEST = 3
"""Operations that are waited for, however long they take."""

IN_STEP = 20
"""Operations of synchronous code between two looks at the clock."""


class Meter:
    """Counts what concurrent tasks get done in a time.

    The counting begins and ends at an answer, so that operations which take long are not counted
    by halves. It goes on beyond its time until every task has had an answer: of operations that
    wait for a lock until they fail, a shorter time would show only the few that went through.

    Args:
        seconds: the time.
        tasks: how many tasks will repeat an operation.
        patience: seconds beyond the time after which it ends, whatever is still waited for.
    """

    def __init__(self, seconds: float, tasks: int = 1, patience: float = 15.0) -> None:
        self.open = False
        self.closed = False
        self.successes = 0
        self.errors = 0
        self._first_error = ""
        self._unanswered = tasks
        self._seconds = seconds
        self._patience = patience
        self._turn_at = time.perf_counter() + WARM_UP
        self._opened: tuple[float, int, int] = (0, 0, 0)
        self._result: dict[str, Any] = {}

    async def repeat(self, operation: Callable[[], Awaitable[None]]) -> None:
        """Repeat an operation until the time is over: the work of one task."""
        clock = time.perf_counter
        answered = False
        while not self.closed:
            try:
                await operation()
            except Exception as error:
                self.errors += 1
                self._first_error = self._first_error or f"{type(error).__name__}: {error}"
            else:
                self.successes += 1
            if not answered and self.open:
                answered = True
                self._unanswered -= 1
            if clock() >= self._turn_at:
                self._turn()

    def repeat_in_step(self, operation: Callable[[], None]) -> None:
        """Repeat an operation of synchronous code until the time is over."""
        self._unanswered = 0
        while not self.closed:
            for _ in range(IN_STEP):
                operation()
            self.successes += IN_STEP
            if time.perf_counter() >= self._turn_at:
                self._turn()

    def _turn(self) -> None:
        """Begin to count, or end it if nothing has to be waited for."""
        now = time.perf_counter()
        if not self.open:
            self.open = True
            self._opened = (now, self.successes, self.errors)
            self._turn_at = now + self._seconds
            return
        if self.closed:
            return
        began, successes, errors = self._opened
        successes, errors = self.successes - successes, self.errors - errors
        enough = self._unanswered <= 0 and successes + errors >= FEWEST
        if enough or now > self._turn_at + self._patience:
            self.closed = True
            self._result = {
                "rate": successes / (now - began),
                "answers": successes + errors,
                "errors": errors,
                "unanswered": max(0, self._unanswered),
            }

    def result(self) -> dict[str, Any]:
        """What was counted; and all that succeeded, before, then and after."""
        return {
            **self._result,
            "first_error": self._first_error,
            "successes_in_all": self.successes,
        }


async def measured(
    operation: Callable[[], Awaitable[None]], tasks: int, seconds: float, patience: float
) -> dict[str, Any]:
    """Repeat an operation in concurrent tasks."""
    meter = Meter(seconds, tasks, patience)
    await asyncio.gather(*(meter.repeat(operation) for _ in range(tasks)))
    return meter.result()
