"""disconnect() under force_rollback: who is at work on the one connection has his time, on a server
of the imagination."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends.postgres import sql
from databases.statements import Dialect
from tests.library.fake_links import SELECT, UPDATE, FakeServer, backend_of, settled
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


async def iterate(database: Database) -> None:
    async for _ in database.iterate(SELECT):
        pass


@pytest.mark.parametrize("fails", [*STATEMENTS.values(), iterate], ids=[*STATEMENTS, "iterate"])
async def test_who_failed_is_at_work_no_longer(
    fake: FakeServer, shared: Database, fails: Callable[[Database], Any]
) -> None:
    for sql in STATEMENTS:
        fake.errors[sql] = [NotImplementedError()]
    failed = asyncio.Event()

    async def work() -> None:
        with pytest.raises(NotImplementedError):  # which all cursors of such a server raise
            await fails(shared)
        failed.set()
        await asyncio.Event().wait()

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
