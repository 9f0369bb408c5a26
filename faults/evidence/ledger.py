"""What clients know of the rows that they wrote, to be compared with what the database kept.

Every write has a number of its own. A client notes what came of it: acknowledged, failed for
certain, or of unknown fate. Afterwards no acknowledged number may be missing, none may be there
twice, and none that failed for certain may be there at all.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence

from databases import Database, exceptions

CERTAIN: tuple[type[Exception], ...] = (
    exceptions.ConnectionFailureError,
    exceptions.TransactionConflictError,
    exceptions.TooManyRequests,
    exceptions.WaitTimeoutError,
    exceptions.NotConnectedError,
)
"""The errors after which nothing was kept."""

KEYS = {"mysql": "INTEGER AUTO_INCREMENT PRIMARY KEY", "postgresql": "SERIAL PRIMARY KEY"}


async def create_table(database: Database) -> None:
    """Make the table, in which a number may be more than once: that is what is looked for."""
    key = KEYS.get(database.url.dialect, "INTEGER PRIMARY KEY")
    await database.execute(f"CREATE TABLE ledger (id {key}, number BIGINT NOT NULL)")


INSERT = "INSERT INTO ledger (number) VALUES (:number)"
NUMBERS = "SELECT number FROM ledger"

Write = Callable[[int], Awaitable[object]]


class Ledger:
    """The writes of some clients.

    Args:
        patience: seconds after which a call counts as one that hangs.
        first: the first number.
    """

    def __init__(self, patience: float = 30.0, first: int = 1) -> None:
        self.patience = patience
        self.acknowledged: set[int] = set()
        self.failed: set[int] = set()
        self.unknown: set[int] = set()
        self.hung = 0
        """How many calls did not end in time."""
        self.errors: Counter[str] = Counter()
        """The classes of the errors that clients got."""
        self.unexpected: list[str] = []
        """Errors that are none of ours, which no client should see."""
        self._numbers = itertools.count(first)
        self._successes: dict[int, list[float]] = {}
        """When the writes of each client were acknowledged."""

    async def attempt(self, work: Awaitable[object]) -> Exception | None:
        """Await something with the patience that there is; the error that came of it, if any."""
        try:
            async with asyncio.timeout(self.patience) as patience:
                await work
        except Exception as error:
            # The database's own number of it tells more.
            code = getattr(error, "sqlstate", None) or next(iter(error.args), None)
            known = isinstance(code, int) or (isinstance(code, str) and len(code) == 5)
            self.errors[f"{type(error).__name__} {code}" if known else type(error).__name__] += 1
            if patience.expired():
                self.hung += 1
            elif not isinstance(error, exceptions.DatabaseError):
                self.unexpected.append(repr(error))
            return error
        return None

    async def write(self, client: int, write: Write) -> bool:
        """Have a client write the next number; whether that was acknowledged."""
        number = next(self._numbers)
        successes = self._successes.setdefault(client, [])
        # Until it is known, or for ever, if this is cancelled.
        self.unknown.add(number)
        error = await self.attempt(write(number))
        if error is not None:
            if isinstance(error, CERTAIN):
                self.unknown.remove(number)
                self.failed.add(number)
            return False
        self.unknown.remove(number)
        self.acknowledged.add(number)
        successes.append(time.monotonic())
        return True

    async def keep_writing(self, client: int, write: Write, pause: float = 0.0) -> None:
        """Have a client write until it is cancelled, with a pause after each write, in seconds."""
        while True:
            # A database that refuses at once is asked again somewhat later.
            done = await self.write(client, write)
            await asyncio.sleep(pause if done else max(pause, 0.02))

    def resumed(self, moment: float) -> float | None:
        """Seconds from a moment until every client had a write acknowledged; None: not yet."""
        firsts = []
        for successes in self._successes.values():
            position = bisect_right(successes, moment)
            if position == len(successes):
                return None
            firsts.append(successes[position])
        return max(firsts) - moment if firsts else None

    async def all_resumed(self, moment: float) -> float:
        """Wait for that; infinite where a client is not at work again in time."""
        deadline = time.monotonic() + self.patience
        while (seconds := self.resumed(moment)) is None:
            if time.monotonic() > deadline:
                return float("inf")
            await asyncio.sleep(0.01)
        return seconds

    def longest_pause(self, since: float) -> float:
        """The longest time without success of any client that ended after a moment, in seconds."""
        pauses = [
            later - earlier
            for successes in self._successes.values()
            for earlier, later in itertools.pairwise(successes)
            if later >= since
        ]
        return max(pauses, default=0.0)

    def broken(self, kept: Iterable[int]) -> list[str]:
        """The promises that were broken.

        Args:
            kept: the numbers that are in the database now, each as often as it is there.
        """
        times = Counter(kept)
        lost = self.acknowledged - times.keys()
        twice = [number for number, count in times.items() if count > 1]
        back = self.failed & times.keys()
        strangers = times.keys() - self.acknowledged - self.failed - self.unknown
        found = {
            "acknowledged and lost": sorted(lost),
            "there twice": sorted(twice),
            "failed for certain and there": sorted(back),
            "there and never written": sorted(strangers),
        }
        broken = [f"{what}: {_some(numbers)}" for what, numbers in found.items() if numbers]
        if self.hung:
            broken.append(f"{self.hung} calls took longer than {self.patience:g} s")
        if self.unexpected:
            broken.append(f"an error of no class of ours: {_some(self.unexpected)}")
        return broken

    def __str__(self) -> str:
        counts = f"{len(self.acknowledged):,} acknowledged, {len(self.failed):,} failed"
        return f"{counts}, {len(self.unknown):,} unknown"


def _some(found: Sequence[object]) -> str:
    shown = ", ".join(str(each) for each in found[:5])
    return shown if len(found) <= 5 else f"{shown} and {len(found) - 5} more"
