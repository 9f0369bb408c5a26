"""Stopping a statement by hand, as the inspector's button does: that one, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from databases import Database, exceptions
from databases.operations import Operation
from databases.steps import Kind as Told
from tests.library.kinds import CONCURRENT, Kind
from tests.library.places import Place, until
from tests.library.pools import notes_of
from tests.library.seen import Seen
from tests.library.users import INSERT, USERS, count, writes_at_once

Call = Callable[[Kind, Database], Awaitable[object]]


@pytest.fixture
async def database(kind: Kind, url: str) -> AsyncIterator[Database]:
    """A database by way of a single connection, and a table of users."""
    async with Database(url, **kind.alone) as database:
        await database.execute(USERS.format(kind.key))
        yield database


@pytest.fixture
def seen(database: Database) -> Iterator[Seen]:
    seen = Seen(database)
    yield seen
    seen.leave()


async def iterated(kind: Kind, database: Database) -> None:
    async for _ in database.iterate(kind.endless):
        pass


async def in_a_transaction(kind: Kind, database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "lost"})
        await database.fetch_all(kind.endless)


CALLS: dict[str, Call] = {
    "fetch_all": lambda kind, database: database.fetch_all(kind.endless),
    "execute": lambda kind, database: database.execute(kind.endless_write),
    "execute_many": lambda kind, database: database.execute_many(kind.endless_write, [{}, {}]),
    "iterate": iterated,
    "transaction": in_a_transaction,
}


async def the_endless_one(kind: Kind, database: Database, place: Place) -> Operation:
    """The operation that is being done by the database, and never ends."""

    def runs() -> list[Operation]:
        under_way = database.steps.under_way()
        return [each for each in under_way if each.runs_since and kind.wait in (each.sql or "")]

    await until(lambda: runs() and place.is_busy(database))
    [operation] = runs()
    assert operation.task == "caller"
    return operation


async def call(kind: Kind, database: Database, method: str) -> tuple[Exception, int, bool]:
    """What a caller sees: the error, whether his task counts as cancelled, whether it goes on."""
    task: Any = asyncio.current_task()
    try:
        await CALLS[method](kind, database)
    except exceptions.QueryCancelledError as error:
        cancelling = task.cancelling()
        await asyncio.sleep(0)  # where a cancellation that is left over would strike
        return error, cancelling, await database.fetch_val("SELECT 7") == 7
    pytest.fail("it was not stopped")


@pytest.mark.parametrize("method", CALLS)
async def test_the_caller_is_told_and_goes_on_and_the_database_stops(
    kind: Kind, place: Place, database: Database, seen: Seen, method: str
) -> None:
    task = asyncio.create_task(call(kind, database, method), name="caller")
    operation = await the_endless_one(kind, database, place)
    operation.cancel()
    async with asyncio.timeout(20):
        error, cancelling, goes_on = await task
    assert goes_on
    assert cancelling == 0
    assert not isinstance(error, asyncio.CancelledError | TimeoutError)
    assert str(error).startswith("This query was stopped by hand after ")
    assert "test_cancel_by_hand.py" in str(error)
    assert "SQL: " in notes_of(error)
    await until(lambda: not place.is_busy(database))
    [ended] = [step for step in seen if step.error is error and step.kind is Told.ROWS]
    assert ended.operation is operation or ended.operation.number == operation.number
    assert await count(database) == 0
    await writes_at_once(database)
    await kind.nothing_is_held(database)
    assert database.steps.under_way() == []


async def test_in_a_transaction_the_rest_of_it_can_go_on_where_the_database_lets_it(
    kind: Kind, place: Place, database: Database, seen: Seen
) -> None:
    async def transact() -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            with pytest.raises(exceptions.QueryCancelledError):
                await database.fetch_all(kind.endless)
            if kind.scheme == "sqlite":
                await database.execute(INSERT, {"name": "Grace"})
            else:
                raise ZeroDivisionError  # PostgreSQL has to roll back, MySQL's connection is lost

    task = asyncio.create_task(transact(), name="caller")
    (await the_endless_one(kind, database, place)).cancel()
    await asyncio.wait([task])
    if kind.scheme == "sqlite":
        task.result()
        assert await count(database) == 2
    else:
        assert isinstance(task.exception(), ZeroDivisionError)
        assert await count(database) == 0
    await kind.nothing_is_held(database)


@CONCURRENT
@pytest.mark.parametrize("what", ["statement", "transaction"])
async def test_one_that_waits_is_stopped_too(
    kind: Kind, place: Place, database: Database, seen: Seen, what: str
) -> None:
    async def wait() -> int:
        task: Any = asyncio.current_task()
        with pytest.raises(exceptions.QueryCancelledError):
            if what == "statement":
                await database.execute(INSERT, {"name": "Grace"})
            else:
                async with database.transaction():
                    pytest.fail("it began")
        await asyncio.sleep(0)
        return int(task.cancelling())

    async with database.transaction():
        task = asyncio.create_task(wait())
        await until(lambda: database.statistics().waiting)
        [operation] = database.steps.under_way()
        operation.cancel()
        async with asyncio.timeout(20):
            assert await asyncio.shield(task) == 0
        # Whoever holds what it waited for is not disturbed.
        await database.execute(INSERT, {"name": "Ada"})
    assert await count(database) == 1
    await writes_at_once(database)
    await kind.nothing_is_held(database)


async def test_who_awaits_the_task_of_the_caller_gets_the_error_and_no_cancellation(
    kind: Kind, place: Place, database: Database, seen: Seen
) -> None:
    async def caller() -> None:
        await database.fetch_all(kind.endless)

    task = asyncio.create_task(caller(), name="caller")
    (await the_endless_one(kind, database, place)).cancel()
    await asyncio.wait([task])
    assert not task.cancelled()
    assert isinstance(task.exception(), exceptions.QueryCancelledError)


@pytest.mark.parametrize("first", ["by hand", "the other"])
async def test_a_cancellation_by_somebody_else_at_the_same_time_still_is_one(
    kind: Kind,
    place: Place,
    database: Database,
    seen: Seen,
    first: str,
) -> None:
    async def caller() -> None:
        await database.fetch_all(kind.endless)

    task = asyncio.create_task(caller(), name="caller")
    operation = await the_endless_one(kind, database, place)
    if first == "the other":
        task.cancel()
    operation.cancel()
    if first == "by hand":
        task.cancel()
    await asyncio.wait([task])
    await until(lambda: not place.is_busy(database))
    await kind.nothing_is_held(database)
    assert task.cancelled()


async def test_a_time_limit_around_it_is_not_mistaken_for_it(
    kind: Kind, place: Place, database: Database, seen: Seen
) -> None:
    task = asyncio.create_task(call(kind, database, "fetch_all"), name="caller")
    (await the_endless_one(kind, database, place)).cancel()
    await task
    with pytest.raises(exceptions.QueryTimeoutError):
        await database.fetch_all(kind.endless, timeout=0.05)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await database.fetch_all(kind.endless)
    async with asyncio.timeout(20):
        with pytest.raises(exceptions.QueryCancelledError):
            both = asyncio.create_task(database.fetch_all(kind.endless, timeout=60), name="caller")
            (await the_endless_one(kind, database, place)).cancel()
            await both


async def test_one_that_comes_too_late_hits_nothing_else(
    kind: Kind, database: Database, seen: Seen
) -> None:
    task: Any = asyncio.current_task()
    assert await count(database) == 0
    over = seen[-1].operation
    over.cancel()
    assert task.cancelling() == 0
    await database.execute(INSERT, {"name": "Ada"})
    async with database.transaction():
        over.cancel()
        await database.execute(INSERT, {"name": "Grace"})
    await asyncio.sleep(0)
    assert await count(database) == 2


async def test_one_that_comes_as_it_ends_stops_it_or_nothing(
    kind: Kind, database: Database, seen: Seen
) -> None:
    """At each step of the event loop, until it is over."""

    async def caller() -> list[str]:
        task: Any = asyncio.current_task()
        ended = []
        try:
            await database.fetch_val("SELECT 1")
            ended.append("answered")
        except exceptions.QueryCancelledError:
            ended.append("stopped")
        assert task.cancelling() == 0
        await asyncio.sleep(0)
        assert await database.fetch_val("SELECT 2") == 2
        return ended

    ends: set[str] = set()
    for turns in range(60):
        task = asyncio.create_task(caller())
        operations: list[Operation] = []
        for _ in range(turns):
            await asyncio.sleep(0)
            operations = operations or database.steps.under_way()
        for operation in operations:
            operation.cancel()
        async with asyncio.timeout(20):
            ends.update(await task)
        await kind.nothing_is_held(database)
    assert "answered" in ends
    assert "stopped" in ends


async def test_one_by_the_subscriber_itself_stops_it_or_nothing(
    kind: Kind, database: Database
) -> None:
    def stop(step: Any, _: object) -> None:
        if step.kind is Told.QUERY and "SELECT 1" in step.sql:
            step.operation.cancel()

    leave = database.steps.subscribe(stop)
    for _ in range(5):  # in the end SQLite reads without waiting for anything
        try:
            assert await database.fetch_val("SELECT 1") == 1
        except exceptions.QueryCancelledError:
            pass
        await asyncio.sleep(0)
        assert await database.fetch_val("SELECT 2") == 2
    leave()
    await kind.nothing_is_held(database)


async def test_one_that_was_stopped_keeps_no_values(
    kind: Kind, place: Place, database: Database, seen: Seen
) -> None:
    async def caller() -> None:
        sql = f"SELECT {kind.wait}, :secret"
        with pytest.raises(exceptions.QueryCancelledError):
            await database.fetch_all(sql, {"secret": "pa55w0rd"})

    task = asyncio.create_task(caller(), name="caller")
    operation = await the_endless_one(kind, database, place)
    operation.cancel()
    await task
    assert (operation.bound, operation.task_object, operation.error) == (None, None, None)
