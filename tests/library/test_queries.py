"""The six query methods with SQL text."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest

from databases import Database, Pending, Record, exceptions
from tests.library.kinds import (
    MARIADB_ONLY,
    ON_MARIADB,
    ON_POSTGRESQL,
    ON_SQLITE,
    POSTGRESQL_ONLY,
    Kind,
    on,
)

INSERT = "INSERT INTO users (name) VALUES (:name)"


async def test_fetch_all_returns_a_list_of_records(database: Database) -> None:
    await database.execute_many(INSERT, [{"name": "Ada"}, {"name": "Grace"}])
    rows = await database.fetch_all("SELECT id, name FROM users ORDER BY id")
    assert [dict(row) for row in rows] == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]
    assert all(isinstance(row, Record) for row in rows)
    assert await database.fetch_all("SELECT id FROM users WHERE id > 9") == []


async def test_fetch_one_returns_the_first_row_or_none(database: Database) -> None:
    await database.execute_many(INSERT, [{"name": "Ada"}, {"name": "Grace"}])
    row = await database.fetch_one("SELECT name FROM users ORDER BY id DESC")
    assert row is not None
    assert row["name"] == "Grace"
    assert await database.fetch_one("SELECT name FROM users WHERE id = 9") is None


async def test_fetch_val_takes_a_column_by_position_or_name(database: Database) -> None:
    query = "SELECT 1 AS one, 'two' AS two"
    assert await database.fetch_val(query) == 1
    assert await database.fetch_val(query, column=1) == "two"
    assert await database.fetch_val(query, column="two") == "two"
    assert await database.fetch_val("SELECT 1 WHERE 1 = 0") is None
    with pytest.raises(KeyError, match="its columns are one, two"):
        await database.fetch_val(query, column="three")


async def test_execute_returns_the_id_of_an_insert_else_the_row_count(
    kind: Kind, database: Database
) -> None:
    assert await database.execute(INSERT, {"name": "Ada"}) == kind.answer(1)
    assert await database.execute(INSERT, {"name": "Grace"}) == kind.answer(2)
    assert await database.execute("UPDATE users SET name = lower(name)") == kind.answer(2)
    assert await database.execute("DELETE FROM users WHERE id = 1") == kind.answer(1)
    assert await database.execute("DELETE FROM users WHERE id = 1") == kind.answer(0)


async def test_execute_after_an_insert_never_returns_its_stale_id(
    kind: Kind, database: Database
) -> None:
    async with database.connection() as connection:
        assert await connection.execute(INSERT, {"name": "Ada"}) == kind.answer(1)
        for number in range(4):
            await connection.execute(INSERT, {"name": str(number)})
        update = "UPDATE users SET name = 'x' WHERE id = 5"
        assert await connection.execute(update) == kind.answer(1)
        assert await connection.execute("DELETE FROM users WHERE id = 5") == kind.answer(1)


@POSTGRESQL_ONLY
async def test_on_postgresql_execute_returns_the_first_value_of_the_first_row(
    database: Database,
) -> None:
    insert = INSERT + " RETURNING id, name"
    assert await database.execute(insert, {"name": "Ada"}) == 1
    assert await database.execute("SELECT 7, 8 UNION ALL SELECT 9, 10") == 7
    assert await database.execute("SELECT 1 WHERE false") is None
    assert await database.execute("SELECT NULL") is None


async def test_execute_many_keeps_all_rows_or_none(kind: Kind, database: Database) -> None:
    await database.execute_many(INSERT, [{"name": str(i)} for i in range(500)])
    twice = [{"name": "new"}, {"name": "7"}]
    with pytest.raises(kind.unique):
        await database.execute_many(INSERT, twice)
    assert await database.fetch_val("SELECT count(*) FROM users") == 500
    async with database.connection() as connection:
        with pytest.raises(kind.unique):
            await connection.execute_many(INSERT, twice)
        assert await connection.fetch_val("SELECT count(*) FROM users") == 500
    async with database.transaction():
        await database.execute(INSERT, {"name": "kept"})
        with pytest.raises(kind.unique):
            async with database.transaction():
                await database.execute_many(INSERT, twice)
    assert await database.fetch_val("SELECT count(*) FROM users") == 501


async def test_many_updates_are_kept_as_a_whole_too(kind: Kind, database: Database) -> None:
    await database.execute_many(INSERT, [{"name": str(i)} for i in range(9)])
    update = "UPDATE users SET name = :name WHERE id = :id"
    with pytest.raises(kind.unique):
        await database.execute_many(update, [{"id": 1, "name": "x"}, {"id": 2, "name": "8"}])
    assert await database.fetch_val("SELECT name FROM users WHERE id = 1") == "0"
    rows = [{"id": number + 1, "name": f"new {number}"} for number in range(9)]
    await database.execute_many(update, rows)
    names = [row.name for row in await database.fetch_all("SELECT name FROM users ORDER BY id")]
    assert names == [row["name"] for row in rows]


@on([*ON_SQLITE, *ON_MARIADB])
async def test_execute_many_that_fails_leaves_its_transaction_as_it_was(
    kind: Kind, database: Database
) -> None:
    await database.execute_many(INSERT, [{"name": str(i)} for i in range(10)])
    update = "UPDATE users SET name = :name WHERE id = :id"
    async with database.transaction():
        await database.execute(INSERT, {"name": "kept"})
        with pytest.raises(kind.unique):
            await database.execute_many(INSERT, [{"name": "new"}, {"name": "7"}])
        with pytest.raises(kind.unique):
            await database.execute_many(update, [{"id": 1, "name": "x"}, {"id": 2, "name": "8"}])
    assert await database.fetch_val("SELECT count(*) FROM users") == 11
    assert await database.fetch_val("SELECT name FROM users WHERE id = 1") == "0"


async def test_execute_many_of_nothing_does_nothing(database: Database) -> None:
    await database.execute_many(INSERT, [])
    assert await database.fetch_val("SELECT count(*) FROM users") == 0


async def test_execute_many_runs_any_kind_of_statement(database: Database) -> None:
    await database.execute_many("SELECT 1 + :a", [{"a": 1}, {"a": 2}])
    await database.execute_many(INSERT + " RETURNING id", [{"name": "a"}, {"name": "b"}])
    assert await database.fetch_val("SELECT count(*) FROM users") == 2


async def test_rows_returned_by_a_write_can_be_fetched(database: Database) -> None:
    row = await database.fetch_one(INSERT + " RETURNING id, name", {"name": "Ada"})
    assert row is not None
    assert dict(row) == {"id": 1, "name": "Ada"}
    assert await database.fetch_val(INSERT + " RETURNING id", {"name": "Grace"}) == 2
    many = "INSERT INTO users (name) VALUES ('x'), ('y'), ('z') RETURNING id"
    assert [row["id"] for row in await database.fetch_all(many)] == [3, 4, 5]
    assert [row["id"] async for row in database.iterate("DELETE FROM users RETURNING id")] == [
        1,
        2,
        3,
        4,
        5,
    ]


async def test_percent_signs_in_sql_text_are_text(database: Database) -> None:
    await database.execute(INSERT, {"name": "abc"})
    assert await database.fetch_val("SELECT name FROM users WHERE name LIKE '%b%'") == "abc"
    like = "SELECT name FROM users WHERE name LIKE '%b%' AND id = :id"
    assert await database.fetch_val(like, {"id": 1}) == "abc"
    assert await database.fetch_val("SELECT '100%', '%s', '%(a)s', '%%'", column=0) == "100%"
    row = await database.fetch_one("SELECT '%s', '%(a)s', '%%' WHERE 1 = :one", {"one": 1})
    assert row is not None
    assert list(row.values()) == ["%s", "%(a)s", "%%"]
    assert await database.fetch_val("SELECT 7 % :n", {"n": 4}) == 3
    await database.execute_many("UPDATE users SET name = :a WHERE name LIKE 'a%'", [{"a": "a%s"}])
    assert await database.fetch_val("SELECT name FROM users") == "a%s"


async def test_a_read_after_a_write_sees_it_from_any_task(database: Database) -> None:
    async def write_then_read(name: str) -> bool:
        await database.execute(INSERT, {"name": name})
        found = await database.fetch_val("SELECT 1 FROM users WHERE name = :n", {"n": name})
        return bool(found == 1)

    results = await asyncio.gather(*[write_then_read(str(i)) for i in range(200)])
    assert all(results)


async def test_a_table_changed_meanwhile_shows_its_new_columns(database: Database) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    query = "SELECT * FROM users"
    assert (await database.fetch_all(query))[0].keys() == {"id", "name"}
    await database.execute("ALTER TABLE users ADD COLUMN email VARCHAR(9) DEFAULT 'none'")
    assert dict((await database.fetch_all(query))[0]) == {"id": 1, "name": "Ada", "email": "none"}


async def test_a_driver_error_is_the_drivers_and_ours_and_names_sql_and_place(
    kind: Kind, database: Database
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.IntegrityError) as caught:
        await database.execute(INSERT, {"name": "Ada"})
    assert isinstance(caught.value, kind.unique)
    assert "unique" in str(caught.value).lower() or "Duplicate entry" in str(caught.value)
    notes = "\n".join(caught.value.__notes__)
    assert f"SQL: {INSERT}" in notes
    assert "test_queries.py" in notes
    assert "in test_a_driver_error_is_the_drivers_and_ours_and_names_sql_and_place" in notes
    with pytest.raises(kind.missing_table):
        await database.fetch_all("SELEKT 1")
    with pytest.raises(kind.missing_table, match="missing"):
        await database.fetch_all("SELECT * FROM missing")
    with pytest.raises(exceptions.IntegrityError):
        await database.execute("INSERT INTO users (id, name) VALUES (1, 'Joan')")


@on([*ON_SQLITE, *ON_POSTGRESQL])
async def test_two_statements_in_one_text_are_refused(database: Database) -> None:
    with pytest.raises(exceptions.ProgrammingError):
        await database.execute("SELECT 1; SELECT 2")
    with pytest.raises(exceptions.ProgrammingError):
        await database.execute("SELECT 1 + :a; SELECT 2", {"a": 1})


@MARIADB_ONLY
async def test_of_two_statements_in_one_text_nobody_gets_the_rows_of_the_second(
    database: Database,
) -> None:
    async with database.connection() as connection:
        assert await connection.fetch_val("SELECT 1; SELECT 2") == 1
        assert await connection.fetch_val("SELECT 3") == 3
        with contextlib.suppress(exceptions.DriverError):
            await connection.execute("SELECT 4; SELECT * FROM missing")
        assert await connection.fetch_val("SELECT 5") == 5


async def test_a_query_of_another_type_says_what_a_query_is(database: Database) -> None:
    with pytest.raises(exceptions.QueryTypeError, match="not int: 7"):
        await database.fetch_all(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r'right:.*\{"id": 1\}'):
        await database.fetch_all("SELECT :id", [1])  # type: ignore[list-item]


async def test_nothing_waits_for_the_garbage_collector(database: Database) -> None:
    async def fails() -> None:
        # pytest.raises would keep the error in a cycle of its own.
        with contextlib.suppress(exceptions.DriverError):
            await database.fetch_all("SELECT * FROM missing")
        task = asyncio.create_task(database.fetch_all("SELECT 1"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    await fails()
    await asyncio.sleep(0.01)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            await fails()
        await asyncio.sleep(0.01)
        assert not [o for o in gc.get_objects() if isinstance(o, exceptions.DriverError | Pending)]
    finally:
        gc.enable()
