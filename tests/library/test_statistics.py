"""The live state of a database: its connections, who holds them, and who waits for one."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from databases import Database
from databases.statistics import ConnectionState, Statistics
from tests.library.kinds import FILE, MEMORY, NETWORK_ONLY, ON_SQLITE, Kind, on
from tests.library.places import Place, until
from tests.library.seen import Seen
from tests.library.users import INSERT, USERS, count


@pytest.fixture(params=[False, True], ids=["alone", "watched"])
def watched(request: pytest.FixtureRequest) -> bool:
    """Whether somebody subscribes to the steps: the statistics are the same."""
    return bool(request.param)


@pytest.fixture
async def database(kind: Kind, url: str, watched: bool) -> AsyncIterator[Database]:
    async with Database(url, **kind.alone) as database:
        await database.execute(USERS.format(kind.key))
        seen = Seen(database) if watched else None
        yield database
        if seen is not None:
            seen.leave()


@contextlib.contextmanager
def settled(*tasks: asyncio.Future[Any]) -> Iterator[None]:
    """End what a test has left running."""
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


def states(database: Database) -> set[str]:
    return {connection.state for connection in database.statistics().connections}


async def in_flight(kind: Kind, database: Database) -> ConnectionState:
    """The one connection on which the statement runs that never ends."""
    found: list[ConnectionState] = []

    def is_found() -> bool:
        held = database.statistics().held
        found[:] = [each for each in held if each.holder and kind.wait in (each.holder.sql or "")]
        return bool(found) and found[0].state == "in flight"

    await until(is_found)
    [connection] = found
    return connection


def is_here(site: Any, line: str) -> bool:
    return site is not None and site.filename == __file__ and line in site.source()


def waiting_for(kind: Kind) -> str:
    return "the turn to write to SQLite" if kind in ON_SQLITE else "one of 1 connections"


async def test_one_that_is_not_connected_has_nothing(url: str, watched: bool) -> None:
    database = Database(url)
    seen = Seen(database) if watched else None
    nothing = Statistics(False, None, (), ())
    assert database.statistics() == nothing
    await database.connect()
    assert database.statistics().connected
    await database.disconnect()
    assert database.statistics() == nothing
    if seen is not None:
        seen.leave()


async def test_while_nobody_does_anything_all_are_idle(kind: Kind, database: Database) -> None:
    await count(database)
    await until(lambda: states(database) == {"idle"})
    now = database.statistics()
    names = [each.name for each in now.connections]
    assert len(set(names)) == len(names) == now.open == now.idle
    assert (now.held, now.waiting) == ((), ())
    assert now.limit == (None if kind is FILE else 1)
    if kind is FILE:
        assert names == ["writer", "reader 1", "fast lane"]
    else:
        assert names == (["writer"] if kind is MEMORY else ["connection 1"])


async def test_who_holds_a_connection_is_told_with_place_and_sql(
    kind: Kind, database: Database
) -> None:
    async def hold(entered: asyncio.Event, leave: asyncio.Event) -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            entered.set()
            await leave.wait()

    entered, leave = asyncio.Event(), asyncio.Event()
    before = time.time()
    task = asyncio.create_task(hold(entered, leave), name="holder")
    await entered.wait()
    [held] = database.statistics().held
    assert held.state == "held"
    holder = held.holder
    assert holder is not None
    assert holder.task == "holder"
    assert is_here(holder.site, "async with database.transaction():")
    assert holder.sql is not None
    assert holder.sql.startswith("INSERT INTO users (name) VALUES (")
    assert "Ada" not in repr(held)
    assert before - 0.1 <= holder.since <= time.time()
    assert holder.since + holder.seconds == pytest.approx(time.time(), abs=0.5)
    assert (holder.running, holder.request) == (None, None)
    assert str(holder).startswith("holder, File ")
    leave.set()
    await task
    await until(lambda: not database.statistics().held)


async def test_the_request_that_is_answered_is_told(kind: Kind, database: Database) -> None:
    with database.steps.request("GET", "/users"):
        async with database.transaction():
            [held] = database.statistics().held
    assert held.holder is not None
    assert str(held.holder.request) == "GET /users"
    assert "(GET /users)" in str(held.holder)


@pytest.mark.parametrize("how", ["read", "write", "transaction"])
async def test_a_statement_that_runs_is_in_flight(
    kind: Kind, place: Place, database: Database, how: str
) -> None:
    async def run() -> None:
        if how == "read":
            await database.fetch_all(kind.endless)
        elif how == "write":
            await database.execute(kind.endless_write)
        else:
            async with database.transaction():
                await database.fetch_all(kind.endless)

    task = asyncio.create_task(run(), name="runner")
    with settled(task):
        connection = await in_flight(kind, database)
    holder = connection.holder
    assert holder is not None
    assert holder.task == "runner"
    assert holder.sql == (kind.endless_write if how == "write" else kind.endless)
    assert holder.running is not None
    assert 0 <= holder.running <= holder.seconds + 0.1
    assert is_here(holder.site, "database.")
    await asyncio.wait([task])
    await until(lambda: "in flight" not in states(database))
    await kind.nothing_is_held(database)


async def test_those_who_wait_are_told_in_their_order_and_for_whom(
    kind: Kind, database: Database
) -> None:
    async def insert(name: str) -> None:
        await database.execute(INSERT, {"name": name})

    async def transact() -> None:
        async with database.transaction():
            pass

    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        [held] = database.statistics().held
        tasks = [asyncio.create_task(insert("Grace"), name="first")]
        await until(lambda: len(database.statistics().waiting) == 1)
        tasks += [asyncio.create_task(insert(str(n)), name=f"single {n}") for n in range(3)]
        await until(lambda: len(database.statistics().waiting) == 4)
        tasks += [asyncio.create_task(transact(), name="last")]
        await until(lambda: len(database.statistics().waiting) == 5)
        waiting = database.statistics().waiting
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks)
    assert [waiter.holder.task for waiter in waiting] == [
        "first",
        "single 0",
        "single 1",
        "single 2",
        "last",
    ]
    for waiter in waiting:
        assert waiter.waits_for == waiting_for(kind)
        assert waiter.held_by == (held.name,)
        assert waiter.holder.running is None
        assert waiter.holder.seconds >= 0
    for single in waiting[:-1]:
        assert is_here(single.holder.site, "await database.execute(INSERT")
        assert (single.holder.sql or "").startswith("INSERT INTO users")
    assert is_here(waiting[-1].holder.site, "async with database.transaction():")
    assert database.statistics().waiting == ()


async def test_one_that_gave_up_waits_no_more(kind: Kind, database: Database) -> None:
    async def insert() -> None:
        await database.execute(INSERT, {"name": "Grace"})

    async with database.transaction():
        tasks = [asyncio.create_task(insert()) for _ in range(3)]
        await until(lambda: len(database.statistics().waiting) == 3)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        left = len(database.statistics().waiting)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert database.statistics().waiting == ()
    assert left == 2


# SQLite's own.


@on([FILE])
async def test_reads_wait_for_a_reader_when_all_are_busy(kind: Kind, url: str) -> None:
    async with Database(url, readers=1) as database:
        endless = asyncio.create_task(database.fetch_all(kind.endless), name="long")
        with settled(endless):
            await until(lambda: "in flight" in states(database))
            short = asyncio.create_task(database.fetch_val("SELECT 1"), name="short")
            await until(lambda: database.statistics().waiting)
            now = database.statistics()
        await asyncio.wait([endless])
        assert await short == 1
    [reader] = [each for each in now.connections if each.state == "in flight"]
    assert reader.name == "reader 1"
    assert reader.holder is not None
    assert (reader.holder.task, reader.holder.sql) == ("long", kind.endless)
    [waiter] = now.waiting
    assert (waiter.holder.task, waiter.holder.sql) == ("short", "SELECT 1")
    assert (waiter.waits_for, waiter.held_by) == ("a reader", ("reader 1",))
    assert is_here(waiter.holder.site, 'database.fetch_val("SELECT 1")')


@on([FILE])
async def test_the_name_of_a_connection_that_was_closed_is_the_next_ones(
    kind: Kind, database: Database
) -> None:
    async def names() -> list[str]:
        async with database.connection():
            await database.fetch_val("SELECT 1")
            return [each.name for each in database.statistics().connections]

    before = await names()
    assert "connection 1" in before
    await database.disconnect()
    await database.connect()
    assert await names() == before


@on([FILE])
async def test_who_writes_is_told_with_his_own_place(
    kind: Kind, database: Database, place: Place
) -> None:
    async def other() -> None:
        await database.execute(INSERT, {"name": "Grace"})

    endless = asyncio.create_task(database.execute(kind.endless_write), name="endless")
    with settled(endless):
        await until(lambda: place.is_busy(database))
        later = asyncio.create_task(other(), name="later")
        await asyncio.sleep(0.01)
        [held] = database.statistics().held
    await asyncio.wait([endless, later])
    assert held.holder is not None
    assert (held.holder.task, held.holder.sql) in [
        ("endless", kind.endless_write),
        ("later", INSERT.replace(":name", "?")),
    ]


# Networks' own.


async def looked_at_while(database: Database, count: int) -> list[Statistics]:
    """The state at each turn of the event loop while so many queries run at once."""
    looks: list[Statistics] = []
    ones = [database.fetch_val("SELECT 1") for _ in range(count)]
    at_once = asyncio.gather(*ones)
    while not at_once.done():
        await asyncio.sleep(0)
        looks.append(database.statistics())
    await at_once
    return looks


@NETWORK_ONLY
async def test_connections_that_are_being_opened_are_told(kind: Kind, url: str) -> None:
    async with Database(url, min_size=1, max_size=3) as database:
        looks = await looked_at_while(database, 3)
        now = database.statistics()
    opening = [look for look in looks if any(each.state == "opening" for each in look.connections)]
    assert opening
    for look in opening:
        assert look.open == sum(each.state != "opening" for each in look.connections)
    assert now.open == now.idle == now.limit == 3
    assert [each.name for each in now.connections] == [f"connection {n}" for n in (1, 2, 3)]


@NETWORK_ONLY
async def test_there_are_never_more_than_there_may_be(kind: Kind, url: str) -> None:
    async with Database(url, min_size=1, max_size=3) as database:
        looks = await looked_at_while(database, 9)
    assert max(len(look.connections) for look in looks) == 3


# Looking.


def test_what_is_told_cannot_be_changed() -> None:
    for told in (Statistics(True), ConnectionState("writer", "idle")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(told, dataclasses.fields(told)[0].name, None)


async def test_looking_in_a_storm_neither_waits_nor_fails(kind: Kind, url: str) -> None:
    async with Database(url) as database:
        await database.execute(USERS.format(kind.key))
        looked = 0

        async def work(number: int) -> None:
            for _ in range(3):
                await database.execute("UPDATE users SET name = :n", {"n": str(number)})
                await database.fetch_all(kind.series(300))
                async with database.transaction():
                    await count(database)
                with contextlib.suppress(TimeoutError):
                    await database.fetch_all(kind.endless, timeout=0.01)
                async for _ in database.iterate(kind.series(150)):
                    break

        tasks = [asyncio.create_task(work(number)) for number in range(10)]
        async with asyncio.timeout(60):
            while not all(task.done() for task in tasks):
                now = database.statistics()
                looked += 1
                names = [each.name for each in now.connections if each.state != "opening"]
                assert len(names) == len(set(names))
                assert len(now.held) + now.idle <= now.open
                assert all(
                    (each.holder is None) == (each.state in ("idle", "opening"))
                    for each in now.connections
                )
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)
        assert looked > 10
        await until(lambda: states(database) <= {"idle"})
        await kind.nothing_is_held(database)
