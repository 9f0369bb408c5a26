"""A storm of cancellations on a real database: nothing is lost, mixed up or left behind.

In each round many tasks do at random what can be done with a database, and each is cancelled some
steps of the event loop or some microseconds later, some of them twice. After each round all has to
be as if nobody had been cancelled: the pool whole, the server idle, and of every write the whole
there or nothing of it. A few hundred run in the tests, 100,000 on each backend by
``scripts/faults cancel``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import sqlite3
import time
from collections.abc import Callable
from typing import Any

from databases import Database
from faults.evidence.storm_works import ACCOUNTS, EACH, Works
from faults.evidence.victims import Victim, stacks
from tests.library.kinds import Kind, Network
from tests.library.places import OnServer, Place, until
from tests.library.pools import is_whole, pool_of

_TASKS = 30
_SEASON = 40
"""Rounds after which the database is disconnected, and connected with other options."""

_PATIENCE = 30.0
"""Seconds in which a round that takes some milliseconds has to be over, or it hangs."""


@dataclasses.dataclass
class Counts:
    """What a storm has come to."""

    rounds: int = 0
    tasks: int = 0
    cancellations: int = 0
    """Calls of ``cancel()`` that found their task at work."""
    finished: int = 0
    """Tasks that got to their end."""
    timeouts: int = 0
    written: int = 0
    """Writes that were acknowledged; each was found."""
    kept_unheard: int = 0
    """Writes that were cancelled, and kept all the same: as a whole."""
    seconds: float = 0.0

    def __str__(self) -> str:
        rate = self.cancellations / self.seconds if self.seconds else 0.0
        return (
            f"{self.cancellations:,} cancellations of {self.tasks:,} tasks in {self.rounds:,} "
            f"rounds, {self.seconds:.0f} s ({rate:,.0f} a second); {self.finished:,} tasks "
            f"finished, {self.timeouts:,} queries timed out, {self.written:,} writes were "
            f"acknowledged and found, {self.kept_unheard:,} kept unheard"
        )


class CancellationStorm:
    """Tasks on one database that are cancelled at any moment.

    Args:
        kind: the database and the driver.
        place: where it is, to look at it from outside.
        url: how it is reached.
        seed: of all that is random.
    """

    def __init__(self, kind: Kind, place: Place, url: str, seed: int = 0) -> None:
        self.kind = kind
        self.place = place
        self.url = url
        self.dice = random.Random(seed)
        self.counts = Counts()
        self._works = Works(kind, url, self.dice)
        self._before: set[asyncio.Task[Any]] = set()

    async def run(self, cancellations: int) -> Counts:
        """Go on until so many tasks were cancelled.

        Raises:
            AssertionError: with the round, where something is lost, mixed up or left.
        """
        self._before = asyncio.all_tasks()
        begun = time.monotonic()
        try:
            await self._run(cancellations)
        finally:
            self.counts.seconds = time.monotonic() - begun
        return self.counts

    async def _run(self, cancellations: int) -> None:
        counts = self.counts
        async with Database(self.url) as database:
            await self._works.create_tables(database)
            # Of a database in memory there is nothing once it is closed.
            self._works.database = database
            while self.kind.name == "memory" and counts.cancellations < cancellations:
                await self._round()
        while counts.cancellations < cancellations:
            async with Database(self.url, **self._options()) as self._works.database:
                for _ in range(_SEASON):
                    if counts.cancellations < cancellations:
                        await self._round()
            await self._nothing_is_left()

    def _options(self) -> dict[str, Any]:
        if not isinstance(self.kind, Network):
            return {}
        dice = self.dice
        return {
            "min_size": dice.choice([0, 1, 4]),
            "max_size": 4,
            "max_lifetime": dice.choice([0.05, 3600]),
            "max_idle": dice.choice([0.01, 300]),
            "pool_timeout": _PATIENCE,
        }

    async def _round(self) -> None:
        works = self._works.some()
        victims = [Victim(self.dice.choice(works), self.dice) for _ in range(_TASKS)]
        tasks = [victim.task for victim in victims]
        _, hanging = await asyncio.wait(tasks, timeout=_PATIENCE)
        assert not hanging, f"round {self.counts.rounds} hangs:\n{stacks()}"
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for victim, result in zip(victims, ended, strict=True):
            self._judge(victim, result)
        try:
            await self._all_is_well()
        except (AssertionError, TimeoutError) as error:
            works_done = ", ".join(victim.name for victim in victims)
            error.add_note(f"After round {self.counts.rounds} of {works_done}:\n{stacks()}")
            raise
        self.counts.rounds += 1
        self.counts.tasks += len(victims)
        self.counts.cancellations += sum(len(victim.struck_at) for victim in victims)

    def _judge(self, victim: Victim, result: BaseException | None) -> None:
        """Who was cancelled ends by that, and nobody else does."""
        if isinstance(result, asyncio.CancelledError):
            assert victim.was_struck, f"{victim.name} was cancelled by nobody"
        elif result is not None:
            raise AssertionError(f"{victim.name} has failed") from result
        else:
            swallowed = victim.was_struck and not victim.may_go_on
            assert not swallowed, f"{victim.name} went on, cancelled at {victim.struck_at}"
            self.counts.finished += 1

    async def _all_is_well(self) -> None:
        works, counts = self._works, self.counts
        database = works.database
        if isinstance(self.kind, Network):
            await is_whole(database)
            slots = pool_of(database)._slots
            await self._nothing_is_left(lambda: len(slots))
        else:
            await self.kind.nothing_is_held(database)
            await self._nothing_is_left()
        total = await database.fetch_val("SELECT sum(balance) FROM accounts")
        assert total == ACCOUNTS * EACH, f"the sum is {total}"
        rows = await database.fetch_all("SELECT number, count(*) AS n FROM ledger GROUP BY number")
        found = {row.number: row.n for row in rows}
        for number, parts in found.items():
            assert parts == works.parts[number], f"write {number} was kept in part"
        lost = works.acknowledged - found.keys()
        assert not lost, f"writes {sorted(lost)} are lost"
        counts.timeouts = works.timeouts
        counts.written += len(works.acknowledged)
        counts.kept_unheard += len(found.keys() - works.acknowledged)
        works.acknowledged.clear()
        works.parts.clear()
        await database.execute("DELETE FROM ledger")

    async def _nothing_is_left(self, connections: Callable[[], int] = lambda: 0) -> None:
        """No task, and on the server no session too many, no statement and no transaction."""
        await until(lambda: asyncio.all_tasks() <= self._before | {_this_task()})
        place = self.place
        if isinstance(place, OnServer):
            try:
                await until(lambda: self._is_quiet(place, connections))
            except TimeoutError:
                left = f"{place.sessions()} are there, not {connections()} that are idle"
                raise AssertionError(left) from None
        elif self.kind.name == "file":
            self._is_free(self.url.removeprefix("sqlite:///"))

    def _is_quiet(self, place: OnServer, connections: Callable[[], int]) -> bool:
        sessions = place.sessions()
        if len(sessions) != connections() or any(runs for _, _, runs in sessions):
            return False
        open_there = "SELECT count(*) FROM information_schema.innodb_trx"
        return self.kind.place != "on_mariadb" or place.rows(open_there) == [(0,)]

    def _is_free(self, path: str) -> None:
        """Neither the right to write nor an old snapshot is held: both would stop this."""
        with contextlib.closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as outside:
            outside.execute("BEGIN IMMEDIATE")
            outside.execute("ROLLBACK")
            if outside.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                busy, _, _ = outside.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                assert not busy, "somebody reads still"


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task
