"""Watching the steps of a database: subscribers, requests, and what is never told."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from databases import Database, exceptions, operations
from databases.observed import ObservedBackend
from databases.operations import Operation
from databases.steps import Kind as Told
from databases.steps import Step
from tests.library.kinds import ON_SQLITE, Kind
from tests.library.pools import sleeping
from tests.library.seen import Seen
from tests.library.users import INSERT, count

SECRET = "pa55w0rd"


@pytest.fixture
def seen(database: Database) -> Iterator[Seen]:
    seen = Seen(database)
    yield seen
    seen.leave()


# Subscribers.


async def test_a_subscriber_that_fails_harms_no_query_and_is_logged(
    database: Database, seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("from the subscriber")

    leaving = [database.steps.subscribe(fail), database.steps.subscribe(fail, queries=fail)]
    late = Seen(database)
    with caplog.at_level(logging.ERROR, "databases.steps"):
        async with database.transaction():
            await database.execute(INSERT, {"name": SECRET})
        assert await count(database) == 1
    assert seen.kinds() == late.kinds()
    assert len(seen) == 8
    # The first for each step, the second for what is no query, and for each query.
    assert len(caplog.records) == 8 + 4 + 2
    assert {record.name for record in caplog.records} == {"databases.steps"}
    assert "from the subscriber" in caplog.text
    for leave in (*leaving, late.leave):
        leave()


async def test_while_nobody_watches_queries_pass_nothing_by(database: Database) -> None:
    engine = database._engine
    assert engine.connected is engine._backend
    first, second = Seen(database), Seen(database)
    assert isinstance(engine.connected, ObservedBackend)
    await count(database)
    first.leave()
    first.leave()  # twice is once
    await count(database)
    second.leave()
    assert engine.connected is engine._backend
    await count(database)
    assert (len(first), len(second)) == (2, 4)
    assert not database.steps.is_watched
    await database.disconnect()
    await database.connect()
    assert engine.connected is engine._backend


@pytest.mark.parametrize("what", ["begins", "ends"])
async def test_beginning_and_ending_to_watch_in_the_middle_of_everything(
    kind: Kind, url: str, database: Database, what: str
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    seen = Seen(database)
    if what == "begins":
        seen.leave()
    flying = asyncio.create_task(database.fetch_val(f"SELECT {waits_a_while(kind)}"))
    rows = database.iterate("SELECT name FROM users")
    assert (await anext(rows))["name"] == "Ada"
    await rows.aclose()
    async with database.transaction():
        await database.execute(INSERT, {"name": "Grace"})
        async with database.transaction():
            waiting = asyncio.create_task(insert_joan(database))
            await asyncio.sleep(0.01)
            if what == "begins":
                seen = Seen(database)
            else:
                seen.leave()
            before = len(seen)
            await database.execute(INSERT, {"name": "Emmy"})
    async with asyncio.timeout(20):
        await asyncio.gather(flying, waiting)
    assert await count(database) == 4
    if what == "begins":
        assert seen.kinds()[-2:] == ["query", "rows"]
        seen.add_up()
    else:
        assert len(seen) == before
    seen.leave()
    assert database.steps.under_way() == []
    await kind.nothing_is_held(database)


async def insert_joan(database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Joan"})


def waits_a_while(kind: Kind) -> str:
    if kind in ON_SQLITE:
        return f"count(*) FROM ({kind.series(100_000)}) AS n"
    return sleeping(kind, 0.05)


async def test_who_asks_for_queries_gets_each_once_in_place_of_its_steps(
    database: Database, seen: Seen
) -> None:
    told: list[Operation] = []
    others: list[Step] = []
    values: list[Any] = []

    def over(operation: Operation) -> None:
        told.append(operation)
        assert operation.bound is not None
        values.append(list(operation.bound.arguments))

    leave = database.steps.subscribe(lambda step, _: others.append(step), queries=over)
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
    await count(database)
    leave()
    steps = [step for step in seen if step.kind in (Told.QUERY, Told.ROWS)]
    assert [step for each in told for step in database.steps.query_steps(each)] == steps
    assert others == [step for step in seen if step not in steps]
    assert values == [["Ada"], []]


# Requests.


async def test_what_is_done_in_a_request_and_in_tasks_started_from_it_is_part_of_it(
    database: Database, seen: Seen
) -> None:
    async def child() -> None:
        await asyncio.gather(database.fetch_val("SELECT 1"), transact(database))

    with database.steps.request("GET", "/users") as responding:
        await asyncio.create_task(child())
        with database.steps.request("POST", "/inner"):
            await database.fetch_val("SELECT 2")
        await database.fetch_val("SELECT 3")
        responding.status = 200
    await database.fetch_val("SELECT 4")
    [outer, inner] = [step.request for step in seen.of(Told.REQUEST)]
    assert (str(outer), str(inner)) == ("GET /users", "POST /inner")
    assert (seen[0].before, seen[0].after) == ("listening", "answering")
    by_request = [step.request for step in seen]
    assert by_request.count(inner) == 4
    assert by_request[-2:] == [None, None]
    assert by_request.count(outer) == len(seen) - 6
    response = seen.of(Told.RESPONSE)[-1]
    assert (response.after, response.detail) == ("answered 200", "200")
    assert response.operation is seen[0].operation
    assert response.lasted is not None
    assert response.lasted >= 0


async def test_a_request_that_fails_is_told_with_its_error(database: Database, seen: Seen) -> None:
    with pytest.raises(ZeroDivisionError) as caught, database.steps.request("GET", "/"):
        _ = 1 / 0
    assert seen.kinds() == ["request", "response"]
    assert seen[1].error is caught.value
    assert (seen[1].after, seen[1].detail) == ("no answer", None)


async def transact(database: Database) -> None:
    async with database.transaction():
        pass


async def test_a_storm_of_all_there_is_adds_up(kind: Kind, database: Database, seen: Seen) -> None:
    async def work(number: int) -> None:
        await database.execute(INSERT, {"name": str(number)})
        await database.fetch_all("SELECT * FROM users")
        async with database.transaction():
            await database.execute("UPDATE users SET name = :n WHERE name = :n", {"n": str(number)})
        async for _ in database.iterate(kind.series(150)):
            pass

    async with asyncio.timeout(60):
        await asyncio.gather(*[work(number) for number in range(20)])
    seen.add_up()
    assert database.steps.under_way() == []
    assert operations.under_way == {}
    kinds = seen.kinds()
    assert kinds.count("query") == 80
    assert kinds.count("begin") == kinds.count("commit") == 20
    assert kinds.count("acquire") == kinds.count("release") == 40
    for step in seen:
        assert step.operation.bound is None


# What is never told.


async def test_no_value_is_in_any_step(kind: Kind, database: Database, seen: Seen) -> None:
    values = {"name": SECRET}
    await database.execute(INSERT, values)
    await database.execute_many(INSERT, [{"name": SECRET + "1"}, {"name": SECRET + "2"}])
    await database.fetch_all("SELECT * FROM users WHERE name = :name", values)
    async for _ in database.iterate("SELECT * FROM users WHERE name = :name", values):
        pass
    async with database.transaction():
        await database.fetch_val("SELECT count(*) FROM users WHERE name = :name", values)
    with pytest.raises(exceptions.IntegrityError):
        await database.execute(INSERT, values)
    with pytest.raises(exceptions.QueryTimeoutError):
        endless = f"SELECT {kind.wait} FROM users WHERE name = :name"
        await database.fetch_all(endless, values, timeout=0.05)
    with pytest.warns(RuntimeWarning, match="never awaited"):
        database.execute(INSERT, values)
    assert len(seen) > 15
    for step in seen:
        step = step.without_error()  # what a driver says in its error is its own
        told = [repr(step), repr(step.operation), str(step.detail)]
        told += [repr(getattr(step.operation, name)) for name in Operation.__slots__]
        told += [repr(vars_of(step.operation.lease))]
        assert SECRET not in "".join(told)


def vars_of(thing: object) -> list[object]:
    return [getattr(thing, name, None) for name in getattr(thing, "__slots__", ())]


async def test_no_step_keeps_its_task_alive(database: Database, seen: Seen) -> None:
    with database.steps.request("GET", "/"):
        await asyncio.create_task(transact(database))
    assert {step.operation.task_object for step in seen} == {None}


def test_a_step_cannot_be_changed(file_url: str) -> None:
    database = Database(file_url)
    seen = Seen(database)
    with database.steps.request("GET", "/"):
        pass
    step = seen[0]
    assert dataclasses.is_dataclass(step)
    assert step.request is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.rows = 7  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.request.path = "/other"  # type: ignore[misc]
    assert "Step(number=1, kind=<Kind.REQUEST" in repr(step)
    seen.leave()
