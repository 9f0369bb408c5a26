"""force_rollback: a database for tests that keeps nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from databases import Database
from tests.library.kinds import CONCURRENT, Kind
from tests.library.users import INSERT, USERS, count

pytestmark = CONCURRENT


@pytest.fixture
async def outside(kind: Kind, url: str) -> AsyncIterator[Database]:
    """A database that keeps what is written."""
    async with Database(url) as outside:
        await outside.execute(USERS.format(kind.key))
        yield outside


@pytest.fixture
async def database(outside: Database) -> AsyncIterator[Database]:
    async with Database(outside.url, force_rollback=True) as database:
        yield database


async def test_nothing_is_kept_and_every_task_sees_it_until_then(
    database: Database, outside: Database
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    async with database.transaction():
        await database.execute(INSERT, {"name": "Grace"})
    assert await asyncio.create_task(count(database)) == 2
    query = "SELECT name FROM users ORDER BY id"
    assert [row.name async for row in database.iterate(query)] == [
        "Ada",
        "Grace",
    ]
    await database.disconnect()
    assert await count(outside) == 0
    await database.connect()
    assert await count(database) == 0


async def test_it_can_be_switched_on_for_a_block(outside: Database) -> None:
    database = Database(outside.url)
    with database.force_rollback():
        async with database:
            await database.execute(INSERT, {"name": "Ada"})
            assert await count(database) == 1
    async with database:
        assert await count(database) == 0
        await database.execute(INSERT, {"name": "Grace"})
    assert await count(outside) == 1


async def test_everybody_shares_one_connection(database: Database) -> None:
    async def mine() -> object:
        return database.connection()

    assert await asyncio.create_task(mine()) is database.connection()


async def test_concurrent_transactions_keep_apart(database: Database) -> None:
    async def work(number: int) -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": str(number)})
            await asyncio.sleep(0)
            async with database.transaction():
                await database.execute(INSERT, {"name": f"{number}+"})
                await asyncio.sleep(0)
            if number % 2:
                raise ValueError(number)

    results = await asyncio.gather(*[work(number) for number in range(20)], return_exceptions=True)
    assert [type(result) for result in results] == [type(None), ValueError] * 10
    assert await count(database) == 20
    names = [row.name for row in await database.fetch_all("SELECT name FROM users")]
    assert all(int(name.removesuffix("+")) % 2 == 0 for name in names)


async def test_children_of_a_transaction_nest_inside_it(database: Database) -> None:
    async def child(number: int) -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": str(number)})
            await asyncio.sleep(0)

    async with asyncio.timeout(20), database.transaction():
        await asyncio.gather(*[child(number) for number in range(10)])
        assert await count(database) == 10


async def test_a_transaction_of_a_task_that_has_ended_is_in_nobodys_way(
    database: Database,
) -> None:
    async def fixture() -> None:
        await database.transaction()

    await asyncio.create_task(fixture())
    async with asyncio.timeout(20), database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
    assert await count(database) == 1


async def test_other_tasks_work_inside_a_transaction_around_a_test(database: Database) -> None:
    orders: asyncio.Queue[str] = asyncio.Queue()

    async def worker() -> None:
        while True:
            name = await orders.get()
            async with database.transaction():
                await database.execute(INSERT, {"name": name})
            orders.task_done()

    task = asyncio.create_task(worker())
    await asyncio.sleep(0)
    async with asyncio.timeout(20), database.transaction(force_rollback=True):
        await orders.put("Ada")
        await orders.join()
        assert await count(database) == 1
    assert await count(database) == 0
    task.cancel()


async def test_disconnect_rolls_back_what_is_open(database: Database, outside: Database) -> None:
    await database.transaction()
    await database.execute(INSERT, {"name": "Ada"})
    await database.disconnect()
    assert await count(outside) == 0


async def test_another_connection_may_write_before_the_first_query(
    database: Database, outside: Database
) -> None:
    await outside.execute(INSERT, {"name": "other"})
    assert await count(database) == 1


async def test_two_tasks_that_connect_at_once_are_both_rolled_back(
    outside: Database,
) -> None:
    database = Database(outside.url, force_rollback=True)

    async def connect_and_write(name: str) -> None:
        await database.connect()
        await database.execute(INSERT, {"name": name})

    await asyncio.gather(connect_and_write("a"), connect_and_write("b"))
    await database.disconnect()
    assert await count(outside) == 0


async def test_an_iteration_may_end_after_the_block_in_which_it_began(
    kind: Kind, database: Database
) -> None:
    over = asyncio.Event()

    async def work() -> None:
        async with database.connection():
            rows = database.iterate(kind.series(1000))
            await anext(rows)
        await rows.aclose()
        over.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(work())
    async with asyncio.timeout(20):
        await over.wait()
    # Nobody is at work any more: there is nothing to wait for.
    async with asyncio.timeout(30):
        await database.disconnect(grace=60)
    task.cancel()
