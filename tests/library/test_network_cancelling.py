"""Cancelling a task at every step of what it does, and what is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from databases import Connection, Database
from tests.library.kinds import NETWORK_ONLY, POSTGRESQL_ONLY, Kind, Network
from tests.library.places import OnServer
from tests.library.pools import is_whole
from tests.library.users import INSERT, USERS, count


@pytest.fixture
async def lone(kind: Network, url: str, server: OnServer) -> AsyncIterator[Database]:
    """A database by way of a single connection, and a table of users."""
    server.rows(USERS.format(kind.key))
    async with Database(url, max_size=1) as database:
        yield database


class CancelledAt:
    """Runs a coroutine, and cancels the task where it is suspended for the n-th time.

    Args:
        work: the coroutine.
        step: which time; none if it is suspended less often.
        late: not when it begins to wait, but when what it waits for has come.
    """

    def __init__(self, work: Any, step: int, late: bool) -> None:
        self._work = work
        self._step = step
        self._late = late
        self.steps = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._work.__await__()
        go_on, with_what = steps.send, None
        task: Any = asyncio.current_task()
        while True:
            try:
                future = go_on(with_what)
            except StopIteration as end:
                return end.value
            if self.steps == self._step:
                if self._late and future is not None:
                    future.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            self.steps += 1
            try:
                go_on, with_what = steps.send, (yield future)
            except BaseException as error:
                go_on, with_what = steps.throw, error


async def in_a_transaction(kind: Kind, database: Database) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        async with database.transaction():
            await database.execute(INSERT, {"name": "Grace"})


async def many_rows(kind: Kind, database: Database) -> None:
    await database.execute_many(INSERT, [{"name": "Ada"}, {"name": "Grace"}])


async def iterating(kind: Kind, database: Database) -> None:
    async for _ in database.iterate(kind.series(150)):
        pass


async def changing_the_session(kind: Kind, database: Database) -> None:
    async with database.connection() as connection:
        if kind.place == "on_postgresql":
            await connection.execute("SET application_name = 'leaked'")
        else:
            await connection.execute("SET @leaked = 'leaked'")
        async with connection.transaction():
            await connection.fetch_val("SELECT 1")


WORKS = [in_a_transaction, many_rows, iterating, changing_the_session]


@NETWORK_ONLY
@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
@pytest.mark.parametrize("work", WORKS)
async def test_cancelled_at_any_step_nothing_is_half_done_held_or_left(
    kind: Kind, lone: Database, work: Any, late: bool
) -> None:
    session = (
        "SELECT current_setting('application_name')"
        if kind.place == "on_postgresql"
        else "SELECT @leaked"
    )
    whole = CancelledAt(work(kind, lone), -1, late)
    await whole
    assert whole.steps >= 1
    step = 0
    while True:
        await lone.execute("DELETE FROM users")

        async def run(attempt: CancelledAt) -> None:
            await attempt

        attempt = CancelledAt(work(kind, lone), step, late)
        task = asyncio.create_task(run(attempt))
        await asyncio.wait([task], timeout=20)
        assert task.done(), f"hangs when cancelled at step {step}"
        if not task.cancelled():
            task.result()
        async with asyncio.timeout(20):
            assert await lone.fetch_val(session) != "leaked", f"at step {step}"
            assert await count(lone) in (0, 2), f"at step {step}"
        await is_whole(lone)
        if attempt.steps <= step:
            break
        step += 1


@POSTGRESQL_ONLY
@pytest.mark.parametrize("late", [False, True], ids=["waiting", "answered"])
async def test_a_transaction_cancelled_at_any_step_is_not_open_for_what_comes_next(
    lone: Database, late: bool
) -> None:
    """On MySQL the connection is lost with any statement that is cancelled."""

    async def transaction(connection: Connection) -> None:
        async with connection.transaction():
            await connection.execute(INSERT, {"name": "Ada"})

    async def run(attempt: CancelledAt) -> None:
        await attempt

    # Several times: it depends on what the server answers first.
    for step in [*range(4), *[0, 1] * 10]:
        await lone.execute("DELETE FROM users")
        async with lone.connection() as connection:
            attempt = CancelledAt(transaction(connection), step, late)
            await asyncio.wait([asyncio.create_task(run(attempt))], timeout=20)
            await connection.execute(INSERT, {"name": "Grace"})
        assert await lone.fetch_val("SELECT count(*) FROM users WHERE name = 'Grace'") == 1
        await is_whole(lone)
