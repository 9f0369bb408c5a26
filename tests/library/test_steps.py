"""The steps of a database: what is told of each call, in which order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from databases import Database, exceptions
from databases.steps import Kind as Told
from tests.library.kinds import CONCURRENT, SQLITE_ONLY, Kind
from tests.library.places import Place, until
from tests.library.seen import Seen, source
from tests.library.users import INSERT, count


@pytest.fixture
def seen(database: Database) -> Iterator[Seen]:
    seen = Seen(database)
    yield seen
    seen.leave()


async def test_a_query_is_sent_and_has_its_rows_in_one_operation(
    kind: Kind, database: Database, seen: Seen
) -> None:
    async def work() -> None:
        await database.execute(INSERT, {"name": "Ada"})
        await database.fetch_all("SELECT name FROM users WHERE name = :name", {"name": "Ada"})

    await asyncio.create_task(work(), name="worker")
    assert (
        seen.states()
        == [
            ("query", "idle", "in flight"),
            ("rows", "in flight", "idle"),
        ]
        * 2
    )
    insert, inserted, select, selected = seen
    assert insert.operation is inserted.operation
    assert select.operation is selected.operation
    assert insert.operation.number < select.operation.number
    assert (
        source(insert, __file__)
        == source(inserted, __file__)
        == 'await database.execute(INSERT, {"name": "Ada"})'
    )
    assert [step.rows for step in seen] == [None, None, None, 1]
    assert inserted.family == "INSERT INTO users (name) VALUES (?)"
    assert selected.family == "SELECT name FROM users WHERE name = ?"
    assert selected.sql is not None
    assert ":name" not in selected.sql
    names = [connection.name for connection in database.statistics().connections]
    for step in seen:
        assert step.task == "worker"
        assert step.connection in names
        assert (step.lease, step.request, step.batch, step.error, step.lasted) == (None,) * 5
    seen.add_up()


async def test_connecting_and_disconnecting(url: str) -> None:
    database = Database(url)
    seen = Seen(database)
    await database.connect()
    await database.connect()  # it is: nothing happens
    await database.disconnect()
    assert seen.states() == [
        ("connect", "not connected", "connected"),
        ("disconnect", "connected", "not connected"),
    ]
    assert source(seen[0], __file__) == "await database.connect()"
    assert source(seen[1], __file__) == "await database.disconnect()"
    assert [step.number for step in seen] == [1, 2]
    seen.add_up()
    seen.leave()


async def test_connecting_in_vain(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path}/not/there.db")
    seen = Seen(database)
    with pytest.raises(exceptions.OperationalError) as caught:
        await database.connect()
    assert seen.states() == [("connect", "not connected", "failed")]
    assert seen[0].error is caught.value


async def test_a_transaction_and_those_inside_it(
    kind: Kind, database: Database, seen: Seen
) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        async with database.transaction():
            await database.fetch_val("SELECT 1")
        with pytest.raises(ZeroDivisionError):
            async with database.transaction():
                _ = 1 / 0
    idle, inside, flying = "idle", "in transaction", "in flight"
    assert seen.states() == [
        ("acquire", "connected", "held"),
        ("begin", idle, inside),
        ("query", inside, flying),
        ("rows", flying, inside),
        ("savepoint", inside, "savepoint set"),
        ("query", inside, flying),
        ("rows", flying, inside),
        ("savepoint", "savepoint set", "savepoint kept"),
        ("savepoint", inside, "savepoint set"),
        ("rollback", "savepoint set", "rolled back to savepoint"),
        ("commit", inside, "committed"),
        ("release", "held", idle),
    ]
    assert {step.lease for step in seen} == {seen[0].lease}
    assert seen[0].lease is not None
    # One number for a call: the query and its rows, and each of the others alone.
    numbers = [step.operation.number for step in seen]
    assert len(set(numbers)) == len(seen) - 2
    assert len({step.connection for step in seen[1:]}) == 1
    for each in (seen[0], seen[1], seen[-2], seen[-1]):
        assert source(each, __file__) == "async with database.transaction():"
    release = seen[-1]
    assert release.lasted is not None
    assert 0 < release.query <= release.lasted
    seen.add_up()


async def test_a_transaction_that_fails_is_rolled_back(database: Database, seen: Seen) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            _ = 1 / 0
    async with database.transaction(force_rollback=True):
        pass
    assert seen.kinds() == ["acquire", "begin", "rollback", "release"] * 2
    assert {step.after for step in seen.of(Told.ROLLBACK)} == {"rolled back"}
    assert len({step.lease for step in seen}) == 2
    assert not any(step.error for step in seen)


async def test_a_transaction_that_cannot_begin_gives_its_connection_back(
    database: Database, seen: Seen
) -> None:
    with pytest.raises(exceptions.DatabaseError) as caught:
        async with database.transaction(isolation="there is no such"):
            pytest.fail("it began")
    assert seen.kinds() == ["acquire", "begin", "release"]
    assert seen[1].after == "failed"
    assert seen[1].error is caught.value


async def test_statements_on_a_connection_that_is_held(database: Database, seen: Seen) -> None:
    async with database.connection() as connection:
        await connection.fetch_val("SELECT 1")
        await database.fetch_val("SELECT 2")
    assert seen.states() == [
        ("acquire", "connected", "held"),
        *[("query", "held", "in flight"), ("rows", "in flight", "held")] * 2,
        ("release", "held", "idle"),
    ]
    assert len({step.lease for step in seen}) == 1
    assert len({step.connection for step in seen[1:]}) == 1
    seen.add_up()


async def test_the_pieces_of_an_iteration_are_steps_of_one_call(
    kind: Kind, database: Database, seen: Seen
) -> None:
    assert len([row async for row in database.iterate(kind.series(2500))]) == 2500
    pieces = seen.of(Told.ROWS)
    assert seen.kinds() == ["acquire", "query", *["rows"] * len(pieces), "release"]
    assert sum(step.rows or 0 for step in pieces) == 2500
    assert len({step.operation.number for step in [seen[1], *pieces]}) == 1
    assert len({step.lease for step in seen}) == 1
    assert {step.connection for step in pieces} == {seen[1].connection}
    assert "database.iterate(kind.series(2500))" in (source(pieces[0], __file__) or "")
    seen.add_up()


async def test_no_piece_of_an_iteration_is_told_as_if_it_had_not_been_sent(
    kind: Kind, database: Database, seen: Seen
) -> None:
    async for _ in database.iterate(kind.series(150)):
        pass
    assert {step.before for step in seen.of(Told.ROWS)} == {"in flight"}


async def test_the_pieces_of_an_iteration_have_its_sql(
    kind: Kind, database: Database, seen: Seen
) -> None:
    async for _ in database.iterate(kind.series(150)):
        pass
    query = seen.one(Told.QUERY)
    assert query.sql is not None
    assert {(step.sql, step.family) for step in seen.of(Told.ROWS)} == {(query.sql, query.family)}


async def test_a_connection_was_not_in_use_for_longer_than_it_was_held(
    kind: Kind, database: Database, seen: Seen
) -> None:
    # Nearly all of it is the first piece, or the opening.
    await database.fetch_val(f"SELECT count(*) FROM ({kind.series(10)}) AS n")
    async for _ in database.iterate(f"SELECT count(*) FROM ({kind.series(300_000)}) AS n"):
        pass
    release = seen.one(Told.RELEASE)
    assert release.lasted is not None
    assert release.query <= release.lasted


async def test_a_loop_that_is_left_early_is_released(
    kind: Kind, database: Database, seen: Seen
) -> None:
    async for _ in database.iterate(kind.series(5000)):
        break
    await until(lambda: seen.kinds()[-1] == "release")
    assert seen.kinds() == ["acquire", "query", "rows", "release"]
    await kind.nothing_is_held(database)


async def test_a_batch_tells_how_many_sets_of_values_it_has(database: Database, seen: Seen) -> None:
    await database.execute_many(INSERT, [{"name": str(number)} for number in range(7)])
    assert seen.kinds() == ["query", "rows"]
    assert {step.batch for step in seen} == {7}
    assert await count(database) == 7


async def test_an_error_is_in_the_step_it_ended_with(
    kind: Kind, database: Database, seen: Seen
) -> None:
    with pytest.raises(kind.missing_table) as caught:
        await database.fetch_all("SELECT * FROM not_there")
    assert seen.states() == [("query", "idle", "in flight"), ("rows", "in flight", "idle")]
    assert seen[1].error is caught.value
    assert seen[1].operation.failed
    assert seen[1].without_error().error is None
    assert seen[1].without_error().number == seen[1].number
    # Nothing that lives longer keeps the frames of its traceback.
    assert seen[1].operation.error is None
    seen.add_up()


async def test_one_that_never_ran_is_no_step(database: Database, seen: Seen) -> None:
    with pytest.raises(exceptions.BindError):
        await database.fetch_all("SELECT :a", {"b": 1})
    assert seen == []


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_one_that_is_stopped_ends_with_that(
    kind: Kind, place: Place, database: Database, seen: Seen, how: str
) -> None:
    limit = 0.05 if how == "timed out" else None
    task = asyncio.ensure_future(database.fetch_all(kind.endless, timeout=limit))
    await until(lambda: seen)
    await until(lambda: place.is_busy(database) or task.done())
    if how == "cancelled":
        task.cancel()
    await asyncio.wait([task])
    assert seen.kinds() == ["query", "rows"]
    assert isinstance(seen[1].error, asyncio.CancelledError)
    assert seen[1].rows is None
    assert database.steps.under_way() == []
    seen.add_up()


# Dropped, tried again, kept back.


async def test_what_is_never_awaited_is_told_with_its_place(database: Database, seen: Seen) -> None:
    with pytest.warns(RuntimeWarning, match="never awaited"):
        database.execute(INSERT, {"name": "secret"})
    dropped = seen.one(Told.DROPPED)
    assert dropped.detail == f"database.execute({INSERT})"
    assert (dropped.before, dropped.after) == ("not awaited", "dropped")
    assert source(dropped, __file__) == 'database.execute(INSERT, {"name": "secret"})'


@CONCURRENT
async def test_under_force_rollback_all_is_told_of_one_lease(database: Database) -> None:
    database = Database(database.url, force_rollback=True)
    seen = Seen(database)
    async with database:
        async with database.transaction():
            await asyncio.create_task(database.execute(INSERT, {"name": "Ada"}))
        async for _ in database.iterate("SELECT name FROM users"):
            pass
    kinds = seen.kinds()
    assert kinds[:3] == ["connect", "acquire", "begin"]
    assert kinds[-3:] == ["rollback", "release", "disconnect"]
    assert len({step.lease for step in seen[1:-1]}) == 1
    assert kinds.count("savepoint") == 2
    seen.leave()


async def test_a_typed_value_is_decoded_once_and_the_time_told(
    kind: Kind, database: Database, seen: Seen
) -> None:
    decoded: list[Any] = []

    class Shouted(sa.TypeDecorator[str]):
        impl = sa.String
        cache_ok = True

        def process_result_value(self, value: Any, dialect: Any) -> str:
            decoded.append(value)
            return str(value).upper()

    await database.execute(INSERT, {"name": "Ada"})
    names = sa.table("users", sa.column("name", Shouted()))
    row = await database.fetch_one(sa.select(names.c.name))
    assert row is not None
    assert row.name == row["name"] == "ADA"
    assert decoded == ["Ada"]
    assert seen[-1].decode > 0
    assert seen[-1].rows == 1


@SQLITE_ONLY
async def test_a_read_in_the_fast_lane_is_told_like_any_other(
    kind: Kind, database: Database, seen: Seen
) -> None:
    for _ in range(10):
        await database.fetch_val("SELECT count(*) FROM users WHERE id = :id", {"id": 1})
    assert seen.kinds() == ["query", "rows"] * 10
    assert {step.rows for step in seen.of(Told.ROWS)} == {1}
    seen.add_up()
