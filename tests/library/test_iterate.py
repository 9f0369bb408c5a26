"""iterate(): rows one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import operator
from pathlib import Path

import pytest

from databases import Database, exceptions
from tests.library.kinds import CONCURRENT, NETWORK_ONLY, Kind

UPDATE = "UPDATE users SET name = name WHERE id = :id"


async def test_it_yields_every_row_in_order(kind: Kind, database: Database) -> None:
    for most in (1, 99, 100, 101, 1000, 1100, 1101, 2500):
        rows = [row.i async for row in database.iterate(kind.series(most))]
        assert rows == list(range(1, most + 1))
    assert [row async for row in database.iterate("SELECT 1 WHERE 1 = 0")] == []
    async with database.connection() as connection:
        assert len([row async for row in connection.iterate(kind.series(600))]) == 600
    async with database.transaction():
        assert len([row async for row in database.iterate(kind.series(600))]) == 600


async def test_it_takes_values(database: Database) -> None:
    await database.execute_many("INSERT INTO users (id) VALUES (:id)", numbered(500))
    query = "SELECT id FROM users WHERE id <= :most ORDER BY id"
    assert [row.id async for row in database.iterate(query, {"most": 300})] == list(range(1, 301))
    async with database.connection() as connection:
        rows = [row.id async for row in connection.iterate(query, {"most": 300})]
    assert rows == list(range(1, 301))


async def test_two_at_once_on_one_connection_each_get_their_rows(
    kind: Kind, database: Database
) -> None:
    for block in (database.connection(), database.transaction()):
        async with block:
            one, other = (database.iterate(kind.series(3000)) for _ in range(2))
            for number in range(1, 3001):
                assert (await anext(one)).i == (await anext(other)).i == number
            assert [row async for row in one] == [row async for row in other] == []


async def test_other_queries_run_inside_the_loop(database: Database) -> None:
    await database.execute_many(
        "INSERT INTO users (name) VALUES (:n)", [{"n": str(i)} for i in range(600)]
    )
    async with asyncio.timeout(20):
        async for row in database.iterate("SELECT id FROM users WHERE id <= 600"):
            if row.id % 50 == 0:
                await database.execute("UPDATE users SET name = NULL WHERE id = :i", {"i": row.id})
                async with database.transaction():
                    await database.execute("DELETE FROM users WHERE id > 600")
        async with database.transaction():
            async for row in database.iterate("SELECT id FROM users"):
                await database.execute(UPDATE, {"id": row.id})


@CONCURRENT
async def test_leaving_the_loop_early_frees_the_connection(kind: Kind, url: str) -> None:
    many = kind.series(100_000)
    async with Database(url, **kind.alone) as database:
        for _ in range(30):
            async for _row in database.iterate(many):
                break
        with contextlib.suppress(ValueError):
            async for _row in database.iterate(many):
                raise ValueError
        rows = database.iterate(many)
        await rows.__anext__()
        await rows.aclose()
        with pytest.raises(StopAsyncIteration):
            await rows.__anext__()
        del rows, _row
        gc.collect()
        await kind.nothing_is_held(database)
        assert await database.fetch_val("SELECT 1", timeout=5) == 1


@CONCURRENT
async def test_after_break_in_a_block_its_connection_goes_on(
    kind: Kind, database: Database
) -> None:
    for block in (database.connection(), database.transaction()):
        async with asyncio.timeout(20), block:
            for _ in range(5):
                async for row in database.iterate(kind.series(20_000)):
                    if row.i == 150:
                        break
                assert await database.fetch_val("SELECT 2") == 2
            await database.execute(INSERT)
    assert await database.fetch_val("SELECT count(*) FROM users") == 2


INSERT = "INSERT INTO users (name) VALUES (NULL)"


@CONCURRENT
async def test_it_holds_a_bounded_number_of_rows(kind: Kind, database: Database) -> None:
    rows = database.iterate(kind.series(1_000_000))
    for number in range(1, 151):
        assert (await anext(rows)).i == number
    assert 0 < operator.length_hint(rows._ready) <= 1000
    await rows.aclose()
    assert await database.fetch_val("SELECT 1") == 1


@NETWORK_ONLY
async def test_the_connection_is_clean_after_a_loop_left_early(kind: Kind, url: str) -> None:
    async with Database(url, **kind.alone) as database:
        async for _row in database.iterate(kind.series(100_000)):
            break
        async with database.transaction():
            assert await database.fetch_val("SELECT 3") == 3
        assert [row.i async for row in database.iterate(kind.series(5))] == [1, 2, 3, 4, 5]


async def test_after_a_loop_left_early_in_a_block_the_next_block_iterates(
    kind: Kind, url: str
) -> None:
    async with Database(url, **kind.alone) as database:
        for _ in range(3):
            async with database.connection() as connection:
                async for _ in connection.iterate(kind.series(2000)):
                    break


async def test_an_error_frees_the_connection_and_names_the_place(
    kind: Kind, database: Database
) -> None:
    with pytest.raises(kind.missing_table) as caught:
        async for _ in database.iterate("SELECT * FROM missing"):
            pass
    assert Path(__file__).name in "\n".join(caught.value.__notes__)
    await kind.nothing_is_held(database)


async def test_used_in_another_way_it_says_how(database: Database) -> None:
    with pytest.raises(exceptions.ForgottenAwaitError, match="async for row"):
        list(database.iterate("SELECT 1"))  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"rows = await database\.fetch_all\(query\)"):
        await database.iterate("SELECT 1")  # type: ignore[misc]


@CONCURRENT
@pytest.mark.parametrize("block", ["connection", "transaction"])
async def test_one_left_open_in_a_block_ends_with_it(database: Database, block: str) -> None:
    await database.execute_many("INSERT INTO users (id) VALUES (:id)", numbered(500))
    async with getattr(database, block)():
        rows = database.iterate("SELECT id FROM users")
        await anext(rows)
    await database.execute("INSERT INTO users (id) VALUES (501)")
    # Whoever gets the connection next is not inside the snapshot of that read.
    async with database.connection() as connection:
        assert await connection.fetch_val("SELECT count(*) FROM users") == 501
    async with database.transaction():
        await database.execute("INSERT INTO users (id) VALUES (502)")
    with pytest.raises(exceptions.StateError, match="inside the `async with` block"):
        async for _ in rows:
            pass


def numbered(count: int) -> list[dict[str, int]]:
    return [{"id": number} for number in range(1, count + 1)]
