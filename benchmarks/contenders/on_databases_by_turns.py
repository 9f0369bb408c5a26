"""This library, watched in one way after the other, for some hundredths of a second each.

Two processes differ by some per cent for as long as they live (in how memory is laid out, in the
seed of their hashes), and a busy machine from one second to the next by a third. So here all ways
take turns in one process, in the same tasks, which go on repeating the operation; and CPU time is
measured, of all threads. What is counted begins some operations after each change, when the
interpreter has adapted the code to it and its objects are in the caches.
"""

from __future__ import annotations

import asyncio
import json
import platform
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import databases
from contenders.answering import SQLITE
from contenders.on_databases_watched import connected
from contenders.watching import AGAIN, AS_IT_IS, INSPECTOR, SUBSCRIBER, WITHOUT_HOOKS, Watching

NEAR = [AS_IT_IS, WITHOUT_HOOKS, AGAIN]
"""What differs by little: measured for a short time each, and often, which noise harms least."""

WATCHED = [SUBSCRIBER, INSPECTOR]
"""What differs by more: every tenth round, but for long enough that the inspector counts what it
has recorded as often as it otherwise does."""

COUNTED = {
    "point": (300, 1_000),
    "core": (200, 500),
    "insert": (300, 1_000),
    "transaction": (50, 50),
}
"""Operations that are counted at a time in the ways of either kind."""


class Turns:
    """Has the ways take turns, in an order that chance gives to each round.

    Args:
        watching: begins and ends them.
        tasks: how many repeat the operation.
        counted: operations that are counted each time, in the ways of either kind.
        seconds: after which no further round is begun.
    """

    def __init__(
        self, watching: Watching, tasks: int, counted: tuple[int, int], seconds: float
    ) -> None:
        self.rounds: list[dict[str, float]] = []
        """CPU seconds of an operation in each way, round by round."""
        self._watching = watching
        self._near, self._watched = counted
        # Those that are under way at a change, and some more.
        self._uncounted = tasks + self._near // 10
        self._until = time.perf_counter() + seconds
        self._dice = random.Random(0)
        self._left: list[str] = []
        self._way = ""
        self._done = 0
        self._began_at = self._turn_at = 0
        self._began: float | None = None
        self._closed = False

    async def repeat(self, operation: Callable[[], Awaitable[None]]) -> None:
        """Repeat an operation until the time is over: the work of one task."""
        while not self._closed:
            await operation()
            self._done += 1
            if self._done >= self._turn_at:
                self._turn()

    def _turn(self) -> None:
        if self._closed:
            return
        if self._way and self._began is None:
            counted = self._watched if self._way in WATCHED else self._near
            self._began_at, self._turn_at = self._done, self._done + counted
            self._began = time.process_time()
            return
        if self._began is not None:
            self._watching.end()
            took = time.process_time() - self._began
            self.rounds[-1][self._way] = took / (self._done - self._began_at)
            self._began = None
        if not self._left:
            if time.perf_counter() > self._until:
                self._closed = True
                return
            self.rounds.append({})
            ways = NEAR + WATCHED if len(self.rounds) % 10 == 1 else NEAR
            self._left = self._dice.sample(ways, len(ways))
        self._way = self._left.pop()
        self._watching.begin(self._way)
        self._turn_at = self._done + self._uncounted


async def _answer() -> None:
    async with connected(sys.argv[1]) as (watching, operations):
        _say(
            {
                "library": f"databases {databases.__version__}",
                "python": platform.python_version(),
                "below": SQLITE,
                "operations": sorted(COUNTED),
            }
        )
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            name, tasks, seconds = asked["operation"], asked["tasks"], asked["seconds"]
            turns = Turns(watching, tasks, COUNTED[name], seconds)
            await asyncio.gather(*(turns.repeat(operations[name]) for _ in range(tasks)))
            _say({"rounds": turns.rounds})


def _say(answered: dict[str, Any]) -> None:
    print(json.dumps(answered), flush=True)


if __name__ == "__main__":
    asyncio.run(_answer())
