"""What is reset before a connection is lent again, and what costs no reset."""

from __future__ import annotations

import asyncio

import pytest

from databases.statements import Batch, Statement
from tests.library.fake_links import (
    SELECT,
    SET,
    UPDATE,
    Clock,
    FakeServer,
    bound,
    connected,
    here,
    in_transaction,
    run,
    settled,
)


async def test_a_statement_that_leaves_nothing_costs_no_reset(fake: FakeServer) -> None:
    backend = await connected(fake)
    for text in (SELECT, UPDATE, "INSERT INTO users (id) VALUES (1)", SELECT):
        await run(backend, text)
    assert fake.calls == [f"{text} 1" for text in (SELECT, UPDATE, fake.calls[2][:-2], SELECT)]


@pytest.mark.parametrize("text", [SET, "LISTEN news", "SELECT pg_advisory_lock(1)", "BEGIN"])
async def test_after_any_other_the_session_is_reset_before_anybody_has_it(
    fake: FakeServer, text: str
) -> None:
    backend = await connected(fake, max_size=1)
    await asyncio.gather(run(backend, text), run(backend, SELECT))
    assert fake.calls == [f"{text} 1", "reset 1", f"{SELECT} 1"]


async def test_a_failed_statement_that_leaves_nothing_costs_no_reset(fake: FakeServer) -> None:
    backend = await connected(fake)
    fake.errors = {UPDATE: [ValueError()], SET: [ValueError()]}
    for text in (UPDATE, SET, SELECT):
        try:
            await run(backend, text)
        except ValueError:
            await settled()
    assert fake.calls == [f"{UPDATE} 1", f"{SET} 1", "reset 1", f"{SELECT} 1"]


async def test_after_a_cancelled_statement_the_session_is_reset(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    fake.gates[SELECT] = asyncio.Event()
    task = asyncio.create_task(run(backend, SELECT))
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await run(backend, UPDATE) == 1
    assert fake.calls == [f"{SELECT} 1", "reset 1", f"{UPDATE} 1"]


async def test_a_connection_held_for_harmless_statements_costs_no_reset(
    fake: FakeServer,
) -> None:
    backend = await connected(fake, max_size=1)
    for texts in ([SELECT, UPDATE], [SELECT, SET], [SELECT]):
        connection = await backend.acquire(here())
        for text in texts:
            await connection.execute(bound(text), here())
        connection.release()
    resets = [number for number, call in enumerate(fake.calls) if call == "reset 1"]
    assert resets == [4]


async def test_a_transaction_left_open_is_rolled_back_by_the_reset(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    connection = await backend.acquire(here())
    await connection.begin({}, here(), lazy=False)
    connection.release()
    await run(backend, SELECT)
    assert fake.calls == ["BEGIN 1", "reset 1", f"{SELECT} 1"]


async def test_the_drivers_own_connection_once_handed_out_is_not_lent_again(
    fake: FakeServer,
) -> None:
    backend = await connected(fake, max_size=1)
    connection = await backend.acquire(here())
    assert connection.raw is fake.links[0]
    connection.release()
    assert await run(backend, SELECT) == 2


@pytest.mark.parametrize("hangs", [False, True])
async def test_one_that_cannot_be_reset_is_replaced(
    fake: FakeServer, clock: Clock, hangs: bool
) -> None:
    backend = await connected(fake, max_size=1)
    if hangs:
        fake.gates["reset"] = asyncio.Event()
    else:
        fake.errors["reset"] = [ValueError("no")]
    await run(backend, SET)
    task = asyncio.create_task(run(backend, SELECT))
    await settled()
    assert task.done() is not hangs
    await clock.forward(5.1)
    assert await task == 2
    assert len(fake.open) == 1


async def test_a_temporary_table_is_kept_for_the_next_statements_of_its_task_alone(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    create = "CREATE TEMP TABLE t (id int)"
    for text in (create, UPDATE, SELECT):
        await run(backend, text)
    assert fake.calls == [f"{create} 1", f"{UPDATE} 1", f"{SELECT} 1"]
    await asyncio.create_task(run(backend, SELECT))
    assert fake.calls[3:] == ["reset 1", f"{SELECT} 1"]
    await run(backend, SELECT)
    assert fake.calls[5:] == [f"{SELECT} 1"]


async def test_a_temporary_table_is_not_kept_while_others_wait(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    create = "CREATE TEMP TABLE t (id int)"
    await asyncio.gather(run(backend, create), run(backend, SELECT))
    assert fake.calls == [f"{create} 1", "reset 1", f"{SELECT} 1"]


async def test_nor_is_it_where_others_come_while_its_task_goes_on(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    create = "CREATE TEMP TABLE t (id int)"
    await run(backend, create)
    waiting = asyncio.create_task(run(backend, SELECT))
    await run(backend, UPDATE)
    async with asyncio.timeout(20):
        await waiting
    assert fake.calls == [f"{create} 1", f"{UPDATE} 1", "reset 1", f"{SELECT} 1"]


async def test_many_rows_of_many_statements_are_one_transaction(fake: FakeServer) -> None:
    backend = await connected(fake, max_size=1)
    texts = [f"INSERT INTO users (id) VALUES ({number})" for number in range(3)]
    batches = [Batch(Statement(text), [()]) for text in texts]
    await backend.execute_many(batches, here())
    assert fake.calls == ["BEGIN 1", *[f"{text} 1" for text in texts], "COMMIT 1"]
    fake.errors[texts[2]] = [ValueError()]
    del fake.calls[:]
    with pytest.raises(ValueError):  # noqa: PT011
        await backend.execute_many(batches, here())
    await run(backend, SELECT)
    assert fake.calls == [
        "BEGIN 1", *[f"{text} 1" for text in texts], "reset 1", f"{SELECT} 1"
    ]  # fmt: skip


async def test_after_a_cancelled_statement_of_one_that_is_held_the_session_is_reset(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    connection = await backend.acquire(here())
    fake.gates[UPDATE] = asyncio.Event()
    task = asyncio.create_task(connection.execute(bound(UPDATE), here()))
    await settled()
    task.cancel()
    await asyncio.wait([task])
    connection.release()
    await settled()
    assert fake.calls == [f"{UPDATE} 1", "reset 1"]


async def test_what_is_left_of_many_rows_that_failed_is_rolled_back_before_the_next(
    fake: FakeServer,
) -> None:
    backend = await connected(fake)
    connection = await backend.acquire(here())
    batches = [Batch(Statement(text), []) for text in (UPDATE, "INSERT INTO users VALUES (1)")]
    fake.errors[batches[1].statement.sql] = [ValueError("no")]
    with pytest.raises(ValueError, match="no"):
        await connection.execute_many(batches, here())
    await connection.execute(bound(UPDATE), here())
    assert fake.calls[-2:] == ["ROLLBACK 1", f"{UPDATE} 1"]
    connection.release()


async def test_a_rollback_after_a_commit_that_failed_is_told_once(fake: FakeServer) -> None:
    connection = await in_transaction(fake)
    fake.errors["COMMIT"] = [ValueError("no")]
    with pytest.raises(ValueError, match="no"):
        await connection.commit()
    await connection.rollback()
    assert fake.calls[-2:] == ["COMMIT 1", "ROLLBACK 1"]
    connection.release()
