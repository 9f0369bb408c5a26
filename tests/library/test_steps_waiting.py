"""Waiting for what others hold, and trying again: how the steps of a database tell of both."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from databases import Database
from databases.steps import Kind as Told
from tests.library.kinds import CONCURRENT, NETWORK_ONLY, ON_SQLITE, POSTGRESQL_ONLY, Kind
from tests.library.places import OnServer, until
from tests.library.pools import idle_for, pool_of, sleeping
from tests.library.seen import Seen, source
from tests.library.users import INSERT, count


@pytest.fixture
def seen(database: Database) -> Iterator[Seen]:
    seen = Seen(database)
    yield seen
    seen.leave()


def waiting_for(kind: Kind) -> str:
    return "the turn to write to SQLite" if kind in ON_SQLITE else "one of 1 connections"


async def insert(database: Database) -> None:
    await database.execute(INSERT, {"name": "Grace"})


async def transact(database: Database) -> None:
    async with database.transaction():
        pass


@CONCURRENT
@pytest.mark.parametrize("work", [insert, transact])
async def test_waiting_tells_for_what_and_who_holds_it(
    kind: Kind, url: str, database: Database, work: Any
) -> None:
    async with Database(url, **kind.alone) as waiting:
        seen = Seen(waiting)
        async with waiting.transaction():
            await waiting.execute(INSERT, {"name": "Ada"})
            task = asyncio.create_task(work(waiting), name="waiter")
            await until(lambda: waiting.statistics().waiting)
            me = asyncio.current_task()
        await task
        told = seen.one(Told.WAIT)
        assert (told.task, told.before, told.after) == ("waiter", "ready", "waiting")
        assert told.detail == waiting_for(kind)
        [holder] = told.holders
        assert me is not None
        assert holder.task == me.get_name()
        assert holder.site is not None
        assert holder.site.source() == "async with waiting.transaction():"
        assert holder.sql is not None
        assert holder.sql.startswith("INSERT INTO users")
        assert holder.seconds >= 0
        of_it = [step for step in seen if step.operation is told.operation]
        assert len(of_it) == (3 if work is insert else 2)
        assert {source(step, __file__) for step in of_it} == {source(told, __file__)}
        # The others went on meanwhile, so what follows comes after that.
        assert of_it[1].number > seen.of(Told.COMMIT)[0].number
        seen.add_up()
        seen.leave()


@CONCURRENT
@pytest.mark.parametrize("work", [insert, transact])
async def test_time_spent_waiting_is_queue_and_not_query(
    kind: Kind, url: str, database: Database, work: Any
) -> None:
    async with Database(url, **kind.alone) as waiting:
        await waiting.fetch_val("SELECT 1")
        seen = Seen(waiting)
        now = asyncio.get_running_loop().time
        async with waiting.transaction():
            task = asyncio.create_task(work(waiting))
            await until(lambda: waiting.statistics().waiting)
            waited = -now()
            await asyncio.sleep(0.1)
            waited += now()
        await task
        operation = seen.one(Told.WAIT).operation
        of_it = [step for step in seen if step.operation is operation]
        assert sum(step.queue for step in of_it) >= waited
        assert sum(step.query for step in of_it) < waited
        seen.leave()


@NETWORK_ONLY
async def test_acquiring_tells_which_connection(database: Database, seen: Seen) -> None:
    async with database.connection():
        [connection] = database.statistics().held
    assert {step.connection for step in seen} == {connection.name}


async def test_time_spent_waiting_is_neither_time_held_nor_time_in_use(
    kind: Kind, url: str, database: Database
) -> None:
    async with Database(url, **kind.alone) as waiting:
        await waiting.fetch_val("SELECT 1")
        seen = Seen(waiting)
        now = asyncio.get_running_loop().time
        async with waiting.transaction():
            task = asyncio.create_task(transact(waiting))
            await until(lambda: waiting.statistics().waiting)
            waited = -now()
            await asyncio.sleep(0.1)
            waited += now()
        await task
        release = seen.of(Told.RELEASE)[-1]
        assert release.lasted is not None
        assert release.query <= release.lasted < waited
        seen.leave()


@NETWORK_ONLY
async def test_a_connection_is_held_from_when_it_was_there(database: Database, seen: Seen) -> None:
    async with database.connection() as connection:
        now = asyncio.get_running_loop().time
        unused = -now()
        await asyncio.sleep(0.05)
        unused += now()
        await connection.fetch_val("SELECT 1")
    release = seen.one(Told.RELEASE)
    assert release.lasted is not None
    assert release.lasted >= unused
    assert release.query <= release.lasted - unused


@CONCURRENT
async def test_one_that_waited_in_vain_was_never_sent(
    kind: Kind, url: str, database: Database
) -> None:
    async with Database(url, **kind.alone) as waiting:
        seen = Seen(waiting)
        async with waiting.transaction():
            task = asyncio.create_task(insert(waiting))
            await until(lambda: waiting.statistics().waiting)
            task.cancel()
            await asyncio.wait([task])
        mine = [step for step in seen if step.operation is seen.one(Told.WAIT).operation]
        assert [(step.kind.value, step.before, step.after) for step in mine] == [
            ("wait", "ready", "waiting"),
            ("rows", "waiting", "idle"),
        ]
        assert isinstance(mine[1].error, asyncio.CancelledError)
        assert (mine[1].connection, mine[1].query) == (None, 0)
        seen.leave()


# Trying again.


@NETWORK_ONLY
async def test_a_connection_that_was_closed_before_anything_was_sent(
    kind: Kind, database: Database, seen: Seen
) -> None:
    await count(database)
    for slot in pool_of(database)._slots:
        slot.link.terminate()
    idle_for(database, 0)
    assert await count(database) == 0
    retry = seen.of(Told.RETRY)[0]
    assert (retry.before, retry.after) == ("failed", "in flight")
    assert retry.detail == "its connection broke before it was done"
    assert isinstance(retry.error, Exception)
    mine = [step.kind.value for step in seen if step.operation is retry.operation]
    assert mine == ["query", *["retry"] * (len(mine) - 2), "rows"]
    assert seen[-1].error is None
    assert seen[-1].rows == 1
    seen.add_up()


@POSTGRESQL_ONLY
async def test_a_session_that_the_server_ended_in_a_statement(
    kind: Kind, database: Database, seen: Seen, server: OnServer
) -> None:
    sql = f"INSERT INTO users (name) SELECT 'Ada' FROM (SELECT {sleeping(kind, 0.5)}) AS s"
    task = asyncio.create_task(database.execute(sql))
    running: list[int] = []

    def is_running() -> bool:
        running[:] = [number for number, text, runs in server.sessions() if runs and text == sql]
        return bool(running)

    await until(is_running)
    server.end_session(running[0])
    await task
    assert seen.kinds() == ["query", "retry", "rows"]
    assert seen[0].operation is seen[1].operation is seen[2].operation
    assert seen[2].error is None
    assert await count(database) == 1


@pytest.mark.parametrize("work", [insert, transact])
async def test_another_process_that_was_in_the_way_of_sqlite(
    file_url: str, file_database: Database, work: Any
) -> None:
    seen = Seen(file_database)
    steps = file_database.steps
    file = file_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(work(file_database))
        await until(lambda: any(operation.repeated for operation in steps.under_way()))
        other.execute("ROLLBACK")
    await task
    retry = seen.one(Told.RETRY)
    assert retry.detail is not None
    assert retry.detail.endswith(" times: another process was in the way")
    assert int(retry.detail.split()[0]) > 0
    assert seen[seen.index(retry) + 1].operation is retry.operation
    seen.add_up()
    seen.leave()
