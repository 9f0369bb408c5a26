"""What tests of applications can expect of their queries."""

from __future__ import annotations

import asyncio
import gc
import warnings

import httpx2
import pytest
from fastapi import FastAPI

from databases import Database
from tests.library.kinds import ASYNCPG, FILE, Kind, on
from tests.library.users import INSERT

ONE = "SELECT name FROM users WHERE id = :id"


async def test_as_many_queries_as_expected_pass(database: Database) -> None:
    with database.expect(queries=3) as ran:
        await database.execute(INSERT, {"name": "Ada"})
        assert await database.fetch_val("SELECT count(*) FROM users") == 1
        async with database.transaction():
            await database.fetch_all("SELECT * FROM users")
    assert [query.rows for query in ran.queries] == [None, 1, 1]
    assert [query.sql.partition(" ")[0] for query in ran.queries] == ["INSERT", "SELECT", "SELECT"]
    assert {step.kind.value for step in ran.steps} >= {"query", "rows", "begin", "commit"}
    assert not database.steps.is_watched


async def test_another_number_fails_with_a_table_of_what_ran(database: Database) -> None:
    with pytest.raises(AssertionError) as failed, database.expect(queries=1):
        await database.execute(INSERT, {"name": "Ada"})
        await database.fetch_all("SELECT name FROM users\nWHERE id > 4711")
    lines = str(failed.value).splitlines()
    assert lines[0] == "Expected 1 query, and 2 ran."
    assert lines[2].split() == ["#", "query", "place", "rows", "ms"]
    assert "INSERT INTO users (name) VALUES (?)" in lines[3]
    assert lines[4].startswith("2  SELECT name FROM users WHERE id > ? ")
    place, rows, _ = lines[4].split()[-3:]
    code = test_another_number_fails_with_a_table_of_what_ran.__code__
    assert place == f"tests/library/test_expect.py:{code.co_firstlineno + 3}"
    assert rows == "0"
    assert len(lines) == 5


async def test_fewer_than_expected_fail_too(database: Database) -> None:
    zero = pytest.raises(AssertionError, match=r"^Expected 2 queries, and 0 ran\.")
    with zero, database.expect(queries=2):
        pass


async def test_a_maximum_may_be_reached_and_not_exceeded(database: Database) -> None:
    with database.expect(max_queries=1):
        pass
    with database.expect(max_queries=1):
        await database.fetch_val("SELECT 1")
    two = pytest.raises(AssertionError, match="Expected at most 1 query, and 2 ran")
    with two, database.expect(max_queries=1):
        await database.fetch_val("SELECT 1")
        await database.fetch_val("SELECT 1")


async def test_the_same_query_in_a_loop_is_found(database: Database) -> None:
    with pytest.raises(AssertionError) as failed, database.expect(max_repeats=2):
        for id_ in range(3):
            await database.fetch_one(ONE, {"id": id_})
    first = str(failed.value).splitlines()[0]
    assert first.startswith("The same query ran 3 times from tests/library/test_expect.py:")
    assert "SELECT name FROM users WHERE id = ?" in first
    with database.expect(max_repeats=2):
        for id_ in range(2):
            await database.fetch_one(ONE, {"id": id_})
    with database.expect(max_repeats=1):
        await database.fetch_one(ONE, {"id": 1})
        await database.fetch_one(ONE, {"id": 2})


async def test_a_batch_and_an_iteration_are_one_query_each(kind: Kind, database: Database) -> None:
    with database.expect(queries=2) as ran:
        await database.execute_many(INSERT, [{"name": "Ada"}, {"name": "Grace"}])
        assert len([row async for row in database.iterate(kind.series(5000))]) == 5000
    batch, iteration = ran.queries
    assert batch.batch == 2
    assert "(2 sets of values)" in ran.table()
    assert iteration.rows == 5000


async def test_a_query_that_failed_has_run(kind: Kind, database: Database) -> None:
    with database.expect(queries=1) as ran, pytest.raises(kind.missing_table):
        await database.fetch_all("SELECT * FROM no_such_table")
    assert f"FROM no_such_table ({kind.missing_table.__name__})" in ran.table()


async def test_queries_of_concurrent_tasks_count(database: Database) -> None:
    async def work(number: int) -> None:
        await database.fetch_one(ONE, {"id": number})

    with database.expect(queries=20) as ran:
        await asyncio.gather(*[work(number) for number in range(20)])
    assert len({query.task for query in ran.queries}) == 20


async def test_blocks_can_be_nested(database: Database) -> None:
    with database.expect(queries=3):
        await database.fetch_val("SELECT 1")
        with database.expect(queries=2):
            await database.fetch_val("SELECT 2")
            with database.expect(queries=1):
                await database.fetch_val("SELECT 3")


async def test_an_error_in_the_block_passes_unchanged(database: Database) -> None:
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as raised, database.expect(queries=7):
        raise error
    assert raised.value is error
    assert not database.steps.is_watched


async def test_a_result_that_was_never_awaited_fails(database: Database) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises(AssertionError) as failed, database.expect():
            database.fetch_all("SELECT * FROM users")
        message = str(failed.value)
        assert "database.fetch_all(SELECT * FROM users) was never awaited" in message
        assert "in test_a_result_that_was_never_awaited_fails" in message
        with database.expect(queries=0, allow_dropped=True):
            database.fetch_all("SELECT * FROM users")


async def test_one_in_a_cycle_is_found_and_one_from_before_is_not(database: Database) -> None:
    def forget() -> None:
        cycle: list[object] = [database.fetch_all("SELECT * FROM users")]
        cycle.append(cycle)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        forget()
        with database.expect(queries=0):
            pass
        with pytest.raises(AssertionError, match="never awaited"), database.expect(queries=0):
            forget()
        gc.collect()


@on([FILE, ASYNCPG])
async def test_under_force_rollback_all_queries_are_seen(kind: Kind, url: str) -> None:
    async with Database(url, force_rollback=True) as database:
        await database.execute(f"CREATE TABLE users (id {kind.key}, name TEXT)")
        with database.expect(queries=2):
            await database.execute(INSERT, {"name": "Ada"})
            async with database.transaction():
                await database.fetch_all("SELECT * FROM users")
        with database.expect(queries=1):
            await database.fetch_all("SELECT * FROM users")


async def test_inside_a_transaction_all_queries_are_seen(database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        with database.expect(queries=1):
            await database.execute(INSERT, {"name": "Grace"})
        await database.execute(INSERT, {"name": "Edith"})
    async with database.connection() as connection, database.transaction():
        with database.expect(queries=1):
            await connection.fetch_all("SELECT * FROM users")
    assert await database.fetch_val("SELECT count(*) FROM users") == 3


async def test_the_queries_of_an_application_count(file_database: Database) -> None:
    app = FastAPI()

    @app.get("/users")
    async def list_users() -> list[str]:
        ids = await file_database.fetch_all("SELECT id FROM users")
        return [await file_database.fetch_val(ONE, {"id": row["id"]}) for row in ids]

    await file_database.execute_many(INSERT, [{"name": name} for name in ("Ada", "Grace")])
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")
    async with client:
        with file_database.expect(queries=3):
            assert (await client.get("/users")).json() == ["Ada", "Grace"]
        twice = pytest.raises(AssertionError, match="The same query ran 2 times")
        with twice, file_database.expect(max_repeats=1):
            await client.get("/users")


async def test_a_database_can_be_connected_in_the_block(file_url: str) -> None:
    database = Database(file_url)
    with database.expect(queries=1):
        async with database:
            await database.fetch_val("SELECT 1")
