"""Key moments of those who wait, and of those who hold something for longer than they need it."""

from __future__ import annotations

import asyncio

import pytest

from databases import Database, exceptions
from tests.inspector.recorded import Recorded, is_at, recorded
from tests.library.kinds import (
    ASYNCMY,
    ASYNCPG,
    FILE,
    ON_SQLITE,
    PSYCOPG,
    Kind,
    on,
)
from tests.library.places import until
from tests.library.users import INSERT, count

ANY = on([FILE, ASYNCPG, ASYNCMY])
SELECT = "SELECT name FROM users WHERE id = :id"


async def rest(seconds: float = 0.15) -> None:
    """Something slow that is no query."""
    await asyncio.sleep(seconds)


def slow_read(kind: Kind, number: int) -> str:
    if kind in ON_SQLITE:
        return f"SELECT count(*) + {number} AS n{number} FROM ({kind.series(400_000)}) AS n"
    sleep = "sleep" if kind is ASYNCMY else "pg_sleep"
    return f"SELECT {number} AS n{number}, {sleep}(0.03)"


# Slow, held, idle.


@ANY
async def test_a_slow_query_is_found(kind: Kind, url: str) -> None:
    async with recorded(kind, url, slow=0.02) as (database, recorder):
        await database.fetch_val(slow_read(kind, 1))
        await count(database)
        moment = recorder.the("slow")
        assert is_at(moment, __file__, "await database.fetch_val(slow_read(kind, 1))")
        assert moment.cost is not None
        assert moment.cost >= 0.02
        assert recorder.exported()["moments"][0]["explain"]


@ANY
async def test_waiting_does_not_make_a_query_slow(kind: Kind, url: str) -> None:
    async with recorded(kind, url, kind.alone, slow=0.1) as (database, recorder):
        async with database.transaction():
            task = asyncio.create_task(database.execute(INSERT, {"name": "Ada"}))
            await until(lambda: database.statistics().waiting)
            await rest()
        await task
        assert recorder.found("slow") == []


@ANY
async def test_a_connection_held_for_nothing_is_found(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    with database.steps.request("GET", "/report"):
        async with database.connection() as connection:
            await connection.fetch_val("SELECT 1")
            await rest(0.6)
    moment = recorder.the("held")
    assert is_at(moment, __file__, "async with database.connection() as connection:")
    assert moment.cost is not None
    assert moment.cost > 0.5
    assert recorder.kinds() == ["held"]


@ANY
async def test_a_transaction_left_idle_is_found_once_and_not_as_held_too(
    kind: Kind, both: tuple[Database, Recorded]
) -> None:
    database, recorder = both
    with database.steps.request("POST", "/pay"):
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            await rest(0.6)
            await database.execute(INSERT, {"name": "Grace"})
    moment = recorder.the("idle transaction")
    assert is_at(moment, __file__, "async with database.transaction():")
    assert recorder.kinds() == ["idle transaction"]
    assert moment.times == 1


async def test_one_that_could_not_begin_is_not_idle(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    async with database.connection() as connection:
        with pytest.raises(exceptions.DatabaseError):
            async with connection.transaction(isolation="there is no such"):
                pytest.fail("it began")
        await rest()
        await connection.fetch_val("SELECT 1")
    assert recorder.found("idle transaction") == []


@ANY
async def test_who_waited_for_a_connection_has_not_held_it(kind: Kind, url: str) -> None:
    async def transact(database: Database) -> None:
        async with database.transaction():
            pass

    async with recorded(kind, url, kind.alone) as (database, recorder):
        async with database.transaction():
            task = asyncio.create_task(transact(database), name="waiter")
            await until(lambda: database.statistics().waiting)
            for _ in range(12):
                await database.fetch_val("SELECT 1")
                await rest(0.05)
        await task
        waited_at = recorder.the("waiting").site
        assert [each for each in recorder.found("held") if each.site == waited_at] == []


# Waiting.


@on([FILE, ASYNCPG, PSYCOPG, ASYNCMY])
@pytest.mark.parametrize("inside", [True, False], ids=["in a request", "outside"])
@pytest.mark.parametrize("what", ["statement", "transaction"])
async def test_who_waits_is_told_with_the_holder_while_he_does(
    kind: Kind, url: str, inside: bool, what: str
) -> None:
    async def wait(database: Database) -> None:
        if what == "statement":
            await database.execute(INSERT, {"name": "Grace"})
        else:
            async with database.transaction():
                pass

    async def wait_in_a_request(database: Database) -> None:
        with database.steps.request("GET", "/slow"):
            await wait(database)

    async with recorded(kind, url, kind.alone) as (database, recorder):
        entered, leave = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            with database.steps.request("POST", "/hold"):
                async with database.transaction():
                    await database.execute(INSERT, {"name": "Ada"})
                    entered.set()
                    await leave.wait()

        holding = asyncio.create_task(hold(), name="the holder")
        await entered.wait()
        run = wait_in_a_request if inside else wait
        waiting = asyncio.create_task(run(database), name="the waiter")
        await until(lambda: database.statistics().waiting)
        await rest()
        early = recorder.the("waiting")
        assert not waiting.done()
        leave.set()
        await asyncio.gather(holding, waiting)
        late = recorder.the("waiting")
        assert early.advice.title.startswith("Waiting ")
        assert late.advice.title.startswith("Waited ")
        assert early.number == late.number
        assert (early.times, late.times) == (1, 1)
        for moment in (early, late):
            assert moment.holder is not None
            assert moment.holder.startswith("the holder (POST /hold), test_moments_of_holding.py:")
            assert "It is held by the holder." in moment.advice.why
            assert moment.advice.wrong == "async with database.transaction():"
            assert (str(moment.request) == "GET /slow") == inside
            assert moment.cost is not None
            assert moment.cost >= 0.1
        await asyncio.sleep(0.15)
        assert recorder.the("waiting").advice.title == late.advice.title
