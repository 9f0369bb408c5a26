"""Servers that restart, go down, and end sessions: what is told, what is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from databases import Database, exceptions
from tests.library.kinds import NETWORK_ONLY, POSTGRESQL_ONLY, Kind, Network
from tests.library.places import OnServer, of_driver, until
from tests.library.pools import (
    a_session,
    idle_for,
    is_whole,
    notes_of,
    pool_of,
    sleeping,
    until_gone,
)
from tests.library.users import INSERT, USERS, count
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL

UNKNOWN = "whether it was done is not known"


@pytest.fixture
def own(request: pytest.FixtureRequest, kind: Kind) -> Iterator[PostgreSQL | MariaDB]:
    """A server that is the test's own to stop."""
    name = "own_postgresql" if kind.place == "on_postgresql" else "own_mariadb"
    server: PostgreSQL | MariaDB = request.getfixturevalue(name)
    yield server
    if server._process is None:
        server.start()


@pytest.fixture
async def lone(kind: Network, url: str, server: OnServer) -> AsyncIterator[Database]:
    """A database by way of a single connection, and a table of users."""
    server.rows(USERS.format(kind.key))
    async with Database(url, max_size=1) as database:
        yield database


def is_honest(error: BaseException) -> bool:
    """Whether it is ours, and says that the connection broke and nothing was done."""
    told = "it can be run again" in notes_of(error)
    return isinstance(error, exceptions.ConnectionFailureError) and told


# Restarts.


@NETWORK_ONLY
@pytest.mark.parametrize("mode", ["fast", "immediate"])
@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
async def test_after_a_restart_the_next_query_works(
    kind: Kind, own: Any, mode: Any, noticed: bool
) -> None:
    cases = [(age, tasks) for age in (0.0, 0.1, 2.0) for tasks in (1, 50)]
    databases = {}
    for case in cases:
        database = databases[case] = Database(of_driver(own.url, kind.scheme), max_size=3)
        await database.connect()
        await asyncio.gather(*[database.fetch_val("SELECT 1") for _ in range(3)])
    if noticed:
        await asyncio.to_thread(own.restart, mode)
    else:
        own.restart(mode)  # in the event loop's own time
    for (age, tasks), database in databases.items():
        idle_for(database, age)
        queries = [database.fetch_val("SELECT 1") for _ in range(tasks)]
        for result in await asyncio.gather(*queries, return_exceptions=True):
            # In use until a moment ago, it may not be known yet that the connection is gone.
            assert result == 1 or (age == 0.0 and is_honest(result)), (age, tasks)
        await is_whole(database)
        await database.disconnect()


@NETWORK_ONLY
async def test_a_server_that_goes_down_under_load_loses_no_connection(kind: Kind, own: Any) -> None:
    stop = asyncio.Event()
    failed: list[BaseException] = []
    done = 0

    async def use(number: int) -> None:
        nonlocal done
        while not stop.is_set():
            try:
                if number % 3 == 0:
                    async with database.transaction():
                        await database.fetch_val("SELECT 1")
                elif number % 3 == 1:
                    async for _ in database.iterate(kind.series(300)):
                        pass
                else:
                    await database.fetch_val("SELECT 1")
                done += 1
            except Exception as error:
                failed.append(error)
                await asyncio.sleep(0.01)

    async with Database(of_driver(own.url, kind.scheme), max_size=4) as database:
        users = [asyncio.create_task(use(number)) for number in range(12)]
        await until(lambda: done > 30)
        await asyncio.to_thread(own.stop, "immediate")
        await until(lambda: len(failed) > 24)
        await asyncio.to_thread(own.start)
        before = done
        await until(lambda: done > before + 30)
        stop.set()
        await asyncio.gather(*users)
        for error in failed:
            assert isinstance(error, exceptions.ConnectionFailureError | exceptions.CommitUnknown)
        await is_whole(database)


@NETWORK_ONLY
@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_transaction_in_which_the_server_was_restarted_is_run_again(
    kind: Kind, own: Any, mode: Any
) -> None:
    calls = 0

    async with Database(of_driver(own.url, kind.scheme), max_size=2) as database:

        @database.transaction(retry=30)
        async def add() -> None:
            nonlocal calls
            calls += 1
            await database.execute(INSERT, {"name": f"Ada {calls}"})
            if calls == 1:
                await asyncio.to_thread(own.stop, mode)
                starting.append(asyncio.create_task(asyncio.to_thread(own.start)))
            await database.execute(INSERT, {"name": f"Grace {calls}"})

        starting: list[asyncio.Task[None]] = []
        await database.execute(f"CREATE TABLE users (id {kind.key}, name VARCHAR(20))")
        try:
            await add()
            assert calls == 2
            rows = await database.fetch_all("SELECT name FROM users ORDER BY name")
            assert [row.name for row in rows] == ["Ada 2", "Grace 2"]
            await is_whole(database)
        finally:
            await asyncio.gather(*starting)
            await database.execute("DROP TABLE users")


@NETWORK_ONLY
async def test_a_server_that_is_down_is_told_to_all_at_once(kind: Kind, own: Any) -> None:
    database = Database(of_driver(own.url, kind.scheme), max_size=2)
    await database.connect()
    await asyncio.to_thread(own.stop)
    with pytest.raises(exceptions.ConnectionFailureError) as caught:
        await Database(of_driver(own.url, kind.scheme)).connect()
    assert f"127.0.0.1:{own.port}" in str(caught.value) + notes_of(caught.value)
    async with asyncio.timeout(20):
        queries = [database.fetch_val("SELECT 1") for _ in range(20)]
        for result in await asyncio.gather(*queries, return_exceptions=True):
            assert isinstance(result, exceptions.ConnectionFailureError)
        assert pool_of(database)._opening.size == 0
    await asyncio.to_thread(own.start)
    await is_whole(database)
    await database.disconnect()


@NETWORK_ONLY
async def test_a_server_with_no_room_for_more_connections_is_shared(kind: Kind, own: Any) -> None:
    query = f"SELECT {sleeping(kind, 0.2)}"
    async with Database(of_driver(own.url, kind.scheme), max_size=50) as database:
        await asyncio.gather(*[database.execute(query) for _ in range(50)])
        pool = pool_of(database)
        await until(lambda: not pool._leaving.tasks)
        assert len(pool._idle) == len(pool._slots) == pool._opening.size < 50
        with pytest.raises(exceptions.OperationalError) as caught:
            # Who has none at all is told.
            await Database(of_driver(own.url, kind.scheme)).connect()
        assert not isinstance(caught.value, exceptions.ConnectionFailureError)
        assert "raise max_connections" in notes_of(caught.value)
        assert f"127.0.0.1:{own.port}" in notes_of(caught.value)
        assert await database.fetch_val("SELECT 1") == 1


# Sessions that the server ends.


@NETWORK_ONLY
@pytest.mark.parametrize("age", [0.0, 0.1, 2.0])
async def test_a_session_ended_while_idle_is_replaced(
    kind: Network, lone: Database, server: OnServer, age: float
) -> None:
    session = await a_session(kind, lone)
    await is_whole(lone)
    server.end_session(session)
    await until_gone(server, session)
    idle_for(lone, age)
    (result,) = await asyncio.gather(a_session(kind, lone), return_exceptions=True)
    if isinstance(result, BaseException):
        # In use until a moment ago, it may not be known yet that it is gone.
        assert age == 0.0
        assert is_honest(result)
        result = await a_session(kind, lone)
    assert result != session
    await is_whole(lone)


@NETWORK_ONLY
async def test_one_ended_while_it_is_held_is_told_and_the_next_one_is_another(
    kind: Network, lone: Database, server: OnServer
) -> None:
    with pytest.raises(exceptions.ConnectionFailureError) as caught:
        async with lone.connection() as connection:
            session = int(await connection.fetch_val(kind.session))
            server.end_session(session)
            await until_gone(server, session)
            await connection.fetch_val("SELECT 1")
    assert "The next connection() or transaction() gets another one" in notes_of(caught.value)
    assert await a_session(kind, lone) != session
    await is_whole(lone)


@NETWORK_ONLY
async def test_one_ended_in_a_statement_says_that_nobody_knows_or_runs_it_again(
    kind: Network, lone: Database, server: OnServer
) -> None:
    insert = f"INSERT INTO users (name) SELECT 'Ada' FROM (SELECT {sleeping(kind, 0.3)}) AS s"
    task = asyncio.create_task(lone.execute(insert))
    await until(lambda: any("INSERT" in sql for sql in server.running()))
    (session,) = [number for number, sql, runs in server.sessions() if runs and "INSERT" in sql]
    server.end_session(session)
    if kind.place == "on_postgresql":
        await task
        assert await count(lone) == 1
    else:
        with pytest.raises(exceptions.CommitUnknown) as caught:
            await task
        assert UNKNOWN in notes_of(caught.value)
        assert "ON CONFLICT (key) DO NOTHING" in notes_of(caught.value)
        assert await count(lone) == 0
    await is_whole(lone)


@NETWORK_ONLY
async def test_one_that_only_reads_is_run_again_on_another_connection(
    kind: Network, lone: Database, server: OnServer
) -> None:
    await a_session(kind, lone)
    task = asyncio.create_task(lone.fetch_val(f"SELECT 5 FROM (SELECT {sleeping(kind, 0.3)}) AS s"))
    await until(lambda: any("SELECT 5" in sql for sql in server.running()))
    (session,) = [number for number, sql, runs in server.sessions() if runs and "SELECT 5" in sql]
    server.end_session(session)
    assert await task == 5
    await is_whole(lone)


@NETWORK_ONLY
async def test_what_an_administrator_goes_on_stopping_stays_stopped(
    kind: Network, lone: Database, server: OnServer
) -> None:
    task = asyncio.create_task(lone.fetch_val(kind.endless))
    ended = set()
    async with asyncio.timeout(20):
        while not task.done():
            for number, sql, runs in server.sessions():
                if runs and sql == kind.endless and number not in ended:
                    server.end_session(number)
                    ended.add(number)
            await asyncio.sleep(0.005)
    assert isinstance(task.exception(), exceptions.ConnectionFailureError)
    assert len(ended) < 5
    await is_whole(lone)


@NETWORK_ONLY
async def test_one_ended_in_a_transaction_leaves_nothing_and_the_next_one_works(
    kind: Network, lone: Database, server: OnServer
) -> None:
    with pytest.raises(exceptions.ConnectionFailureError) as caught:
        async with lone.transaction():
            await lone.execute(INSERT, {"name": "Ada"})
            session = await a_session(kind, lone)
            server.end_session(session)
            await until_gone(server, session)
            await lone.execute(INSERT, {"name": "Grace"})
    assert "the server rolls back what was not committed" in notes_of(caught.value)
    assert await count(lone) == 0
    async with lone.transaction():
        await lone.execute(INSERT, {"name": "Ada"})
    assert await count(lone) == 1
    await is_whole(lone)


@NETWORK_ONLY
@pytest.mark.parametrize("what", ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT"])
async def test_a_transaction_that_cannot_begin_or_end_frees_its_connection(
    kind: Network, lone: Database, server: OnServer, what: str
) -> None:
    async def end() -> None:
        session = await a_session(kind, lone)
        server.end_session(session)
        await until_gone(server, session)

    async def use() -> None:
        async with lone.connection():
            if what == "BEGIN":
                await end()
            async with lone.transaction(force_rollback=what == "ROLLBACK"):
                await lone.execute(INSERT, {"name": "Ada"})
                if what == "SAVEPOINT":
                    await end()
                async with lone.transaction():
                    await lone.execute(INSERT, {"name": "Grace"})
                await end()

    if what == "ROLLBACK":
        try:
            await use()
        except exceptions.DriverError:
            pass  # it is rolled back in any case
    else:
        with pytest.raises(exceptions.DriverError):
            await use()
    await is_whole(lone)
    assert await count(lone) == 0
    async with lone.transaction():
        await lone.execute(INSERT, {"name": "Ada"})
    assert await count(lone) == 1


@POSTGRESQL_ONLY
async def test_a_commit_that_the_server_refuses_frees_its_connection(
    lone: Database, server: OnServer
) -> None:
    server.rows("CREATE TABLE late (id INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    for _ in range(2):
        with pytest.raises(exceptions.IntegrityError):
            async with lone.transaction():
                await lone.execute_many("INSERT INTO late VALUES (:id)", [{"id": 1}, {"id": 1}])
        await is_whole(lone)
    assert await lone.fetch_val("SELECT count(*) FROM late") == 0


@POSTGRESQL_ONLY
async def test_a_commit_that_broke_off_says_that_nobody_knows(
    kind: Network, lone: Database, server: OnServer
) -> None:
    server.rows(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$"
    )
    server.rows(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slow()"
    )

    async def use() -> None:
        async with lone.transaction():
            await lone.execute(INSERT, {"name": "Ada"})

    task = asyncio.create_task(use())
    await until(lambda: "COMMIT" in server.running())
    server.end_session(server.sessions()[0][0])
    with pytest.raises(exceptions.CommitUnknown) as caught:
        await task
    assert "whether the transaction was kept is not known" in notes_of(caught.value)
    await is_whole(lone)
    assert await count(lone) == 0
