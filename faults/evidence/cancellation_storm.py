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
import itertools
import math
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

from databases import Database, exceptions
from tests.library.kinds import Kind, Network
from tests.library.places import OnServer, Place, until
from tests.library.pools import is_whole, pool_of, sleeping

_ACCOUNTS, _EACH = 6, 100
_TASKS = 30
_SEASON = 40
"""Rounds after which the database is disconnected, and connected with other options."""

_PATIENCE = 30.0
"""Seconds in which a round that takes some milliseconds has to be over, or it hangs."""

_MOVE = "UPDATE accounts SET balance = balance + :amount WHERE id = :id"
_WRITE = "INSERT INTO ledger (number, part) VALUES (:number, :part)"


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


class Victim:
    """A task that is cancelled, and when.

    Args:
        storm: what it is in.
        work: what it does.
    """

    def __init__(self, storm: CancellationStorm, work: Callable[[Victim], Awaitable[None]]) -> None:
        self._storm = storm
        self._dice = dice = storm.dice
        self._loop = asyncio.get_running_loop()
        # Some are cancelled right where a block is left: COMMIT, ROLLBACK, giving back.
        self._from = dice.choice(("start", "start", "end"))
        self._again = dice.random() < 0.3
        self.name = work.__name__
        self.was_struck = False
        self.struck_at: list[str] = []
        """Where it was when it was cancelled: all that it waited for."""
        self.may_go_on = False
        """Whether it goes on when it is cancelled, as no program should."""
        self.task = self._loop.create_task(self._run(work))

    async def _run(self, work: Callable[[Victim], Awaitable[None]]) -> None:
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
        where = _stack(self.task)
        if not self.task.cancel():
            return
        self.struck_at.append(where)
        self.was_struck = True
        self._storm.counts.cancellations += 1
        if self._again:
            self._again = False
            self._strike_after(self._dice.randrange(12))


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
        self._database: Database
        self._numbers = itertools.count(1)
        self._parts: dict[int, int] = {}
        self._acknowledged: set[int] = set()
        self._before: set[asyncio.Task[Any]] = set()
        self._series = f"SELECT :n + i AS x FROM ({kind.series(300)}) AS s"
        self._works = [
            *(self._single, self._several_rows, self._transfer, self._transfer, self._write),
            *(self._write_many, self._iterate, self._hold, self._share, self._time_out),
            *(self._go_on, self._conflicting),
        ]
        if isinstance(kind, Network):
            self._works += [self._begin_by_hand, self._temporary]

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
            await self._create_tables(database)
            # Of a database in memory there is nothing once it is closed.
            self._database = database
            while self.kind.name == "memory" and counts.cancellations < cancellations:
                await self._round()
        while counts.cancellations < cancellations:
            async with Database(self.url, **self._options()) as self._database:
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

    async def _create_tables(self, database: Database) -> None:
        await database.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)")
        await database.execute(
            "CREATE TABLE ledger (number INTEGER, part INTEGER, PRIMARY KEY (number, part))"
        )
        rows = [{"id": number, "balance": _EACH} for number in range(_ACCOUNTS)]
        await database.execute_many("INSERT INTO accounts VALUES (:id, :balance)", rows)

    async def _round(self) -> None:
        works = [*self._works, self._other_database] if self.dice.random() < 0.3 else self._works
        victims = [Victim(self, self.dice.choice(works)) for _ in range(_TASKS)]
        tasks = [victim.task for victim in victims]
        _, hanging = await asyncio.wait(tasks, timeout=_PATIENCE)
        assert not hanging, f"round {self.counts.rounds} hangs:\n{_stacks()}"
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for victim, result in zip(victims, ended, strict=True):
            self._judge(victim, result)
        try:
            await self._all_is_well()
        except (AssertionError, TimeoutError) as error:
            works_done = ", ".join(victim.name for victim in victims)
            error.add_note(f"After round {self.counts.rounds} of {works_done}:\n{_stacks()}")
            raise
        self.counts.rounds += 1
        self.counts.tasks += len(victims)

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
        database, counts = self._database, self.counts
        if isinstance(self.kind, Network):
            await is_whole(database)
            slots = pool_of(database)._slots
            await self._nothing_is_left(lambda: len(slots))
        else:
            await self.kind.nothing_is_held(database)
            await self._nothing_is_left()
        total = await database.fetch_val("SELECT sum(balance) FROM accounts")
        assert total == _ACCOUNTS * _EACH, f"the sum is {total}"
        rows = await database.fetch_all("SELECT number, count(*) AS n FROM ledger GROUP BY number")
        found = {row.number: row.n for row in rows}
        for number, parts in found.items():
            assert parts == self._parts[number], f"write {number} was kept in part"
        lost = self._acknowledged - found.keys()
        assert not lost, f"writes {sorted(lost)} are lost"
        counts.written += len(self._acknowledged)
        counts.kept_unheard += len(found.keys() - self._acknowledged)
        self._acknowledged.clear()
        self._parts.clear()
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

    # What the tasks do.

    def _begin_write(self, parts: int) -> int:
        number = next(self._numbers)
        self._parts[number] = parts
        return number

    async def _ask(self, asked: Any) -> None:
        """The reply to this question, not to another one."""
        number = next(self._numbers)
        got = await asked.fetch_val("SELECT 0 + :n", {"n": number})
        assert got == number, f"{got} is the answer to another question than {number}"

    async def _single(self, victim: Victim) -> None:
        for _ in range(3):
            await self._ask(self._database)

    async def _several_rows(self, victim: Victim) -> None:
        number = next(self._numbers)
        rows = await self._database.fetch_all(self._series, {"n": number})
        assert sorted(row.x for row in rows) == list(range(number + 1, number + 301))
        await self._ask(self._database)

    async def _transfer(self, victim: Victim) -> None:
        # Locks taken in one order make no deadlock.
        one, other = sorted(self.dice.sample(range(_ACCOUNTS), 2))
        database, number = self._database, self._begin_write(2)
        async with database.transaction():
            await database.execute(_MOVE, {"amount": -1, "id": one})
            await database.execute(_WRITE, {"number": number, "part": 1})
            async with database.transaction():
                await database.execute(_MOVE, {"amount": 1, "id": other})
                await database.execute(_WRITE, {"number": number, "part": 2})
                if self.dice.random() < 0.3:
                    victim.is_at("end")
            await self._ask(database)
            victim.is_at("end")
        self._acknowledged.add(number)

    async def _write(self, victim: Victim) -> None:
        number = self._begin_write(1)
        await self._database.execute(_WRITE, {"number": number, "part": 1})
        self._acknowledged.add(number)

    async def _write_many(self, victim: Victim) -> None:
        count = self.dice.choice([2, 50])
        number = self._begin_write(count)
        rows = [{"number": number, "part": part} for part in range(count)]
        await self._database.execute_many(_WRITE, rows)
        self._acknowledged.add(number)

    async def _iterate(self, victim: Victim) -> None:
        number, seen = next(self._numbers), 0
        enough = self.dice.choice([1, 150, math.inf])
        async for row in self._database.iterate(self._series, {"n": number}):
            assert number < row.x <= number + 300
            seen += 1
            if seen in (100, 250):
                # All connections may be held by tasks that iterate.
                with contextlib.suppress(exceptions.PoolDeadlock):
                    await self._ask(self._database)
                victim.is_at("end")
            if seen >= enough:
                return
        assert seen == 300

    async def _hold(self, victim: Victim) -> None:
        async with self._database.connection() as connection:
            await self._ask(connection)
            async for row in connection.iterate(self._series, {"n": 5}):
                assert 5 < row.x <= 305
                if self.dice.random() < 0.01:
                    break
            await self._ask(connection)
            victim.is_at("end")

    async def _share(self, victim: Victim) -> None:
        """Tasks that share a connection, and are cancelled together."""
        async with self._database.connection() as connection:
            victim.is_at("end")
            await asyncio.gather(*[self._ask(connection) for _ in range(4)])

    async def _time_out(self, victim: Victim) -> None:
        limit = 10 ** self.dice.uniform(-4, -2.3)
        try:
            if self.dice.random() < 0.5:
                await self._database.fetch_val(self._slow(), timeout=limit)
            else:
                async with asyncio.timeout(limit):
                    await self._database.fetch_val(self._slow())
        except TimeoutError:
            self.counts.timeouts += 1
        await self._ask(self._database)

    def _slow(self) -> str:
        if isinstance(self.kind, Network):
            return f"SELECT {sleeping(self.kind, 0.003)}"
        return f"SELECT max(i) FROM ({self.kind.series(20_000)})"

    async def _go_on(self, victim: Victim) -> None:
        """Who does not end when he is cancelled gets the answers to his own questions too."""
        victim.may_go_on = True
        async with self._database.connection() as connection:
            for _ in range(4):
                try:
                    await self._ask(connection)
                except asyncio.CancelledError:
                    continue
                except exceptions.DriverError:
                    # The drivers for MySQL cannot go on with a connection after that, nor can
                    # psycopg where it is cancelled once more meanwhile.
                    assert str(self.kind) != "asyncpg"
                    assert victim.was_struck
                    break
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                return await self._ask(self._database)

    async def _conflicting(self, victim: Victim) -> None:
        """A transaction that fails by itself, and is cancelled meanwhile or not."""
        number, database = self._begin_write(1), self._database
        with contextlib.suppress(exceptions.IntegrityError):
            async with database.transaction():
                await database.execute(_WRITE, {"number": number, "part": 1})
                victim.is_at("end")
                await database.execute(_WRITE, {"number": number, "part": 1})
            raise AssertionError("the same was written twice")
        await self._ask(database)

    async def _begin_by_hand(self, victim: Victim) -> None:
        """A transaction that only the session knows of."""
        async with self._database.connection() as connection:
            number = self._begin_write(1)
            await connection.execute("BEGIN")
            await connection.execute(_WRITE, {"number": number, "part": 1})
            victim.is_at("end")
            await connection.execute("COMMIT")
            self._acknowledged.add(number)

    async def _temporary(self, victim: Victim) -> None:
        async with self._database.connection() as connection:
            await connection.execute("CREATE TEMPORARY TABLE scratch (n INTEGER)")
            await connection.execute("INSERT INTO scratch VALUES (1)")
            victim.is_at("end")
            await connection.execute("DROP TABLE scratch")

    async def _other_database(self, victim: Victim) -> None:
        """Connecting and disconnecting."""
        options: dict[str, Any] = {"max_size": 2} if isinstance(self.kind, Network) else {}
        async with Database(self.url, **options) as other:
            await self._ask(other)
            victim.is_at("end")


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _stacks() -> str:
    """Where each task is, for a round that hangs."""
    return "\n".join(f"{task.get_name()}: {_stack(task)}" for task in asyncio.all_tasks())


def _stack(task: asyncio.Task[Any]) -> str:
    """Where a task is, from its outermost coroutine to the innermost."""
    places: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            places.append(f"{frame.f_code.co_qualname}:{frame.f_lineno}")
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return " > ".join(places)
