"""disconnect() under force_rollback: who is at work on the one connection has his time, on a server
of the imagination."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends.postgres import sql
from databases.records import Result, Shape
from databases.statements import Bound, Dialect
from tests.library.fake_links import SELECT, UPDATE, FakeLink, FakeServer, Gone, backend_of, settled
from tests.library.under_way import LONG, stopping


@pytest.fixture
async def shared(fake: FakeServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    backend = backend_of(fake)
    database = Database("postgresql://", force_rollback=True)
    backend.dialect = Dialect(
        name="postgresql",
        placeholder=lambda number: f"${number}",
        opaque=sql.OPAQUE,
        adapters=(),
        core=lambda: pytest.fail("no expression is run"),
    )
    monkeypatch.setattr(database._engine, "_make", lambda: backend)
    await database.connect()
    yield database
    await database.disconnect(grace=0)


STATEMENTS: dict[str, Callable[[Database], Any]] = {
    SELECT: lambda database: database.fetch_val(SELECT),
    UPDATE: lambda database: database.execute(UPDATE),
    "UPDATE users SET id = $1": lambda database: database.execute_many(
        "UPDATE users SET id = :id", [{"id": 3}]
    ),
}


async def call(database: Database, query: Callable[[Database], Any]) -> Any:
    return await query(database)


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_a_statement_ends_before_all_is_rolled_back(
    fake: FakeServer, shared: Database, sql: str
) -> None:
    fake.gates[sql] = asyncio.Event()
    query = asyncio.create_task(call(shared, STATEMENTS[sql]))
    await settled()
    disconnecting = await stopping(shared, LONG)
    await asyncio.sleep(0.05)
    assert not disconnecting.done()
    assert "ROLLBACK 1" not in fake.calls
    fake.gates[sql].set()
    async with asyncio.timeout(20):
        await query
        await disconnecting
    ran = [each for each in fake.calls if each in (f"{sql} 1", "ROLLBACK 1")]
    assert ran == [f"{sql} 1", "ROLLBACK 1"]


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_what_does_not_end_in_time_is_not_waited_for_by_what_rolls_back(
    fake: FakeServer, shared: Database, sql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("databases.shared._ROLLING_BACK", LONG)
    fake.gates[sql], fake.errors[sql] = asyncio.Event(), [Gone("was closed")]
    query = asyncio.create_task(call(shared, STATEMENTS[sql]))
    await settled()
    connection = shared.connection()
    async with asyncio.timeout(20):
        await shared.disconnect(grace=0.05)
        fake.gates[sql].set()
        with pytest.raises(exceptions.NotConnectedError):
            await query
    assert "ROLLBACK 1" not in fake.calls
    assert not fake.open
    assert not connection.is_acquired


class Rows:
    """A cursor that has three rows, one by one."""

    def __init__(self, link: FakeLink) -> None:
        self._link = link
        self._left = 3

    @property
    def is_open(self) -> bool:
        return self._left > 0

    async def fetch(self) -> Result:
        await self._link._do("rows")
        self._left -= 1
        return Result(Shape(("number",)), [(self._left,)] if self._left >= 0 else [], False)

    def close(self) -> None:
        self._left = 0


async def test_who_iterates_may_go_on_and_ask_in_between(
    fake: FakeServer, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def open_cursor(link: FakeLink, bound: Bound, *, alone: bool) -> Rows:
        return Rows(link)

    monkeypatch.setattr(FakeLink, "open_cursor", open_cursor)
    begun, go = asyncio.Event(), asyncio.Event()

    async def work() -> list[Any]:
        numbers = []
        async for row in shared.iterate(SELECT):
            begun.set()
            await go.wait()
            numbers += [row.number, await shared.fetch_val(SELECT)]
        return numbers

    task = asyncio.create_task(work())
    await begun.wait()
    disconnecting = await stopping(shared, LONG)
    await asyncio.sleep(0.05)
    assert not disconnecting.done()
    go.set()
    async with asyncio.timeout(20):
        assert await task == [2, 1, 1, 1, 0, 1]
        await disconnecting
    assert fake.calls.count("ROLLBACK 1") == 1


async def iterate(database: Database) -> None:
    async for _ in database.iterate(SELECT):  # for which such a server has no cursors
        pass


@pytest.mark.parametrize("fails", [*STATEMENTS.values(), iterate], ids=[*STATEMENTS, "iterate"])
async def test_who_failed_is_at_work_no_longer(
    fake: FakeServer, shared: Database, fails: Callable[[Database], Any]
) -> None:
    fake.errors = {each: [NotImplementedError()] for each in STATEMENTS}
    failed = asyncio.Event()

    async def work() -> None:
        with pytest.raises(NotImplementedError) as kept:
            await fails(shared)
        failed.set()
        await asyncio.Event().wait()
        assert kept

    task = asyncio.create_task(work())
    async with asyncio.timeout(20):
        await failed.wait()
        await shared.disconnect(grace=LONG)
    assert not task.done()
    task.cancel()


async def test_a_child_of_a_transaction_may_go_on_and_a_stranger_may_not(
    fake: FakeServer, shared: Database
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def child() -> Any:
        begun.set()
        await go.wait()
        return await shared.fetch_val(SELECT)

    async def parent() -> Any:
        async with shared.transaction():
            return await asyncio.create_task(child())

    task = asyncio.create_task(parent())
    await begun.wait()
    disconnecting = await stopping(shared, LONG)
    with pytest.raises(exceptions.NotConnectedError):
        await shared.fetch_val(SELECT)
    with pytest.raises(exceptions.NotConnectedError):
        async with shared.connection():
            pass
    assert f"{SELECT} 1" not in fake.calls
    go.set()
    async with asyncio.timeout(20):
        assert await task == 1
        await disconnecting
    assert fake.calls.index(f"{SELECT} 1") < fake.calls.index("ROLLBACK 1")


async def test_disconnected_by_a_child_of_a_transaction_nobody_waits_for_the_transaction(
    fake: FakeServer, shared: Database
) -> None:
    async def disconnect() -> None:
        await shared.disconnect(grace=LONG)

    async def transact() -> None:
        async with shared.transaction():
            await shared.execute(UPDATE)
            await asyncio.create_task(disconnect())

    async with asyncio.timeout(20):
        with pytest.raises(exceptions.StateError, match="rolled back with the one around it"):
            await transact()
    assert not shared.is_connected
    assert fake.calls.count("ROLLBACK 1") == 1
    assert not fake.open


async def test_nobody_waits_for_who_connected_nor_is_it_held_by_anybody_afterwards(
    fake: FakeServer, shared: Database
) -> None:
    await shared.disconnect()
    connected = asyncio.Event()

    async def connect() -> None:
        await shared.connect()
        connected.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(connect())
    await connected.wait()
    connection = shared.connection()
    assert connection.is_acquired
    async with asyncio.timeout(20):
        await shared.disconnect(grace=LONG)
    assert not task.done()
    assert not connection.is_acquired
    assert not fake.open
    task.cancel()
