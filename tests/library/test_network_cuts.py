"""Connections that are cut: in the midst of an answer, of a question, at COMMIT, under load."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from databases import Database, exceptions
from tests.conftest import running
from tests.library.kinds import NETWORK_ONLY, POSTGRESQL_ONLY, Kind
from tests.library.places import of_driver, until
from tests.library.pools import idle_for, is_whole, notes_of
from tests.library.users import INSERT, USERS, count
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL
from tests.servers.proxy import How, Proxy

HOWS: tuple[How, How] = ("RST", "FIN")

SIZES = (1, 2, 3, 4, 5, 7, 10, 15, 25, 40, 60, 90, 130, 180, 250, 350, 600)
"""Bytes of an answer after which a connection is cut; the last is more than there are."""


@pytest.fixture
async def lone(kind: Kind, proxied: str) -> AsyncIterator[Database]:
    """A database by way of a single connection and the proxy, and a table of users."""
    async with Database(proxied, max_size=1) as database:
        await database.execute(USERS.format(kind.key))
        yield database


def says_that_nobody_knows(error: BaseException) -> bool:
    told = f"{error} {notes_of(error)}"
    return isinstance(error, exceptions.OperationalError) and "not known" in told


# A connection that is cut in the midst of something.


async def rows(kind: Kind, database: Database, name: str) -> None:
    assert [row.i for row in await database.fetch_all(kind.series(20))] == [*range(1, 21)]


async def piece_by_piece(kind: Kind, database: Database, name: str) -> None:
    assert [row.i async for row in database.iterate(kind.series(60))] == [*range(1, 61)]


async def a_write(kind: Kind, database: Database, name: str) -> None:
    await database.execute(INSERT, {"name": name})


async def many_writes(kind: Kind, database: Database, name: str) -> None:
    await database.execute_many(INSERT, [{"name": name}, {"name": f"{name} too"}])


async def a_transaction(kind: Kind, database: Database, name: str) -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": name})
        assert await database.fetch_val("SELECT :n + 0", {"n": 70}) == 70


WRITES: dict[Any, int] = {a_write: 1, many_writes: 2, a_transaction: 1}


@NETWORK_ONLY
@pytest.mark.parametrize("work", [rows, piece_by_piece, *WRITES])
async def test_an_answer_that_is_cut_is_an_error_and_never_half_of_an_answer(
    kind: Kind,
    lone: Database,
    proxy: Proxy,
    work: Callable[[Kind, Database, str], Awaitable[None]],
) -> None:
    failed = 0
    for number, how in zip(SIZES, itertools.cycle(HOWS), strict=False):
        idle_for(lone, 0.1)
        await is_whole(lone)
        proxy.cut_after(number, how)
        error: exceptions.OperationalError | None = None
        try:
            async with asyncio.timeout(20):
                await work(kind, lone, f"at {number}")
        except exceptions.OperationalError as cut:
            failed, error = failed + 1, cut
        proxy.spare()
        idle_for(lone, 0.1)
        kept = await lone.fetch_val(
            "SELECT count(*) FROM users WHERE name LIKE :name", {"name": f"at {number}%"}
        )
        # Done as a whole or not at all; and what was lost may have been done.
        if error is None:
            assert kept == WRITES.get(work, 0)
        elif kept:
            assert kept == WRITES.get(work)
            assert says_that_nobody_knows(error)
    # A single statement that only reads is run again.
    assert failed == 0 if work is rows else failed > 5


@NETWORK_ONLY
@pytest.mark.parametrize("how", HOWS)
async def test_a_question_that_is_cut_is_not_answered_and_the_next_one_is(
    kind: Kind, lone: Database, proxy: Proxy, how: How
) -> None:
    for number in range(8):
        idle_for(lone, 0.1)
        await is_whole(lone)
        proxy.cut_at(b"SELECT", how, after=number)
        async with asyncio.timeout(20):
            asking = lone.fetch_val(f"SELECT {number} + 0")
            results = await asyncio.gather(asking, return_exceptions=True)
        assert results[0] == number or says_that_nobody_knows(results[0])
        proxy.spare()


@NETWORK_ONLY
@pytest.mark.parametrize("lost", ["the answer", "the question"])
async def test_a_commit_that_was_cut_off_says_that_nobody_knows(
    kind: Kind, lone: Database, proxy: Proxy, lost: str
) -> None:
    for how in HOWS:
        if lost == "the answer":
            proxy.lose_answer_to(b"COMMIT", how)
        else:
            proxy.cut_at(b"COMMIT", how)
        with pytest.raises(exceptions.OperationalError) as caught:
            async with lone.transaction():
                await lone.execute(INSERT, {"name": how})
        assert says_that_nobody_knows(caught.value)
        idle_for(lone, 0.1)
        await is_whole(lone)
    assert await count(lone) == (len(HOWS) if lost == "the answer" else 0)


@NETWORK_ONLY
async def test_a_write_whose_answer_is_lost_is_not_run_again(
    kind: Kind, lone: Database, proxy: Proxy
) -> None:
    for how in HOWS:
        await lone.execute(INSERT, {"name": f"{how} before"})
        proxy.lose_answer_to(b"Ada", how)
        with pytest.raises(exceptions.OperationalError) as caught:
            await lone.execute(INSERT, {"name": f"{how} Ada"})
        assert says_that_nobody_knows(caught.value)
        idle_for(lone, 0.1)
        await is_whole(lone)
    assert await count(lone) == 2 * len(HOWS)


# Under load.


class Load:
    """Tasks that write all the time, each one row after the other.

    Args:
        database: where to.
        tasks: how many.
    """

    def __init__(self, database: Database, tasks: int) -> None:
        self._database = database
        self._names = itertools.count()
        self._tasks = [asyncio.create_task(self._write()) for _ in range(tasks)]
        self._is_over = False
        self.done: set[str] = set()
        self.failed: dict[str, exceptions.DatabaseError] = {}

    async def _write(self) -> None:
        while not self._is_over:
            name = str(next(self._names))
            try:
                await self._database.execute(INSERT, {"name": name})
                self.done.add(name)
            except exceptions.DatabaseError as error:
                self.failed[name] = error
                await asyncio.sleep(0.01)

    async def goes_on(self) -> None:
        """Wait until some more was done."""
        before = len(self.done)
        await until(lambda: len(self.done) > before + 20)

    async def end(self) -> None:
        """What was done is there, and of the rest only that of which nobody knew."""
        self._is_over = True
        await asyncio.gather(*self._tasks)
        kept = {row.name for row in await self._database.fetch_all("SELECT name FROM users")}
        assert self.done <= kept
        for name in kept - self.done:
            assert says_that_nobody_knows(self.failed[name])


@NETWORK_ONLY
async def test_connections_that_are_cut_under_load_fail_only_what_was_on_them(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, max_size=4) as database:
        await database.execute(USERS.format(kind.key))
        load = Load(database, 12)
        for cuts, how in enumerate([*HOWS, *HOWS], start=1):
            await load.goes_on()
            proxy.cut(how)
            await load.goes_on()
            assert len(load.failed) <= 4 * cuts
        await load.end()
        await is_whole(database)


@NETWORK_ONLY
async def test_a_port_that_refuses_for_a_while_is_told_and_work_goes_on(
    kind: Kind, proxied: str, proxy: Proxy
) -> None:
    async with Database(proxied, max_size=4) as database:
        await database.execute(USERS.format(kind.key))
        load = Load(database, 12)
        await load.goes_on()
        proxy.refuse()
        proxy.cut()
        await until(lambda: len(load.failed) > 24)
        proxy.accept()
        await load.goes_on()
        failed = len(load.failed)
        await load.goes_on()
        assert len(load.failed) == failed
        await load.end()
        await is_whole(database)


@pytest.fixture(scope="module")
def own_pgbouncer(postgresql_server: PostgreSQL) -> Iterator[PgBouncer]:
    """One that the tests may stop."""
    with running(lambda: PgBouncer(postgresql_server)) as pgbouncer:
        yield pgbouncer


@POSTGRESQL_ONLY
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_pgbouncer_is_restarted_under_load(
    kind: Kind, postgresql_server: PostgreSQL, own_pgbouncer: PgBouncer, mode: Any
) -> None:
    name = f"restarted_{kind}_{mode}"
    postgresql_server.create_database(name)
    url = f"{of_driver(own_pgbouncer.url_of(name), kind.scheme)}?statement_cache_size=0"
    async with Database(url, max_size=4) as database:
        await database.execute(USERS.format(kind.key))
        load = Load(database, 12)
        await load.goes_on()
        await asyncio.to_thread(own_pgbouncer.restart, mode)
        await load.goes_on()
        failed = len(load.failed)
        await load.goes_on()
        assert len(load.failed) == failed
        for error in load.failed.values():
            assert isinstance(error, exceptions.OperationalError)
        await load.end()
        await is_whole(database)
