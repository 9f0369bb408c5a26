"""Tasks that are cancelled some steps of the event loop or some microseconds later, some twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any


class Victim:
    """A task that is cancelled, and when.

    Args:
        work: what it does.
        dice: when it is cancelled.
    """

    def __init__(self, work: Work, dice: random.Random) -> None:
        self._dice = dice
        self._loop = asyncio.get_running_loop()
        # Some are cancelled right where a block is left: COMMIT, ROLLBACK, giving back.
        self._from = dice.choice(("start", "start", "end"))
        self._again = dice.random() < 0.3
        self.name = work.__name__
        self.struck_at: list[str] = []
        """Where it was each time it was cancelled: all that it waited for."""
        self.may_go_on = False
        """Whether it goes on when it is cancelled, as no program should."""
        self.task = self._loop.create_task(self._run(work))

    @property
    def was_struck(self) -> bool:
        """Whether it was at work still when it was cancelled."""
        return bool(self.struck_at)

    async def _run(self, work: Work) -> None:
        # Some come in the same step, some later.
        for _ in range(self._dice.randrange(4)):
            await asyncio.sleep(0)
        self.is_at("start")
        await work(self)

    def is_at(self, moment: str) -> None:
        """It has come to a moment from which the time to its cancellation may be counted."""
        dice = self._dice
        if moment != self._from or dice.random() < 0.1:
            return
        if dice.random() < 0.5:
            # Not in this step: who cancels himself hides that from the next asyncio.timeout().
            self._loop.call_soon(self._strike_after, int(dice.expovariate(0.1)))
        else:
            self._loop.call_later(10 ** dice.uniform(-5, -2.2), self._strike)

    def _strike_after(self, steps: int) -> None:
        if steps:
            self._loop.call_soon(self._strike_after, steps - 1)
        else:
            self._strike()

    def _strike(self) -> None:
        where = stack_of(self.task)
        if not self.task.cancel():
            return
        self.struck_at.append(where)
        if self._again:
            self._again = False
            self._strike_after(self._dice.randrange(12))


def stacks() -> str:
    """Where each task is, for what hangs."""
    return "\n".join(f"{task.get_name()}: {stack_of(task)}" for task in asyncio.all_tasks())


def stack_of(task: asyncio.Task[Any]) -> str:
    """Where a task is, from its outermost coroutine to the innermost."""
    places: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return " > ".join(places)


Work = Callable[[Victim], Awaitable[None]]
"""What such a task does."""
