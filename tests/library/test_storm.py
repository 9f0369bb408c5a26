"""Many tasks at once, some of them cancelled at any moment: nothing is lost, held or left open."""

from __future__ import annotations

import asyncio
import random

import pytest

from databases import Database
from tests.library.kinds import Kind

ACCOUNTS, EACH = 10, 100
MOVE = "UPDATE accounts SET balance = balance + :amount WHERE id = :id"


async def transfer(database: Database, dice: random.Random) -> None:
    # Locks taken in one order make no deadlock.
    one, other = sorted(dice.sample(range(ACCOUNTS), 2))
    async with database.transaction():
        await database.execute(MOVE, {"amount": -1, "id": one})
        async with database.transaction():
            await database.execute(MOVE, {"amount": 1, "id": other})


async def total(database: Database, dice: random.Random) -> None:
    assert await database.fetch_val("SELECT sum(balance) FROM accounts") == ACCOUNTS * EACH


async def walk(database: Database, dice: random.Random) -> None:
    seen = 0
    async for row in database.iterate("SELECT balance FROM accounts"):
        seen += row.balance
        if dice.random() < 0.05:
            return
        await asyncio.sleep(0)
    assert seen == ACCOUNTS * EACH


async def write_many(database: Database, dice: random.Random) -> None:
    await database.execute_many("INSERT INTO pairs (x) VALUES (:x)", [{"x": 1}, {"x": -1}])


async def pinned(database: Database, dice: random.Random) -> None:
    async with database.connection() as connection:
        await connection.fetch_val("SELECT 1")
        await total(database, dice)


@pytest.mark.parametrize("seed", range(3))
async def test_cancelling_at_any_moment_keeps_the_sum_and_frees_everything(
    kind: Kind, url: str, seed: int
) -> None:
    dice = random.Random(seed)
    async with Database(url) as database:
        await database.execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER)")
        await database.execute("CREATE TABLE pairs (x INTEGER)")
        rows = [{"id": number, "balance": EACH} for number in range(ACCOUNTS)]
        await database.execute_many("INSERT INTO accounts VALUES (:id, :balance)", rows)

        async def one(work: object) -> None:
            limit = dice.choice([0.0001, 0.001, 0.005, 30.0])
            try:
                async with asyncio.timeout(limit):
                    await work(database, dice)  # type: ignore[operator]
            except TimeoutError:
                assert limit < 1

        for _ in range(15):
            kinds = (transfer, transfer, transfer, total, walk, write_many, pinned)
            tasks = [asyncio.create_task(one(dice.choice(kinds))) for _ in range(25)]
            for task in dice.sample(tasks, 3):
                await asyncio.sleep(0)
                task.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                assert result is None or isinstance(result, asyncio.CancelledError), result
        await total(database, dice)
        assert await database.fetch_val("SELECT coalesce(sum(x), 0) FROM pairs") == 0
        async with asyncio.timeout(20), database.transaction():
            await transfer(database, dice)
        await kind.nothing_is_held(database)
