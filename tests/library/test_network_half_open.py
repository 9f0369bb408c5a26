"""A network that swallows what is sent, and says nothing: each call ends within its time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from databases import Database, exceptions
from databases.backends import leaving, network_connection, pool
from databases.backends.mysql import driver as mysql_driver
from databases.backends.mysql import link as mysql_link
from databases.backends.postgres import psycopg_connection, psycopg_link
from tests.library.kinds import NETWORK_ONLY, Kind
from tests.library.places import until
from tests.library.pools import idle_for, is_whole, pool_of
from tests.library.users import INSERT, USERS, count
from tests.servers.proxy import Proxy

pytestmark = NETWORK_ONLY

LIMIT = 0.3
LATEST = LIMIT + 10
"""Seconds. Whatever nobody can be told of has ended a second after its limit; the rest is for a
machine that is busy with other tests. What waits for the network waits for ever."""

UNTIL_GIVEN_UP = (
    (network_connection, "_UNDOING"),
    (mysql_link, "_SOON"),
    (psycopg_connection, "_SOON"),
    (leaving, "MENDING"),
    (pool, "MENDING"),
    (mysql_driver, "_KILLING"),
    (psycopg_connection, "STOPPING"),
    (psycopg_link, "STOPPING"),
)
"""For how long the library goes on with what is no use any more."""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library gives up at once."""
    for module, name in UNTIL_GIVEN_UP:
        monkeypatch.setattr(module, name, 0.1)


async def iterated(database: Database) -> None:
    async for _ in database.iterate("SELECT 1", timeout=LIMIT):
        pass


Call = Callable[[Database], Awaitable[object]]

QUERIES: dict[str, Call] = {
    "fetch_all": lambda database: database.fetch_all("SELECT 1", timeout=LIMIT),
    "fetch_one": lambda database: database.fetch_one("SELECT 1", timeout=LIMIT),
    "fetch_val": lambda database: database.fetch_val("SELECT 1", timeout=LIMIT),
    "execute": lambda database: database.execute(INSERT, {"name": "Ada"}, timeout=LIMIT),
    "execute_many": lambda database: database.execute_many(
        INSERT, [{"name": "Grace"}, {"name": "Alan"}], timeout=LIMIT
    ),
    "iterate": iterated,
}


class Blocks:
    """Transactions that are open when the network fails, each at another point."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._failed = asyncio.Event()
        self._open = 0

    async def start(self) -> dict[str, asyncio.Task[None]]:
        """Have all of them come to their point."""
        works = [self.statement, self.many, self.idle, self.commit, self.savepoint]
        tasks = {work.__name__: asyncio.create_task(work()) for work in works}
        await until(lambda: self._open == len(works))
        return tasks

    def go_on(self) -> None:
        """The network has failed."""
        self._failed.set()

    async def _come(self) -> None:
        self._open += 1
        await self._failed.wait()

    async def statement(self) -> None:
        async with self._database.transaction():
            await self._come()
            await self._database.fetch_val("SELECT 1", timeout=LIMIT)

    async def many(self) -> None:
        async with self._database.connection():
            await self._come()
            await self._database.execute_many(INSERT, [{"name": "Alan"}] * 3, timeout=LIMIT)

    async def idle(self) -> None:
        async with asyncio.timeout(None) as limit, self._database.transaction():
            await self._come()
            limit.reschedule(asyncio.get_running_loop().time() + LIMIT)
            await asyncio.sleep(60)

    async def commit(self) -> None:
        async with asyncio.timeout(None) as limit, self._database.transaction():
            await self._database.fetch_val("SELECT 1")
            await self._come()
            limit.reschedule(asyncio.get_running_loop().time() + LIMIT)

    async def savepoint(self) -> None:
        async with self._database.transaction(), self._database.transaction():
            await self._come()
            await self._database.fetch_val("SELECT 1", timeout=LIMIT)


async def begun(database: Database) -> None:
    async with asyncio.timeout(LIMIT), database.transaction():
        pass


def in_tasks(calls: dict[str, Call], database: Database) -> dict[str, asyncio.Task[None]]:
    """Each in a task of its own."""

    async def made(call: Call) -> None:
        await call(database)

    return {name: asyncio.create_task(made(call)) for name, call in calls.items()}


async def all_time_out(tasks: dict[str, asyncio.Task[Any]]) -> None:
    await asyncio.wait(tasks.values(), timeout=LATEST)
    late = [name for name, task in tasks.items() if not task.done()]
    assert not late, f"Without an end: {late}"
    for name, task in tasks.items():
        assert isinstance(task.exception(), TimeoutError), name


async def test_each_call_ends_in_time_and_the_pool_is_whole_once_the_network_is(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, min_size=12, max_size=13) as database:
        await database.execute(USERS.format(kind.key))
        blocks = Blocks(database)
        tasks = await blocks.start()
        proxy.stall()
        blocks.go_on()
        tasks |= in_tasks({**QUERIES, "begin": begun}, database)
        await all_time_out(tasks)
        proxy.resume()
        await is_whole(database)


async def test_an_answer_that_comes_too_late_is_nobody_elses(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, max_size=1) as database:
        numbers = iter(range(1000))

        async def asked(**options: Any) -> None:
            number = next(numbers)
            answer = await database.fetch_val("SELECT :n + 0", {"n": number}, **options)
            assert answer == number

        for delay in (0, 0.1):
            await asked()
            proxy.stall("to client")
            with pytest.raises(exceptions.QueryTimeoutError):
                await asked(timeout=0.05)
            asyncio.get_running_loop().call_later(delay, proxy.resume)
            async with asyncio.timeout(20):
                await asyncio.gather(*[asked() for _ in range(5)])
        await is_whole(database)


@pytest.mark.usefixtures("impatient")
async def test_waiting_for_a_connection_ends_in_time_whoever_holds_the_others(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, max_size=1, pool_timeout=LIMIT) as database:
        await is_whole(database)
        proxy.stall()
        stuck = asyncio.create_task(database.fetch_val("SELECT 1", timeout=2 * LIMIT))
        await until(lambda: not pool_of(database)._idle)
        async with asyncio.timeout(LATEST):
            with pytest.raises(exceptions.PoolTimeout):
                await database.fetch_val("SELECT 1")
            with pytest.raises(exceptions.QueryTimeoutError):
                await stuck
        proxy.resume()
        await is_whole(database)


@pytest.mark.usefixtures("impatient")
async def test_whoever_needs_a_new_connection_waits_no_longer_than_he_wants(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, max_size=2) as database:
        async with database.connection():
            proxy.stall()
            await all_time_out(in_tasks({**QUERIES, "begin": begun}, database))
            proxy.resume()
        await is_whole(database)


@pytest.mark.usefixtures("impatient")
async def test_connecting_and_disconnecting_end_in_time(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    database = Database(proxied, min_size=3)
    proxy.stall()
    async with asyncio.timeout(LATEST):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LIMIT):
                await database.connect()
    proxy.resume()
    for busy in (False, True):
        await database.connect()
        proxy.stall()
        if busy:
            with pytest.raises(exceptions.QueryTimeoutError):
                await database.fetch_val("SELECT 1", timeout=0.01)
        async with asyncio.timeout(LATEST):
            await database.disconnect()
        proxy.resume()


@pytest.mark.usefixtures("impatient")
async def test_connections_that_the_network_forgot_while_idle_are_found_out_together(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, min_size=4, max_size=4) as database:
        await is_whole(database)
        assert len(pool_of(database)._slots) == 4
        idle_for(database, 10)
        proxy.forget()
        assert await database.fetch_val("SELECT 1", timeout=5) == 1
        assert len(pool_of(database)._idle) == 1
        await is_whole(database)


@pytest.mark.usefixtures("impatient")
async def test_a_connection_that_the_network_forgot_while_held_is_replaced(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, max_size=1) as database:
        await database.execute(USERS.format(kind.key))
        with pytest.raises(exceptions.QueryTimeoutError):
            async with database.transaction():
                await database.execute(INSERT, {"name": "Ada"})
                proxy.forget()
                await database.execute(INSERT, {"name": "Grace"}, timeout=LIMIT)
        proxy.cut()  # the server hears of it at last
        assert await count(database) == 0
        await is_whole(database)
