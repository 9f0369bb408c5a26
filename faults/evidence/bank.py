"""Clients of a bank: they transfer money between accounts, and look at all of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Mapping
from typing import Any

from databases import Database, Record
from faults.evidence.history import Entry, History, Read, Shown, Transfer
from faults.evidence.ledger import KEYS, Ledger

ACCOUNTS, EACH = 16, 1_000

READ_ALL = "SELECT id, version, balance FROM accounts"
READ_ONE = f"{READ_ALL} WHERE id = :id"
READ_TWO = f"{READ_ALL} WHERE id IN (:source, :target) ORDER BY id"
WRITE = "UPDATE accounts SET version = :version, balance = :balance WHERE id = :id"
ENTER = """INSERT INTO entries (transfer, account, version, amount)
    VALUES (:transfer, :account, :version, :amount)"""
ENTRIES = "SELECT transfer, account, version, amount FROM entries"


async def create_tables(database: Database) -> None:
    """Make the accounts, and the table of what transfers did to them."""
    key = KEYS.get(database.url.dialect, "INTEGER PRIMARY KEY")
    await database.execute(
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, version INTEGER, balance INTEGER)"
    )
    # Nothing here is unique but the key: a transfer that was done twice is to be found.
    await database.execute(
        f"CREATE TABLE entries (id {key}, transfer BIGINT, account INTEGER, version INTEGER, "
        "amount INTEGER)"
    )
    rows = [{"id": number, "balance": EACH} for number in range(ACCOUNTS)]
    await database.execute_many("INSERT INTO accounts VALUES (:id, 0, :balance)", rows)


class Bank:
    """Clients of one database, whose history is written down.

    Args:
        database: where the accounts are.
        ledger: of the transfers.
        history: of what was seen.
        locking: what the query of a transfer ends with: ``"FOR UPDATE"`` where the isolation of
            the database does not keep transfers apart by itself.
        reading: options of the reads, such as ``prefer``.
        writing: options of the transactions, such as ``isolation``.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        history: History,
        *,
        locking: str = "",
        reading: Mapping[str, Any] | None = None,
        writing: Mapping[str, Any] | None = None,
    ) -> None:
        self.database = database
        self.ledger = ledger
        self.history = history
        self._read_two = f"{READ_TWO} {locking}"
        self._reading = dict(reading or {})
        self._writing = dict(writing or {})
        self._dice = random.Random()

    async def work(self, client: int, pause: float = 0.0) -> None:
        """Do as one client does, until cancelled: one thing after the other."""
        while True:
            if self._dice.random() < 0.5:
                done = await self.transfer(client)
            else:
                done = await self.read(client, self._dice.choice([None, *range(ACCOUNTS)]))
            # A database that refuses at once is asked again somewhat later.
            await asyncio.sleep(pause if done else max(pause, 0.02))

    async def read(self, client: int, account: int | None = None) -> bool:
        """Look at one account, or at all of them; whether that was possible."""

        async def look() -> None:
            started = time.monotonic()
            if account is None:
                rows = await self.database.fetch_all(READ_ALL, **self._reading)
            else:
                rows = await self.database.fetch_all(READ_ONE, {"id": account}, **self._reading)
            self.history.note(Read(client, started, time.monotonic(), _shown(rows)))

        return await self.ledger.attempt(look()) is None

    async def transfer(self, client: int) -> bool:
        """Move money between two accounts; whether that was acknowledged."""
        source, target = self._dice.sample(range(ACCOUNTS), 2)
        amount = self._dice.randrange(1, 10)
        moves = {source: -amount, target: amount}
        # Of several attempts the last one counts.
        read: Read | None = None
        number = 0

        async def move() -> None:
            nonlocal read
            started = time.monotonic()
            two = {"source": source, "target": target}
            shown = _shown(await self.database.fetch_all(self._read_two, two))
            read = Read(client, started, time.monotonic(), shown)
            for account, (version, balance) in shown.items():
                new = {"version": version + 1, "balance": balance + moves[account]}
                await self.database.execute(WRITE, {"id": account, **new})
                entry = Entry(number, account, version + 1, moves[account])
                await self.database.execute(ENTER, entry._asdict())

        async def write(given: int) -> None:
            nonlocal number
            number = given
            await self.database.run_in_transaction(move, retry=True, **self._writing)

        if not await self.ledger.write(client, write):
            return False
        assert read is not None
        versions = {account: version + 1 for account, (version, _) in read.shown.items()}
        self.history.note(read)
        self.history.note(Transfer(client, number, read.started, time.monotonic(), versions))
        return True


def _shown(rows: Iterable[Record]) -> dict[int, Shown]:
    return {row.id: Shown(row.version, row.balance) for row in rows}


async def final_state(database: Database) -> tuple[list[Entry], dict[int, Shown]]:
    """The entries and the accounts, as they are now."""
    entries = [Entry(*row.values()) for row in await database.fetch_all(ENTRIES)]
    return entries, _shown(await database.fetch_all(READ_ALL))
