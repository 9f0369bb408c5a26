"""A database that is used in two event loops at the same time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends.network import NetworkBackend
from databases.stopping import Stop
from tests.library.fake_links import FakeServer, connected, hold_and
from tests.library.kinds import MEMORY, NETWORK_ONLY, SQLITE_ONLY, Kind
from tests.library.places import OnServer, Place, until
from tests.library.pools import is_whole
from tests.library.users import INSERT, USERS, count


class Elsewhere:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="elsewhere")

    def __enter__(self) -> Elsewhere:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.loop.close()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)

    async def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        async with asyncio.timeout(20):
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as elsewhere:
        yield elsewhere


@contextmanager
def is_told_of_both() -> Iterator[None]:
    with pytest.raises(exceptions.NotConnectedError) as caught:
        yield
    said = str(caught.value)
    assert "'MainThread'" in said
    assert "'elsewhere'" in said
    assert "database = Database(url)" in said


async def await_it(awaitable: Any) -> Any:
    return await awaitable


async def call(query: Callable[[Database], Any], database: Database) -> Any:
    return await query(database)


QUERIES: dict[str, Callable[[Database], Any]] = {
    "fetch_all": lambda database: database.fetch_all("SELECT 1"),
    "execute_many": lambda database: database.execute_many(INSERT, [{"name": "Ada"}]),
    "transaction": lambda database: database.transaction().start(),
    "connection": lambda database: database.connection().__aenter__(),
    "iterate": lambda database: database.iterate("SELECT 1").__anext__(),
}


@NETWORK_ONLY
async def test_another_event_loop_is_told_and_the_first_goes_on(
    database: Database, elsewhere: Elsewhere
) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": "Ada"})
        for query in QUERIES.values():
            with is_told_of_both():
                await elsewhere.run(call(query, database))
        await database.execute(INSERT, {"name": "Grace"})
    assert await count(database) == 2
    await is_whole(database)


@pytest.mark.parametrize("force_rollback", [False, True], ids=["", "force_rollback"])
async def test_disconnected_in_another_event_loop_what_is_under_way_in_the_first_has_its_time(
    kind: Kind, url: str, database: Database, elsewhere: Elsewhere, force_rollback: bool
) -> None:
    database = Database(url, force_rollback=force_rollback)
    await database.connect()
    if kind is MEMORY:
        await database.execute(USERS.format(kind.key))
    begun = asyncio.Event()

    async def transact() -> None:
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
            begun.set()
            await until(lambda: not database.is_connected)
            await database.execute(INSERT, {"name": "Grace"})
            assert await count(database) == 2

    task = asyncio.create_task(transact())
    await begun.wait()
    there = asyncio.create_task(elsewhere.run(await_it(database.disconnect(grace=60))))
    await until(lambda: not database.is_connected)
    async with asyncio.timeout(20):
        await database.disconnect(grace=60)  # waits for the same end
        assert task.done()
        await task
        await there
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    await database.disconnect()


async def test_several_event_loops_may_connect_and_disconnect_at_once(
    kind: Kind, url: str, elsewhere: Elsewhere
) -> None:
    database = Database(url)

    async def use() -> None:
        for _ in range(10):
            await database.connect()
            with suppress(exceptions.NotConnectedError):
                await database.fetch_val("SELECT 1")
            await database.disconnect()

    await asyncio.gather(elsewhere.run(use()), use())
    assert not database.is_connected
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    await database.disconnect()


async def test_a_connection_cannot_be_handed_to_another_event_loop(
    database: Database, elsewhere: Elsewhere
) -> None:
    async with database.connection() as connection:
        await connection.execute(INSERT, {"name": "Ada"})
        for query in (
            connection.fetch_val("SELECT 1"),
            connection.execute(INSERT, {"name": "Grace"}),
            connection.transaction().start(),
        ):
            with is_told_of_both():
                await elsewhere.run(await_it(query))
        async with connection.transaction():
            assert await count(database) == 1


async def test_nor_can_the_one_that_all_share(
    kind: Kind, url: str, database: Database, elsewhere: Elsewhere
) -> None:
    async with Database(url, force_rollback=True) as shared:
        await shared.fetch_val("SELECT 1")
        for query in (shared.fetch_val("SELECT 1"), shared.transaction().start()):
            with is_told_of_both():
                await elsewhere.run(await_it(query))
        assert await shared.fetch_val("SELECT 1") == 1


async def test_each_event_loop_may_have_a_database_of_its_own(
    kind: Kind, url: str, database: Database, elsewhere: Elsewhere
) -> None:
    async def use() -> Any:
        async with Database(url) as own:
            await own.fetch_val("SELECT 1")
            return await own.fetch_val("SELECT 2")

    assert await elsewhere.run(use()) == 2
    assert await count(database) == 0


@SQLITE_ONLY
async def test_several_event_loops_may_use_sqlite_at_once(
    database: Database, elsewhere: Elsewhere
) -> None:
    """Connected in one of them, it is there for all."""

    async def single(number: int) -> None:
        await database.execute(INSERT, {"name": f"{threading.get_ident()} single {number}"})
        await count(database)

    async def transaction(number: int) -> None:
        async with database.transaction():
            before = await count(database)
            await database.execute(INSERT, {"name": f"{threading.get_ident()} {number}"})
            assert await count(database) == before + 1
        database.statistics()

    async def use() -> None:
        await database.connect()  # it is: nothing happens
        for number in range(20):
            together = range(10 * number, 10 * number + 10)
            await asyncio.gather(
                *[single(each) for each in together], *[transaction(each) for each in together]
            )

    with Elsewhere() as third:
        await asyncio.gather(elsewhere.run(use()), third.run(use()), use())
    assert await count(database) == 3 * 20 * 20


@pytest.mark.parametrize("url", ["sqlite:////nowhere/test.db", "postgresql://127.0.0.1:1/test"])
async def test_what_could_not_be_connected_belongs_to_no_event_loop(
    url: str, elsewhere: Elsewhere
) -> None:
    database = Database(url)
    for run in (await_it, elsewhere.run):
        with pytest.raises(exceptions.OperationalError):
            await run(call(lambda database: database.connect(), database))


def test_a_database_whose_event_loop_stopped_while_it_was_disconnected_goes_on_in_the_next(
    kind: Kind, url: str, place: Place
) -> None:
    database = Database(url)
    holding, go = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with database.transaction():
            holding.set()
            await go.wait()

    async def begin_to_disconnect() -> list[asyncio.Task[Any]]:
        await database.connect()
        tasks = [asyncio.create_task(hold())]
        await holding.wait()
        tasks.append(asyncio.create_task(await_it(database.disconnect(grace=60))))
        await asyncio.sleep(0.01)
        return tasks

    async def use() -> None:
        async with asyncio.timeout(20):
            await database.disconnect()
            async with database:
                assert await database.fetch_val("SELECT 1") == 1
                if isinstance(place, OnServer):
                    # The transaction that was open in the first one holds no lock any more.
                    await until(lambda: len(place.sessions()) == 1)
        await database.connect()

    async def end(tasks: list[asyncio.Task[Any]]) -> None:
        go.set()
        await asyncio.wait(tasks, timeout=20)
        assert database.is_connected

    with asyncio.Runner() as first, asyncio.Runner() as second:
        left = first.run(begin_to_disconnect())
        second.run(use())
        first.run(end(left))
        second.run(await_it(database.disconnect()))


def test_what_held_a_connection_in_an_event_loop_that_stopped_has_no_time_in_the_next(
    fake: FakeServer,
) -> None:
    async def begin() -> tuple[NetworkBackend, asyncio.Task[None]]:
        backend, held = await connected(fake, min_size=2), asyncio.Event()
        pool: Any = backend._pool
        task = asyncio.create_task(hold_and(held, pool, None))
        await held.wait()
        return backend, task

    async def disconnect(backend: NetworkBackend) -> None:
        async with asyncio.timeout(20):
            await backend.disconnect(Stop(60.0))

    with asyncio.Runner() as first, asyncio.Runner() as second:
        backend, task = first.run(begin())
        assert len(fake.open) == 2
        second.run(disconnect(backend))
        assert not fake.open
        assert not task.done()


async def test_an_event_loop_that_stops_while_it_closes_connections_is_waited_for_no_longer(
    fake: FakeServer, elsewhere: Elsewhere
) -> None:
    backend = await elsewhere.run(connected(fake))
    held = asyncio.Event()

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(hold_and(held, backend._pool, None))
        await held.wait()
        return task

    async def end() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.wait(left)

    holding = await elsewhere.run(begin())
    disconnecting = asyncio.create_task(backend.disconnect(Stop(60.0)))
    await asyncio.sleep(0.05)
    assert not disconnecting.done()
    assert not holding.done()
    elsewhere.stop()
    async with asyncio.timeout(20):
        await disconnecting
    await asyncio.to_thread(elsewhere.loop.run_until_complete, end())
