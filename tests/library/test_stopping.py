"""disconnect(): what is new is refused, what is under way has its time, the rest is stopped."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from databases import Database, exceptions
from tests.library.kinds import CONCURRENT, MEMORY, NETWORK, ON_SQLITE, SQLITE_ONLY, Kind
from tests.library.places import OnServer, Place, until
from tests.library.pools import is_whole, sleeping
from tests.library.seen import Seen
from tests.library.users import INSERT, USERS, count

LONG = 60.0
"""Seconds of grace that no test can take."""

SHORT = 0.05


class Work:
    """Something that is under way on a database: at a point it says so, and waits to go on."""

    def __init__(self, kind: Kind, database: Database) -> None:
        self.kind = kind
        self.database = database
        self.begun = asyncio.Event()
        self.go = asyncio.Event()

    async def until_told(self) -> None:
        self.begun.set()
        await self.go.wait()

    # What finishes.

    async def statement(self) -> None:
        self.begun.set()
        seconds = f"SELECT {sleeping(self.kind, 0.2)}"
        count = f"SELECT count(*) FROM ({self.kind.series(1_500_000)})"
        await self.database.execute(count if self.kind in ON_SQLITE else seconds)

    async def connection(self) -> None:
        async with self.database.connection() as connection:
            await self.until_told()
            await connection.execute(INSERT, {"name": "Ada"})
            await self.database.execute(INSERT, {"name": "Grace"})
            async with connection.transaction():
                assert await count(self.database) == 2

    async def transaction(self) -> None:
        async with self.database.transaction():
            await self.database.execute(INSERT, {"name": "Ada"})
            await self.until_told()
            async with self.database.transaction():
                await self.database.execute(INSERT, {"name": "Grace"})
            assert await count(self.database) == 2

    async def iteration(self) -> None:
        rows = 0
        async for _ in self.database.iterate(self.kind.series(5000)):
            if not rows:
                await self.until_told()
            rows += 1
        assert rows == 5000

    # What does not.

    async def endless(self) -> None:
        self.begun.set()
        await self.database.fetch_val(self.kind.endless)

    async def endless_write(self) -> None:
        self.begun.set()
        await self.database.execute(self.kind.endless_write)

    async def endless_in_transaction(self) -> None:
        async with self.database.transaction():
            await self.database.execute(INSERT, {"name": "Ada"})
            self.begun.set()
            await self.database.fetch_val(self.kind.endless)

    async def endless_on_connection(self) -> None:
        async with self.database.connection() as connection:
            self.begun.set()
            await connection.execute(self.kind.endless_write)


WORK = {
    "statement": Work.statement,
    "connection": Work.connection,
    "transaction": Work.transaction,
    "iteration": Work.iteration,
}
ENDLESS = {
    "read": Work.endless,
    "write": Work.endless_write,
    "in a transaction": Work.endless_in_transaction,
    "on a connection": Work.endless_on_connection,
}


@pytest.fixture
async def database(kind: Kind, url: str) -> AsyncIterator[Database]:
    database = Database(url)
    await database.connect()
    await database.execute(USERS.format(kind.key))
    yield database
    await database.disconnect(grace=0)


def begin(
    kind: Kind, database: Database, function: Callable[[Work], Coroutine[Any, Any, None]]
) -> tuple[Work, asyncio.Task[None]]:
    work = Work(kind, database)
    return work, asyncio.create_task(function(work), name="the worker")


async def stopping(database: Database, grace: float) -> asyncio.Task[None]:
    task = asyncio.create_task(database.disconnect(grace=grace), name="the stopper")
    await until(lambda: not database.is_connected)
    return task


async def is_refused(database: Database) -> None:
    for new in (
        database.fetch_val("SELECT 1"),
        database.execute_many(INSERT, [{"name": "new"}]),
        database.transaction().start(),
        database.connection().__aenter__(),
        database.iterate("SELECT 1").__anext__(),
    ):
        with pytest.raises(exceptions.NotConnectedError, match=r"disconnected at:\n  File") as said:
            await new
        assert "in stopping" in str(said.value)


def was_stopped(error: BaseException | None) -> bool:
    """Whether an error says that it was disconnected, by whom and where."""
    assert isinstance(error, exceptions.NotConnectedError), error
    said = re.search(r"\n  disconnected at File .*test_stopping.*, by (.*)", str(error))
    assert said, str(error)
    assert said[1] == "the stopper"
    return True


async def no_thread_is_left() -> None:
    await until(lambda: not any(t.name.startswith("databases-") for t in threading.enumerate()))


@pytest.mark.parametrize("does", WORK)
async def test_what_is_under_way_finishes_while_what_is_new_is_refused(
    kind: Kind, database: Database, place: Place, does: str
) -> None:
    work, task = begin(kind, database, WORK[does])
    await work.begun.wait()
    if does == "statement":
        # A connection that was idle for long is asked for a sign of life before.
        await until(lambda: place.is_busy(database, "sleep("))
    disconnecting = await stopping(database, LONG)
    await is_refused(database)
    assert not task.done()
    assert not disconnecting.done()
    work.go.set()
    async with asyncio.timeout(20):
        await task
        await disconnecting
    await database.connect()
    if kind is not MEMORY:
        assert await count(database) == (2 if does in ("connection", "transaction") else 0)


@pytest.mark.parametrize("does", ENDLESS)
async def test_what_does_not_finish_in_time_is_stopped(
    kind: Kind, database: Database, place: Place, does: str
) -> None:
    work, task = begin(kind, database, ENDLESS[does])
    await work.begun.wait()
    await until(lambda: place.is_busy(database))
    disconnecting = await stopping(database, SHORT)
    async with asyncio.timeout(10):
        await disconnecting
        await asyncio.wait([task])
    assert was_stopped(task.exception())
    if isinstance(place, OnServer):
        await until(lambda: not place.sessions())
    await no_thread_is_left()
    await database.connect()
    if kind is not MEMORY:
        assert await count(database) == 0


@pytest.mark.parametrize("does", ["connection", "transaction", "iteration"])
async def test_what_idles_until_its_time_is_over_hears_of_it_when_it_goes_on(
    kind: Kind, database: Database, does: str
) -> None:
    work, task = begin(kind, database, WORK[does])
    await work.begun.wait()
    await (await stopping(database, SHORT))
    # Connected again: nothing of it may be done outside of its transaction.
    await database.connect()
    if kind is MEMORY:
        await database.execute(USERS.format(kind.key))
    work.go.set()
    async with asyncio.timeout(10):
        if (does, kind.place) == ("iteration", "memory"):
            await task  # its rows were all in memory
        else:
            await asyncio.wait([task])
            assert was_stopped(task.exception())
    assert await count(database) == 0


async def test_who_waits_for_a_connection_or_a_turn_is_sent_home_at_once(
    kind: Kind, url: str, place: Place, database: Database
) -> None:
    if kind in NETWORK:
        await database.disconnect()
        database = Database(url, max_size=1)
        await database.connect()
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()

    async def transact() -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": "late"})

    waiting = [
        asyncio.create_task(transact()),
        asyncio.ensure_future(database.execute(INSERT, {"name": "late"})),
        asyncio.create_task(transact()),
        asyncio.ensure_future(database.execute(INSERT, {"name": "later"})),
    ]
    await until(lambda: len(database.statistics().waiting) == 4)
    disconnecting = await stopping(database, LONG)
    async with asyncio.timeout(10):
        for error in await asyncio.gather(*waiting, return_exceptions=True):
            assert was_stopped(error)
        assert not disconnecting.done()
        work.go.set()
        await task
        await disconnecting


@SQLITE_ONLY
@pytest.mark.parametrize("grace", [None, "5", float("nan")])
async def test_what_is_no_number_of_seconds_stops_nothing(database: Database, grace: Any) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match=r"disconnect\(grace=30\)"):
        await database.disconnect(grace=grace)
    assert database.is_connected
    await database.disconnect(grace=float("inf"))


# Who waits for the end himself.


async def inside(database: Database) -> None:
    async with database.connection():
        await database.fetch_val("SELECT 1")
        await database.disconnect(grace=LONG)


async def by_hand(database: Database) -> None:
    transaction = await database.transaction()
    await database.execute(INSERT, {"name": "Ada"})
    await database.disconnect(grace=LONG)
    with pytest.raises(exceptions.StateError, match="in by_hand"):
        await transaction.commit()


async def by_a_child(database: Database) -> None:
    async with database.connection():
        await database.fetch_val("SELECT 1")
        await asyncio.create_task(database.disconnect(grace=LONG))


async def by_one_of_a_group(database: Database) -> None:
    async with database.connection(), asyncio.TaskGroup() as group:
        await database.fetch_val("SELECT 1")
        group.create_task(database.disconnect(grace=LONG))


async def by_one_that_is_gathered(database: Database) -> None:
    async with database.connection():
        await database.fetch_val("SELECT 1")
        await asyncio.gather(database.disconnect(grace=LONG), asyncio.sleep(0))


async def by_each_of_two(database: Database) -> None:
    together = asyncio.Barrier(2)

    async def one() -> None:
        async with database.connection():
            await together.wait()
            await database.disconnect(grace=LONG)

    await asyncio.gather(one(), one())


async def after_one_that_never_let_go(database: Database) -> None:
    async def fixture() -> object:
        return await database.transaction()

    kept = await asyncio.create_task(fixture())
    await database.disconnect(grace=LONG)
    assert kept


@pytest.mark.parametrize(
    "disconnects",
    [
        inside,
        by_hand,
        by_a_child,
        by_one_of_a_group,
        by_one_that_is_gathered,
        by_each_of_two,
        after_one_that_never_let_go,
    ],
    ids=lambda function: function.__name__,
)
@pytest.mark.parametrize("force_rollback", [False, True], ids=["", "force_rollback"])
async def test_nobody_waits_for_who_waits_for_the_end_himself(
    kind: Kind,
    url: str,
    place: Place,
    database: Database,
    disconnects: Callable[[Database], Coroutine[Any, Any, None]],
    force_rollback: bool,
) -> None:
    if kind is not MEMORY:
        await database.disconnect()
        database = Database(url, force_rollback=force_rollback)
        await database.connect()
    async with asyncio.timeout(10):
        await disconnects(database)
    assert not database.is_connected
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    await database.disconnect()


# Again, at once, and in the middle.


async def test_a_second_disconnect_waits_for_the_same_end_and_may_hurry_it(
    kind: Kind, database: Database
) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    patient = await stopping(database, LONG)
    other = asyncio.create_task(database.disconnect(grace=LONG))
    await asyncio.sleep(0.05)
    assert not patient.done()
    assert not other.done()
    async with asyncio.timeout(10):
        await database.disconnect(grace=0)
        await asyncio.gather(patient, other)
    await database.disconnect()
    work.go.set()
    with pytest.raises(exceptions.NotConnectedError):
        await task


async def test_connect_waits_until_the_end_has_come(kind: Kind, database: Database) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    disconnecting = await stopping(database, LONG)
    connecting = asyncio.create_task(database.connect())
    await asyncio.sleep(0.05)
    assert not connecting.done()
    work.go.set()
    async with asyncio.timeout(10):
        await task
        await connecting
    await disconnecting
    assert database.is_connected
    if kind is not MEMORY:
        assert await count(database) == 2


async def test_a_disconnect_that_is_cancelled_takes_no_time_from_those_at_work(
    kind: Kind, database: Database
) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    disconnecting = await stopping(database, LONG)
    disconnecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await disconnecting
    assert not database.is_connected
    await is_refused(database)
    work.go.set()
    async with asyncio.timeout(10):
        await task
        await database.disconnect()
        await database.connect()
    if kind is not MEMORY:
        assert await count(database) == 2


async def test_the_end_is_one_step_told_when_it_has_come(kind: Kind, database: Database) -> None:
    work, task = begin(kind, database, Work.transaction)
    await work.begun.wait()
    seen = Seen(database)
    disconnecting = await stopping(database, LONG)
    assert seen.states() == []
    assert not database.statistics().connected
    work.go.set()
    await task
    await disconnecting
    states = seen.states()
    assert states[-1] == ("disconnect", "connected", "not connected")
    assert [state for state in states if state[0] == "disconnect"] == states[-1:]
    assert seen[-1].task == "the stopper"
    seen.leave()


async def test_what_was_under_way_leaves_the_pool_whole(kind: Kind, database: Database) -> None:
    works = [begin(kind, database, Work.endless) for _ in range(3)]
    for work, _ in works:
        await work.begun.wait()
    await (await stopping(database, SHORT))
    for error in await asyncio.gather(*[task for _, task in works], return_exceptions=True):
        assert was_stopped(error)
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    if kind in NETWORK:
        await is_whole(database)


# force_rollback.


@CONCURRENT
async def test_what_shares_a_connection_has_its_time_and_is_rolled_back(
    kind: Kind, url: str, database: Database
) -> None:
    shared = Database(url, force_rollback=True)
    await shared.connect()
    work, task = begin(kind, shared, Work.transaction)
    _, statement = begin(kind, shared, Work.statement)
    await work.begun.wait()
    disconnecting = await stopping(shared, LONG)
    await is_refused(shared)
    assert not disconnecting.done()
    work.go.set()
    async with asyncio.timeout(20):
        await asyncio.gather(task, statement)
        await disconnecting
    assert await count(database) == 0


@CONCURRENT
async def test_what_shares_a_connection_is_stopped_when_its_time_is_over(
    kind: Kind, url: str, database: Database
) -> None:
    shared = Database(url, force_rollback=True)
    await shared.connect()
    work, task = begin(kind, shared, Work.endless_in_transaction)
    await work.begun.wait()
    await (await stopping(shared, SHORT))
    async with asyncio.timeout(10):
        with pytest.raises(exceptions.NotConnectedError):
            await task
    assert await count(database) == 0


@SQLITE_ONLY
async def test_a_users_function_that_does_not_end_is_left_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("databases.backends.sqlite.ending.CLOSING", 0.2)
    end, begun = threading.Event(), threading.Event()

    def function(connection: object) -> None:
        begun.set()
        end.wait(20)

    async def run() -> None:
        async with database.connection() as connection:
            await connection.raw_connection.run(function)

    task = asyncio.create_task(run())
    await until(begun.is_set)
    async with asyncio.timeout(10):
        await (await stopping(database, SHORT))
        await asyncio.wait([task])
    assert was_stopped(task.exception())
    assert isinstance(task.exception(), exceptions.CommitUnknown)
    end.set()
    await no_thread_is_left()
