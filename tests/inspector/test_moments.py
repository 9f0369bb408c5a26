"""Key moments: what is found in the steps of a request, with its place, its cost and the cure."""

from __future__ import annotations

import ast
import asyncio
import sqlite3
from contextlib import closing

import pytest

from databases import Database, exceptions
from tests.inspector.recorded import Recorded, is_at
from tests.library.kinds import (
    ASYNCMY,
    ASYNCPG,
    FILE,
    NETWORK_ONLY,
    ON_SQLITE,
    POSTGRESQL_ONLY,
    Kind,
    on,
)
from tests.library.places import until
from tests.library.pools import idle_for, pool_of
from tests.library.users import INSERT, count

ANY = on([FILE, ASYNCPG, ASYNCMY])
SELECT = "SELECT name FROM users WHERE id = :id"


def parses(code: str | None) -> bool:
    """Whether what is advised is Python."""
    assert code is not None
    ast.parse("async def f():\n" + "\n".join("    " + line for line in code.splitlines()))
    return True


# N+1.


@ANY
async def test_a_loop_of_reads_is_found_with_its_place_its_cost_and_the_cure(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    with database.steps.request("GET", "/users"):
        for number in range(5):
            await database.fetch_one(SELECT, {"id": number})
    moment = recorder.the("n+1")
    assert is_at(moment, __file__, 'await database.fetch_one(SELECT, {"id": number})')
    assert (moment.times, len(moment.steps)) == (5, 5)
    request = recorder.requests()[-1]
    steps = {step["n"]: step for step in request["steps"]}
    assert {steps[number]["kind"] for number in moment.steps} == {"query"}
    rows = [step for step in request["steps"] if step["kind"] == "rows"]
    [shown] = request["moments"]
    assert shown["cost"] >= sum(step["query"] for step in rows) - 0.01
    assert shown["title"] == "The same query ran 5 times"
    assert shown["wrong"] == 'await database.fetch_one(SELECT, {"id": number})'
    assert parses(shown["right"])
    assert "SELECT name FROM users WHERE id IN (:id_1, :id_2, ...)" in shown["right"]
    assert (shown["explain"], shown["request"]["path"]) == (True, "/users")
    assert recorder.kinds() == ["n+1"]


async def test_the_same_from_two_requests_is_one_of_all_and_one_of_each(
    both: tuple[Database, Recorded],
) -> None:
    database, recorder = both
    for path in ("/first", "/second"):
        with database.steps.request("GET", path):
            for number in range(3):
                await database.fetch_one(SELECT, {"id": number})
    assert str(recorder.the("n+1").request) == "GET /second"
    assert [len(each["moments"]) for each in recorder.requests()][-2:] == [1, 1]


async def test_what_is_no_loop_of_reads(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    for number in range(5):  # outside of requests
        await database.fetch_one(SELECT, {"id": number})
    for number in range(5):  # once in each of many requests
        with database.steps.request("GET", "/"):
            await database.fetch_one(SELECT, {"id": number})
    with database.steps.request("GET", "/twice"):
        for number in range(2):
            await database.fetch_one(SELECT, {"id": number})
    with database.steps.request("GET", "/different"):
        for table in ("users", "sqlite_schema", "pragma_database_list"):
            await database.fetch_one(f"SELECT count(*) FROM {table}")
    with database.steps.request("GET", "/places"):
        await database.fetch_one(SELECT, {"id": 1})
        await database.fetch_one(SELECT, {"id": 2})
        await database.fetch_one(SELECT, {"id": 3})
    assert recorder.found("n+1") == []


@ANY
async def test_the_pieces_of_an_iteration_are_no_loop(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    with database.steps.request("GET", "/export"):
        async for _ in database.iterate(kind.series(5000)):
            pass
    assert recorder.found("n+1") == []


@ANY
async def test_an_iteration_is_one_query_in_the_list(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    with database.steps.request("GET", "/export"):
        async for _ in database.iterate(kind.series(5000)):
            pass
    request = recorder.requests()[-1]
    assert [step["kind"] for step in request["steps"]].count("query") == 1
    assert request["summary"]["queries"] == 1
    assert request["summary"]["steps"] == len(request["steps"])


# One after the other.


@ANY
async def test_writes_one_by_one_are_found(kind: Kind, both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    with database.steps.request("POST", "/import"):
        for number in range(4):
            await database.execute(INSERT, {"name": str(number)})
    moment = recorder.the("sequential")
    assert is_at(moment, __file__, 'await database.execute(INSERT, {"name": str(number)})')
    assert moment.times == 4
    assert "execute_many" in (moment.advice.right or "")
    assert recorder.kinds() == ["sequential"]


async def test_writes_at_once_are_not_one_by_one(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    with database.steps.request("POST", "/import"):
        await asyncio.gather(
            *[database.execute(INSERT, {"name": str(number)}) for number in range(4)]
        )
    assert recorder.kinds() == []


async def test_writes_in_a_transaction_are_not_said_to_commit_each(
    both: tuple[Database, Recorded],
) -> None:
    database, recorder = both
    with database.steps.request("POST", "/import"):
        async with database.transaction():
            for number in range(4):
                await database.execute(INSERT, {"name": str(number)})
    assert not [each for each in recorder.found() if "commit of its own" in each.advice.why]


async def two_reads(kind: Kind, database: Database, how: str) -> None:
    """Two different reads that take a while each, from two places."""
    first, second = slow_read(kind, 1), slow_read(kind, 2)
    if how == "at once":
        await asyncio.gather(database.fetch_val(first), database.fetch_val(second))
    elif how == "at once, with one that had to wait":
        done = asyncio.Event()

        async def waits() -> None:
            await done.wait()
            await database.fetch_val(second)

        waiting = asyncio.create_task(waits())
        await database.fetch_val(first)
        done.set()
        await waiting
    elif how == "in a transaction":
        async with database.transaction():
            await database.fetch_val(first)
            await database.fetch_val(second)
    elif how == "around a write":
        await database.fetch_val(first)
        await database.execute(INSERT, {"name": "Ada"})
        await database.fetch_val(second)
    else:
        await database.fetch_val(first)
        await database.fetch_val(second)


def slow_read(kind: Kind, number: int) -> str:
    if kind in ON_SQLITE:
        return f"SELECT count(*) + {number} AS n{number} FROM ({kind.series(400_000)}) AS n"
    sleep = "sleep" if kind is ASYNCMY else "pg_sleep"
    return f"SELECT {number} AS n{number}, {sleep}(0.03)"


@ANY
@pytest.mark.parametrize(
    "how",
    [
        "one by one",
        "at once",
        "at once, with one that had to wait",
        "in a transaction",
        "around a write",
    ],
)
async def test_reads_that_could_be_gathered(
    kind: Kind, both: tuple[Database, Recorded], how: str
) -> None:
    database, recorder = both
    recorder.moments.slow = 60
    await database.fetch_val("SELECT 1")
    with database.steps.request("GET", "/page"):
        await two_reads(kind, database, how)
    if how != "one by one":
        assert recorder.kinds() == []
        return
    moment = recorder.the("sequential")
    assert is_at(moment, __file__, "await database.fetch_val(first)")
    assert moment.cost is not None
    assert moment.cost > 0.01
    assert parses(moment.advice.right)
    right = moment.advice.right or ""
    assert right.startswith("await asyncio.gather(")
    assert "database.fetch_val(first),\n" in right
    assert "database.fetch_val(second),\n" in right


# Dropped, tried again.


async def test_what_was_never_awaited_is_found_with_the_line_to_write(
    both: tuple[Database, Recorded],
) -> None:
    database, recorder = both
    with (
        database.steps.request("POST", "/users"),
        pytest.warns(RuntimeWarning, match="never awaited"),
    ):
        database.execute(INSERT, {"name": "Ada"})
    moment = recorder.the("dropped")
    assert is_at(moment, __file__, 'database.execute(INSERT, {"name": "Ada"})')
    assert moment.advice.right == 'await database.execute(INSERT, {"name": "Ada"})'
    assert str(moment.request) == "POST /users"


@NETWORK_ONLY
async def test_a_statement_tried_again_is_found(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    await count(database)
    for slot in pool_of(database)._slots:
        slot.link.terminate()
    idle_for(database, 0)
    await database.fetch_all("SELECT * FROM users")
    moment = recorder.the("retry")
    assert is_at(moment, __file__, 'await database.fetch_all("SELECT * FROM users")')
    assert moment.advice.why == "Its connection broke before it was done."


@ANY
async def test_a_transaction_tried_again_is_found(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    errors = [exceptions.TransactionConflictError("others"), None]

    @database.transaction(retry=True)
    async def add() -> None:
        await database.execute(INSERT, {"name": "Ada"})
        if error := errors.pop(0):
            raise error

    await add()
    moment = recorder.the("retry")
    assert is_at(moment, __file__, "@database.transaction(retry=True)")
    assert moment.advice.title == "A transaction was tried again"
    assert moment.advice.why == "Attempt 1 of its transaction failed."


async def test_one_that_sqlite_was_kept_from_is_found(
    url: str, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    steps = database.steps
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.ensure_future(database.execute(INSERT, {"name": "Ada"}))
        await until(lambda: any(each.repeated for each in steps.under_way()))
        other.execute("ROLLBACK")
    await task
    assert "another process was in the way" in recorder.the("retry").advice.why


@POSTGRESQL_ONLY
async def test_what_is_all_right_is_no_moment(kind: Kind, both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    with database.steps.request("GET", "/"):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            await database.fetch_all("SELECT * FROM users")
        await database.execute_many(INSERT, [{"name": str(number)} for number in range(9)])
        await asyncio.gather(count(database), count(database))
    assert recorder.kinds() == []
