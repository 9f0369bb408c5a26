"""A forgotten await, and the awaitables that know their place."""

from __future__ import annotations

import asyncio
import gc
import inspect
import linecache
import warnings

import anyio
import pytest

from databases import Database, Pending, exceptions
from databases.exceptions import ForgottenAwaitError

query = "SELECT 1 as number"


async def test_a_result_used_without_await_names_method_place_and_the_right_line(
    database: Database,
) -> None:
    result = database.fetch_one(query)
    with pytest.raises(TypeError) as caught:
        result["number"]  # type: ignore[index]
    line = inspect.currentframe().f_lineno - 3  # type: ignore[union-attr]
    message = str(caught.value)
    assert isinstance(caught.value, ForgottenAwaitError)
    assert message.startswith("database.fetch_one() was not awaited.")
    assert f'test_forgotten_await.py", line {line}, in test_a_result_used' in message
    assert "wrong:  result = database.fetch_one(query)" in message
    assert "right:  result = await database.fetch_one(query)" in message
    assert (await result)["number"] == 1  # type: ignore[index]


async def test_the_right_line_has_parentheses_where_it_needs_them(database: Database) -> None:
    with pytest.raises(ForgottenAwaitError) as caught:
        number = database.fetch_one(query)["number"]  # type: ignore[index]  # noqa: F841
    assert 'right:  number = (await database.fetch_one(query))["number"]' in str(caught.value)
    with pytest.raises(ForgottenAwaitError) as caught:
        len(database.fetch_all("SELECT 'größer'"))  # type: ignore[arg-type]
    assert "right:  len(await database.fetch_all(\"SELECT 'größer'\"))" in str(caught.value)
    with pytest.raises(ForgottenAwaitError) as caught:
        database.fetch_all(
            query,
        )[0]  # type: ignore[index]
    right = str(caught.value).partition("right:  ")[2]
    assert " ".join(right.split()).startswith("(await database.fetch_all( query, ))[0]")


async def test_loops_attributes_and_membership_are_told_too(database: Database) -> None:
    pending = database.fetch_all(query)
    for wrong in (
        lambda: list(pending),  # type: ignore[call-overload]
        lambda: pending.number,  # type: ignore[attr-defined]
        lambda: 1 in pending,  # type: ignore[operator]
        lambda: dict(pending),  # type: ignore[call-overload]
    ):
        with pytest.raises(ForgottenAwaitError, match=r"await database\.fetch_all"):
            wrong()
    assert not hasattr(pending, "number")
    await pending


async def test_without_the_source_the_advice_is_in_words(database: Database) -> None:
    code = compile("pending = database.fetch_all('SELECT 1')", "<no such file>", "exec")
    scope = {"database": database}
    exec(code, scope)
    pending = scope["pending"]
    with pytest.raises(ForgottenAwaitError, match="Write `await` in front of the call of database"):
        pending[0]  # type: ignore[index]
    pending.close()  # type: ignore[attr-defined]


async def test_one_never_awaited_warns_with_sql_and_place(database: Database) -> None:
    with pytest.warns(RuntimeWarning) as caught:
        database.execute("INSERT INTO users (name)\n   VALUES ('lost')")
    warning = caught[0]
    assert warning.filename == __file__
    message = str(warning.message)
    assert "database.execute() was never awaited, so it did not run." in message
    assert "SQL:    INSERT INTO users (name) VALUES ('lost')" in message
    assert (
        linecache.getline(warning.filename, warning.lineno).strip().startswith("database.execute(")
    )
    assert await database.fetch_val("SELECT count(*) FROM users") == 0


async def test_it_works_with_everything_that_takes_a_coroutine(database: Database) -> None:
    assert await asyncio.create_task(database.fetch_val("SELECT 1")) == 1
    both = await asyncio.gather(database.fetch_val("SELECT 2"), database.fetch_val("SELECT 3"))
    assert list(both) == [2, 3]
    assert await asyncio.wait_for(database.fetch_val("SELECT 4"), 5) == 4
    assert await asyncio.shield(database.fetch_val("SELECT 5")) == 5
    async with asyncio.TaskGroup() as group:
        task = group.create_task(database.fetch_val("SELECT 6"))
    assert task.result() == 6
    done, _ = await asyncio.wait([asyncio.ensure_future(database.fetch_val("SELECT 7"))])
    assert done.pop().result() == 7
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(database.fetch_val, "SELECT 8")
    assert inspect.isawaitable(pending := database.fetch_val("SELECT 9"))
    assert asyncio.iscoroutine(pending)
    assert await pending == 9


async def test_a_task_of_it_can_be_shown(database: Database) -> None:
    task = asyncio.create_task(database.fetch_val("SELECT 1"))
    assert "database.fetch_val()" in repr(task)
    await asyncio.sleep(0)
    assert "database.fetch_val()" in repr(task)
    assert task.get_stack()
    await task


async def test_errors_come_through_a_task(database: Database) -> None:
    task = asyncio.create_task(database.fetch_val("SELECT * FROM missing"))
    with pytest.raises(exceptions.DriverError, match="missing"):
        await task


async def test_one_cancelled_or_closed_before_it_starts_does_not_warn(database: Database) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = asyncio.create_task(database.fetch_val("SELECT 1"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        database.fetch_val("SELECT 1").close()
        gc.collect()


async def test_awaiting_twice_says_where_it_was_made(database: Database) -> None:
    pending = database.fetch_val("SELECT 1")
    await pending
    with pytest.raises(RuntimeError, match=r"awaited twice: File .*test_forgotten_await\.py"):
        await pending


async def test_nothing_is_kept_alive_by_it(database: Database) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            await database.fetch_all(query)
            await asyncio.create_task(database.fetch_all(query))
        await asyncio.sleep(0)
        assert not [o for o in gc.get_objects() if isinstance(o, Pending)]
    finally:
        gc.enable()


def test_query_methods_are_coroutine_functions_to_frameworks() -> None:
    database = Database("sqlite://")
    for method in (database.connect, database.disconnect, database.fetch_all, database.execute):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert asyncio.iscoroutinefunction(method)
