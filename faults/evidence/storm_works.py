"""What tasks do in a storm of cancellations: all that can be done with a database.

Each finds out for itself whether it gets the answers to its own questions.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import random
from typing import Any

from databases import Database, exceptions
from faults.evidence.victims import Victim, Work
from tests.library.kinds import Kind, Network
from tests.library.pools import sleeping

ACCOUNTS, EACH = 6, 100
"""How many there are, and what is on each of them at first."""

_MOVE = "UPDATE accounts SET balance = balance + :amount WHERE id = :id"
_WRITE = "INSERT INTO ledger (number, part) VALUES (:number, :part)"


class Works:
    """The works, and what has become of their writes.

    Args:
        kind: the database and the driver.
        url: how it is reached.
        dice: for all that is random.
    """

    database: Database
    """Where they are done."""

    def __init__(self, kind: Kind, url: str, dice: random.Random) -> None:
        self._kind = kind
        self._url = url
        self._dice = dice
        self._numbers = itertools.count(1)
        self._series = f"SELECT :n + i AS x FROM ({kind.series(300)}) AS s"
        self.parts: dict[int, int] = {}
        """The writes that were begun, and of how many parts each is."""
        self.acknowledged: set[int] = set()
        self.timeouts = 0
        self._all: list[Work] = [
            *(self._single, self._several_rows, self._transfer, self._transfer, self._write),
            *(self._write_many, self._iterate, self._hold, self._share, self._time_out),
            *(self._go_on, self._conflicting),
        ]
        if isinstance(kind, Network):
            self._all += [self._begin_by_hand, self._temporary]

    async def create_tables(self, database: Database) -> None:
        await database.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)")
        await database.execute(
            "CREATE TABLE ledger (number INTEGER, part INTEGER, PRIMARY KEY (number, part))"
        )
        rows = [{"id": number, "balance": EACH} for number in range(ACCOUNTS)]
        await database.execute_many("INSERT INTO accounts VALUES (:id, :balance)", rows)

    def some(self) -> list[Work]:
        """The works of the next round."""
        return [*self._all, self._other_database] if self._dice.random() < 0.3 else self._all

    def _begin_write(self, parts: int) -> int:
        number = next(self._numbers)
        self.parts[number] = parts
        return number

    async def _ask(self, asked: Any) -> None:
        """The reply to this question, not to another one."""
        number = next(self._numbers)
        got = await asked.fetch_val("SELECT 0 + :n", {"n": number})
        assert got == number, f"{got} is the answer to another question than {number}"

    async def _single(self, victim: Victim) -> None:
        for _ in range(3):
            await self._ask(self.database)

    async def _several_rows(self, victim: Victim) -> None:
        number = next(self._numbers)
        rows = await self.database.fetch_all(self._series, {"n": number})
        assert sorted(row.x for row in rows) == list(range(number + 1, number + 301))
        await self._ask(self.database)

    async def _transfer(self, victim: Victim) -> None:
        # Locks taken in one order make no deadlock.
        one, other = sorted(self._dice.sample(range(ACCOUNTS), 2))
        database, number = self.database, self._begin_write(2)
        async with database.transaction():
            await database.execute(_MOVE, {"amount": -1, "id": one})
            await database.execute(_WRITE, {"number": number, "part": 1})
            async with database.transaction():
                await database.execute(_MOVE, {"amount": 1, "id": other})
                await database.execute(_WRITE, {"number": number, "part": 2})
                if self._dice.random() < 0.3:
                    victim.is_at("end")
            await self._ask(database)
            victim.is_at("end")
        self.acknowledged.add(number)

    async def _write(self, victim: Victim) -> None:
        number = self._begin_write(1)
        await self.database.execute(_WRITE, {"number": number, "part": 1})
        self.acknowledged.add(number)

    async def _write_many(self, victim: Victim) -> None:
        count = self._dice.choice([2, 50])
        number = self._begin_write(count)
        rows = [{"number": number, "part": part} for part in range(count)]
        await self.database.execute_many(_WRITE, rows)
        self.acknowledged.add(number)

    async def _iterate(self, victim: Victim) -> None:
        number, seen = next(self._numbers), 0
        enough = self._dice.choice([1, 150, math.inf])
        async for row in self.database.iterate(self._series, {"n": number}):
            assert number < row.x <= number + 300
            seen += 1
            if seen in (100, 250):
                # All connections may be held by tasks that iterate.
                with contextlib.suppress(exceptions.PoolDeadlock):
                    await self._ask(self.database)
                victim.is_at("end")
            if seen >= enough:
                return
        assert seen == 300

    async def _hold(self, victim: Victim) -> None:
        async with self.database.connection() as connection:
            await self._ask(connection)
            async for row in connection.iterate(self._series, {"n": 5}):
                assert 5 < row.x <= 305
                if self._dice.random() < 0.01:
                    break
            await self._ask(connection)
            victim.is_at("end")

    async def _share(self, victim: Victim) -> None:
        """Tasks that share a connection, and are cancelled together."""
        async with self.database.connection() as connection:
            victim.is_at("end")
            await asyncio.gather(*[self._ask(connection) for _ in range(4)])

    async def _time_out(self, victim: Victim) -> None:
        limit = 10 ** self._dice.uniform(-4, -2.3)
        try:
            if self._dice.random() < 0.5:
                await self.database.fetch_val(self._slow(), timeout=limit)
            else:
                async with asyncio.timeout(limit):
                    await self.database.fetch_val(self._slow())
        except TimeoutError:
            self.timeouts += 1
        await self._ask(self.database)

    def _slow(self) -> str:
        if isinstance(self._kind, Network):
            return f"SELECT {sleeping(self._kind, 0.003)}"
        return f"SELECT max(i) FROM ({self._kind.series(20_000)})"

    async def _go_on(self, victim: Victim) -> None:
        """Who does not end when he is cancelled gets the answers to his own questions too."""
        victim.may_go_on = True
        async with self.database.connection() as connection:
            for _ in range(4):
                try:
                    await self._ask(connection)
                except asyncio.CancelledError:
                    continue
                except exceptions.DriverError:
                    # The drivers for MySQL cannot go on with a connection after that, nor can
                    # psycopg where it is cancelled once more meanwhile.
                    assert str(self._kind) != "asyncpg"
                    assert victim.was_struck
                    break
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                return await self._ask(self.database)

    async def _conflicting(self, victim: Victim) -> None:
        """A transaction that fails by itself, and is cancelled meanwhile or not."""
        number, database = self._begin_write(1), self.database
        with contextlib.suppress(exceptions.IntegrityError):
            async with database.transaction():
                await database.execute(_WRITE, {"number": number, "part": 1})
                victim.is_at("end")
                await database.execute(_WRITE, {"number": number, "part": 1})
            raise AssertionError("the same was written twice")
        await self._ask(database)

    async def _begin_by_hand(self, victim: Victim) -> None:
        """A transaction that only the session knows of."""
        async with self.database.connection() as connection:
            number = self._begin_write(1)
            await connection.execute("BEGIN")
            await connection.execute(_WRITE, {"number": number, "part": 1})
            victim.is_at("end")
            await connection.execute("COMMIT")
            self.acknowledged.add(number)

    async def _temporary(self, victim: Victim) -> None:
        async with self.database.connection() as connection:
            await connection.execute("CREATE TEMPORARY TABLE scratch (n INTEGER)")
            await connection.execute("INSERT INTO scratch VALUES (1)")
            victim.is_at("end")
            await connection.execute("DROP TABLE scratch")

    async def _other_database(self, victim: Victim) -> None:
        """Connecting and disconnecting."""
        options: dict[str, Any] = {"max_size": 2} if isinstance(self._kind, Network) else {}
        async with Database(self._url, **options) as other:
            await self._ask(other)
            victim.is_at("end")
