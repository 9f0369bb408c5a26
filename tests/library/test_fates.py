"""What became of a statement or a transaction: the class of its error says so."""

from __future__ import annotations

import asyncio
import select
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncmy.errors
import asyncpg
import psycopg
import pymysql.err
import pytest

from databases import Database, exceptions
from databases.backends import network_connection
from databases.steps import Kind as Told
from tests.library.kinds import (
    AIOMYSQL,
    ASYNCMY,
    ASYNCPG,
    FILE,
    MARIADB_ONLY,
    NETWORK_ONLY,
    POSTGRESQL_ONLY,
    PSYCOPG,
    Kind,
    Network,
    on,
)
from tests.library.places import OnServer, until
from tests.library.pools import a_session, is_whole, notes_of, pool_of, until_gone
from tests.library.seen import Seen
from tests.library.users import INSERT, USERS, count, writes_at_once
from tests.servers.proxy import Proxy

AT_MOST = 30
"""Seconds, against a test that hangs."""

Conflict = exceptions.TransactionConflictError
Failure = exceptions.ConnectionFailureError
Unknown = exceptions.CommitUnknown


def says_how_to_run_it_again(error: BaseException) -> bool:
    return "@database.transaction(retry=True)" in notes_of(error)


@pytest.fixture
async def by_proxy(kind: Network, proxied: str, server: OnServer) -> AsyncIterator[Database]:
    """A database by way of a single connection through the proxy, and a table of users."""
    server.rows(USERS.format(kind.key))
    async with Database(proxied, max_size=1) as database:
        yield database


def users(server: OnServer) -> int:
    """How many there are, seen from outside."""
    return int(server.rows("SELECT count(*) FROM users")[0][0])


# Others are in the way.


@POSTGRESQL_ONLY
@pytest.mark.parametrize("at", ["a statement", "COMMIT"])
async def test_a_serialization_failure_is_a_conflict(
    kind: Kind, database: Database, at: str
) -> None:
    read = asyncio.Barrier(2)
    committed = asyncio.Event()

    async def add(name: str, *, last: bool) -> None:
        async with database.transaction(isolation="serializable"):
            await count(database)
            await read.wait()
            if not last or at == "COMMIT":
                await database.execute(INSERT, {"name": name})
            await read.wait()
            if last:
                await committed.wait()
                if at == "a statement":
                    await database.execute(INSERT, {"name": name})
        committed.set()

    results = await asyncio.gather(
        add("Ada", last=False), add("Grace", last=True), return_exceptions=True
    )
    assert results[0] is None
    error = results[1]
    assert isinstance(error, Conflict)
    theirs = {
        "asyncpg": asyncpg.SerializationError,
        "psycopg": psycopg.errors.SerializationFailure,
    }
    assert isinstance(error, theirs[kind.driver])
    assert says_how_to_run_it_again(error)
    assert ("SQL: COMMIT" in notes_of(error)) is (at == "COMMIT")
    assert await count(database) == 1
    await is_whole(database)


async def in_each_others_way(database: Database, function: Callable[..., Any]) -> list[Any]:
    """Run a function twice at the same time, on two rows in opposite orders."""
    for name in ("Ada", "Grace"):
        await database.execute(INSERT, {"name": name})
    have_one = asyncio.Barrier(2)
    calls = [function(*names, have_one) for names in (("Ada", "Grace"), ("Grace", "Ada"))]
    async with asyncio.timeout(AT_MOST):
        return list(await asyncio.gather(*calls, return_exceptions=True))


LOCK = "UPDATE users SET name = name WHERE name = :name"


@pytest.fixture
def soon_noticed(kind: Kind, server: OnServer) -> Iterator[None]:
    """Deadlocks, for which PostgreSQL looks only after a second."""
    if kind.place == "on_postgresql":
        server.rows("ALTER DATABASE behaviour SET deadlock_timeout = '10ms'")
    yield
    if kind.place == "on_postgresql":
        server.rows("ALTER DATABASE behaviour RESET deadlock_timeout")


@NETWORK_ONLY
@pytest.mark.usefixtures("soon_noticed")
@pytest.mark.parametrize("nested", [False, True])
async def test_a_deadlock_is_a_conflict_and_a_transaction_that_retries_gets_through(
    database: Database, nested: bool
) -> None:
    attempts = 0

    async def lock(first: str, second: str, have_one: asyncio.Barrier) -> None:
        nonlocal attempts
        attempts += 1
        if attempts > 2:
            await database.execute(INSERT, {"name": "again"})
        await database.execute(LOCK, {"name": first})
        if attempts <= 2:
            await have_one.wait()
        if nested:
            async with database.transaction():
                await database.execute(LOCK, {"name": second})
        else:
            await database.execute(LOCK, {"name": second})

    results = await in_each_others_way(database, database.transaction()(lock))
    assert sorted(isinstance(result, Conflict) for result in results) == [False, True]
    (error,) = [result for result in results if result is not None]
    assert says_how_to_run_it_again(error)
    await database.execute("DELETE FROM users")
    attempts = 0
    results = await in_each_others_way(database, database.transaction(retry=AT_MOST)(lock))
    assert results == [None, None]
    assert attempts == 3
    assert await database.fetch_val("SELECT count(*) FROM users WHERE name = 'again'") == 1
    await is_whole(database)


@MARIADB_ONLY
async def test_a_row_that_changed_since_it_was_read_is_a_conflict_which_ends_the_transaction(
    kind: Kind, url: str, server: OnServer
) -> None:
    server.rows(USERS.format(kind.key))
    server.rows("INSERT INTO users (name) VALUES ('Ada')")
    async with Database(url, init_command="SET innodb_snapshot_isolation = ON") as database:

        @database.transaction()
        async def rename() -> None:
            await database.execute(INSERT, {"name": "lost"})
            await count(database)
            server.rows("UPDATE users SET name = 'Grace' WHERE id = 1")
            with pytest.raises(Conflict):
                await database.execute("UPDATE users SET name = 'Joan' WHERE id = 1")
            await database.execute(INSERT, {"name": "would be kept at once"})

        with pytest.raises(exceptions.TransactionStateError, match="others were in its way"):
            await rename()
        rows = await database.fetch_all("SELECT name FROM users")
        assert [row.name for row in rows] == ["Grace"]
        await is_whole(database)


@MARIADB_ONLY
async def test_a_lock_that_does_not_come_free_is_a_conflict(
    database: Database, server: OnServer
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    async with database.transaction():
        await database.execute("UPDATE users SET name = 'Grace'")
        with pytest.raises(Conflict) as caught:
            await asyncio.create_task(_nowait(database))
    assert "make transactions shorter" in notes_of(caught.value)
    assert says_how_to_run_it_again(caught.value)


async def _nowait(database: Database) -> None:
    async with database.transaction():
        await database.fetch_all("SELECT * FROM users FOR UPDATE NOWAIT")


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_a_locked_sqlite_is_a_conflict_after_all_waiting(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "test.db"
    url = f"sqlite:///{path}?timeout=0.1&journal_mode={mode}"
    async with Database(url) as database:
        await database.execute(USERS.format("INTEGER PRIMARY KEY"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        calls = 0

        async def add() -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                other.execute("ROLLBACK")
            await database.execute(INSERT, {"name": "Ada"})

        async def begun() -> None:
            async with database.transaction():
                await add()

        writes = [database.execute(INSERT, {"name": "Ada"}) for _ in range(3)]
        failed = await asyncio.gather(*writes, begun(), return_exceptions=True)
        for error in failed:
            assert isinstance(error, Conflict)
            assert isinstance(error, exceptions.WaitTimeoutError | sqlite3.OperationalError)
        assert calls == 0
        running = database.run_in_transaction(add, retry=AT_MOST)
        task = asyncio.ensure_future(running)
        await until(lambda: database.statistics().held)
        other.execute("ROLLBACK")
        await task
        assert await count(database) == 1
        other.close()


@on([FILE])
async def test_a_snapshot_that_is_too_old_to_be_written_to_is_a_conflict(
    database: Database,
) -> None:
    async with database.connection() as connection:
        await connection.execute("BEGIN")
        assert await connection.fetch_val("SELECT count(*) FROM users") == 0
        await asyncio.create_task(database.execute(INSERT, {"name": "Ada"}))
        with pytest.raises(Conflict) as caught:
            await connection.execute(INSERT, {"name": "Grace"})
        assert isinstance(caught.value, sqlite3.OperationalError)
        assert says_how_to_run_it_again(caught.value)
        await connection.execute("ROLLBACK")
    await writes_at_once(database)


# A COMMIT of which nobody knows.


@NETWORK_ONLY
@pytest.mark.parametrize("kept", [True, False])
async def test_a_commit_whose_answer_is_lost_is_never_run_again(
    by_proxy: Database, proxy: Proxy, server: OnServer, kept: bool
) -> None:
    calls = 0

    async def add() -> None:
        nonlocal calls
        calls += 1
        await by_proxy.execute(INSERT, {"name": f"Ada {calls}"})
        if kept:
            proxy.lose_answer_to(b"COMMIT")
        else:
            proxy.cut_at(b"COMMIT")

    async with asyncio.timeout(AT_MOST):
        with pytest.raises(Unknown) as caught:
            await by_proxy.run_in_transaction(add)
    assert calls == 1
    assert users(server) == kept
    said = notes_of(caught.value)
    assert "whether the transaction was kept is not known" in said
    assert "ON CONFLICT (key) DO NOTHING" in said
    assert "SQL: COMMIT" in said
    assert "test_fates.py" in said
    await is_whole(by_proxy)


@NETWORK_ONLY
async def test_by_hand_the_transaction_does_not_say_that_it_is_rolled_back(
    by_proxy: Database, proxy: Proxy
) -> None:
    transaction = await by_proxy.transaction()
    await by_proxy.execute(INSERT, {"name": "Ada"})
    proxy.lose_answer_to(b"COMMIT")
    with pytest.raises(Unknown):
        await transaction.commit()
    with pytest.raises(exceptions.TransactionStateError, match="it may be kept, or not"):
        await transaction.rollback()
    await is_whole(by_proxy)


async def end_unnoticed(kind: Network, database: Database, server: OnServer) -> None:
    """End the session of the one connection that is held, so that its driver has not read it."""
    server.end_session(await a_session(kind, database))
    [slot] = [slot for slot in pool_of(database)._slots if slot.lent]
    ended = select.poll()
    ended.register(slot.link.fileno(), select.POLLRDHUP)
    # In the event loop's own time.
    assert ended.poll(5000)


@NETWORK_ONLY
async def test_an_error_of_the_users_passes_although_the_connection_broke(
    kind: Network, database: Database, server: OnServer
) -> None:
    calls = 0

    async def add() -> None:
        nonlocal calls
        calls += 1
        await database.execute(INSERT, {"name": "Ada"})
        await end_unnoticed(kind, database, server)
        raise ValueError("sold out")

    with pytest.raises(ValueError, match="sold out"):
        await database.run_in_transaction(add)
    assert calls == 1
    await is_whole(database)
    assert await count(database) == 0


@NETWORK_ONLY
async def test_a_commit_that_was_never_sent_is_run_again(
    kind: Network, database: Database, server: OnServer
) -> None:
    calls = 0

    async def add() -> None:
        nonlocal calls
        calls += 1
        await database.execute(INSERT, {"name": f"Ada {calls}"})
        if calls == 1:
            await end_unnoticed(kind, database, server)

    async with asyncio.timeout(AT_MOST):
        await database.run_in_transaction(add)
    assert calls == 2
    assert [name for _, name in server.rows("SELECT * FROM users")] == ["Ada 2"]
    await is_whole(database)


@NETWORK_ONLY
async def test_a_commit_that_is_cancelled_is_not_told_as_rolled_back(
    kind: Network, by_proxy: Database, proxy: Proxy, server: OnServer
) -> None:
    transaction = await by_proxy.transaction()
    await by_proxy.execute(INSERT, {"name": "Ada"})
    proxy.stall("to client")
    task = asyncio.ensure_future(transaction.commit())
    await until(lambda: users(server))
    task.cancel()
    await asyncio.sleep(0)
    proxy.resume()
    async with asyncio.timeout(AT_MOST):
        with pytest.raises(asyncio.CancelledError):
            await task
    with pytest.raises(exceptions.TransactionStateError, match="it may be kept, or not"):
        await transaction.rollback()
    assert users(server) == 1
    await is_whole(by_proxy)


@NETWORK_ONLY
async def test_rolling_back_on_a_server_that_does_not_answer_ends(
    by_proxy: Database, proxy: Proxy, server: OnServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_connection, "_UNDOING", 0.1)
    async with asyncio.timeout(AT_MOST):
        with pytest.raises(ValueError, match="the user's"):
            async with by_proxy.transaction():
                await by_proxy.execute(INSERT, {"name": "Ada"})
                proxy.forget()
                raise ValueError("the user's")
    proxy.cut()
    await until(lambda: not server.sessions() or users(server) == 0)
    await is_whole(by_proxy)
    assert users(server) == 0


@on([ASYNCPG])
async def test_a_commit_that_takes_longer_than_the_drivers_own_limit_is_of_unknown_fate(
    kind: Kind, url: str, server: OnServer
) -> None:
    server.rows(USERS.format(kind.key))
    server.rows(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(30); RETURN NULL; END $$"
    )
    server.rows(
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED "
        "FOR EACH ROW EXECUTE FUNCTION slow()"
    )
    async with Database(url, max_size=1, command_timeout=0.2) as database:
        async with database.connection():
            with pytest.raises(Unknown) as caught:
                async with database.transaction():
                    await database.execute(INSERT, {"name": "Ada"})
            assert isinstance(caught.value, TimeoutError)
            assert await count(database) == 0
        with pytest.raises(exceptions.OperationalError) as slow:
            await database.fetch_val("SELECT pg_sleep(30)")
        assert not isinstance(slow.value, Failure | Unknown)
        await is_whole(database)


@NETWORK_ONLY
async def test_who_watches_is_not_told_that_it_is_rolled_back(
    by_proxy: Database, proxy: Proxy
) -> None:
    seen = Seen(by_proxy)
    async with by_proxy.connection():
        with pytest.raises(Unknown):
            async with by_proxy.transaction():
                await by_proxy.execute(INSERT, {"name": "Ada"})
                proxy.lose_answer_to(b"COMMIT")
        with pytest.raises(Failure):
            await count(by_proxy)
    seen.leave()
    assert not seen.of(Told.ROLLBACK)
    assert isinstance(seen.one(Told.COMMIT).error, Unknown)
    assert seen.of(Told.QUERY)[-1].before == "held"


# Statements of which nobody knows.


@NETWORK_ONLY
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("kept", [True, False])
async def test_a_write_whose_answer_is_lost_is_of_unknown_fate(
    by_proxy: Database, proxy: Proxy, server: OnServer, held: bool, kept: bool
) -> None:
    insert = "INSERT INTO users (name) VALUES ('lost')"

    def go_wrong() -> None:
        # asyncpg has the statement prepared by then, and asyncmy too.
        if kept:
            proxy.lose_answer_to(b"")
        else:
            proxy.cut_at(b"")

    await by_proxy.execute(insert)
    await by_proxy.execute("DELETE FROM users")
    with pytest.raises(Unknown) as caught:
        if held:
            async with by_proxy.connection():
                go_wrong()
                await by_proxy.execute(insert)
        else:
            go_wrong()
            await by_proxy.execute(insert)
    assert "whether it was done is not known" in notes_of(caught.value)
    assert users(server) == kept
    await is_whole(by_proxy)


@NETWORK_ONLY
async def test_a_read_whose_answer_is_lost_is_run_again(by_proxy: Database, proxy: Proxy) -> None:
    before = await count(by_proxy)
    proxy.lose_answer_to(b"")
    assert await count(by_proxy) == before
    await is_whole(by_proxy)


@NETWORK_ONLY
async def test_a_read_on_a_held_connection_whose_answer_is_lost_can_be_run_again(
    by_proxy: Database, proxy: Proxy
) -> None:
    await count(by_proxy)
    with pytest.raises(Failure) as caught:
        async with by_proxy.connection():
            proxy.lose_answer_to(b"")
            await count(by_proxy)
    assert "not known" not in notes_of(caught.value)
    await is_whole(by_proxy)


@POSTGRESQL_ONLY
@pytest.mark.parametrize(
    "sql",
    [
        "WITH added AS (INSERT INTO users (name) VALUES ('Ada') RETURNING id) SELECT * FROM added",
        "SELECT add_user()",
        "SELECT name INTO others FROM users",
    ],
)
async def test_a_select_that_may_write_is_of_unknown_fate(
    by_proxy: Database, proxy: Proxy, server: OnServer, sql: str
) -> None:
    server.rows(
        "CREATE FUNCTION add_user() RETURNS void LANGUAGE sql AS "
        "$$ INSERT INTO users (name) VALUES ('Ada') $$"
    )
    await by_proxy.fetch_all(sql)  # and it is prepared from now on
    await by_proxy.execute("DELETE FROM users")
    await by_proxy.execute("DROP TABLE IF EXISTS others")
    await is_whole(by_proxy)
    proxy.lose_answer_to(b"")
    with pytest.raises(Unknown):
        await by_proxy.fetch_all(sql)
    await is_whole(by_proxy)


@NETWORK_ONLY
async def test_a_statement_in_a_transaction_that_broke_is_undone(
    by_proxy: Database, proxy: Proxy, server: OnServer
) -> None:
    with pytest.raises(Failure) as caught:
        async with by_proxy.transaction():
            await by_proxy.execute(INSERT, {"name": "Ada"})
            proxy.lose_answer_to(b"")
            await by_proxy.execute(INSERT, {"name": "Grace"})
    assert "the server rolls back what was not committed" in notes_of(caught.value)
    assert says_how_to_run_it_again(caught.value)
    await until(lambda: users(server) == 0)
    await is_whole(by_proxy)


# Servers that take no writes, or nobody.


@POSTGRESQL_ONLY
async def test_a_server_that_takes_no_writes_is_of_no_use_unless_that_was_asked_for(
    kind: Kind, url: str, server: OnServer
) -> None:
    server.rows(USERS.format(kind.key))
    server.rows("ALTER DATABASE behaviour SET default_transaction_read_only = on")
    try:
        async with Database(url, max_size=1) as database:
            session = "SELECT pg_backend_pid()"
            before = await database.fetch_val(session)
            with pytest.raises(Failure) as single:
                await database.execute(INSERT, {"name": "Ada"})
            assert before != (between := await database.fetch_val(session))
            with pytest.raises(Failure) as whole:
                async with database.transaction():
                    await database.execute(INSERT, {"name": "Ada"})
            assert between != (after := await database.fetch_val(session))
            for caught in (single, whole):
                assert "takes no writes" in notes_of(caught.value)
                assert "Nothing was written" in notes_of(caught.value)
            with pytest.raises(exceptions.DriverError) as own:
                async with database.transaction(readonly=True):
                    await database.execute(INSERT, {"name": "Ada"})
            assert not isinstance(own.value, Failure)
            assert after == await database.fetch_val(session)
            await is_whole(database)
    finally:
        server.rows("ALTER DATABASE behaviour RESET default_transaction_read_only")


@NETWORK_ONLY
async def test_a_server_that_is_not_there_is_a_failure_of_the_connection(
    by_proxy: Database, proxy: Proxy
) -> None:
    proxy.refuse()
    proxy.cut()
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Failure):
            async with by_proxy.transaction():
                pytest.fail("it began")
    proxy.accept()

    async def add() -> None:
        await by_proxy.execute(INSERT, {"name": "Ada"})

    await by_proxy.run_in_transaction(add)
    assert await count(by_proxy) == 1


@NETWORK_ONLY
async def test_a_session_that_ended_in_a_block_is_followed_by_another_attempt(
    kind: Network, database: Database, server: OnServer
) -> None:
    calls = 0

    @database.transaction(retry=True)
    async def add() -> None:
        nonlocal calls
        calls += 1
        await database.execute(INSERT, {"name": f"Ada {calls}"})
        if calls == 1:
            session = int(await database.fetch_val(kind.session))
            server.end_session(session)
            await until_gone(server, session)
        await database.execute(INSERT, {"name": f"Grace {calls}"})

    await add()
    assert calls == 2
    assert {row.name for row in await database.fetch_all("SELECT name FROM users")} == {
        "Ada 2",
        "Grace 2",
    }


# What a driver's errors are, where no server here can be made to raise them.


def of_pymysql(code: int, text: str) -> BaseException:
    error: BaseException = pymysql.err.OperationalError(code, text)
    return error


def of_asyncmy(code: int, text: str) -> BaseException:
    error: BaseException = asyncmy.errors.OperationalError(code, text)
    return error


@on([ASYNCMY, AIOMYSQL])
@pytest.mark.parametrize(
    ("code", "text", "ours", "at_commit"),
    [
        (1213, "Deadlock found when trying to get lock; try restarting", Conflict, Conflict),
        (1020, "Record has changed since last read in table 'users'", Conflict, Conflict),
        (3101, "Plugin instructed the server to rollback", Conflict, Conflict),
        (1205, "Lock wait timeout exceeded", Conflict, Conflict),
        (1290, "running with the --read-only option", Failure, Failure),
        (1836, "Running in read-only mode", Failure, Failure),
        (1047, "WSREP has not yet prepared node for application use", Failure, Failure),
        (1053, "Server shutdown in progress", Failure, Unknown),
        (1927, "Connection was killed", Failure, Unknown),
        (2013, "Lost connection to MySQL server during query", Failure, Unknown),
        (2003, "Can't connect to MySQL server", Failure, Unknown),
        (1180, "Got error 6 during COMMIT", exceptions.OperationalError, Unknown),
        (1040, "Too many connections", exceptions.OperationalError, exceptions.OperationalError),
    ],
)
async def test_the_codes_of_mysql(
    kind: Kind, database: Database, code: int, text: str, ours: type, at_commit: type
) -> None:
    driver: Any = database._engine._backend._driver  # type: ignore[union-attr]
    make = of_asyncmy if kind.driver == "asyncmy" else of_pymysql
    for lost, expected in ((Failure, ours), (Unknown, at_commit)):
        adopted = driver.adopted(make(code, text), lost)
        assert _ours(adopted) is expected
        assert isinstance(adopted, type(make(code, text)))
        assert adopted.args == (code, text)


async def test_other_options_of_mysql_that_prevent_a_statement_are_no_failure() -> None:
    pytest.importorskip("aiomysql")
    driver: Any = _driver("mysql+aiomysql://localhost/app")
    error = of_pymysql(1290, "running with the --secure-file-priv option")
    assert _ours(driver.adopted(error)) is exceptions.OperationalError


@on([ASYNCPG, PSYCOPG])
@pytest.mark.parametrize(
    ("state", "ours", "at_commit"),
    [
        ("40001", Conflict, Conflict),
        ("40P01", Conflict, Conflict),
        ("57P01", Failure, Unknown),
        ("57P02", Failure, Unknown),
        ("57P03", Failure, Unknown),
        ("08006", Failure, Unknown),
        ("25006", Failure, Failure),
        ("53300", exceptions.OperationalError, exceptions.OperationalError),
        ("57014", exceptions.OperationalError, exceptions.OperationalError),
        ("23505", exceptions.IntegrityError, exceptions.IntegrityError),
    ],
)
async def test_the_states_of_postgresql(
    kind: Kind, state: str, ours: type, at_commit: type
) -> None:
    driver = _driver(f"{kind.scheme}://localhost/app")
    for lost, expected in ((Failure, ours), (Unknown, at_commit)):
        error: BaseException
        if kind.driver == "asyncpg":
            error = asyncpg.PostgresError("so it is")
            vars(error)["sqlstate"] = state
        else:
            error = psycopg.errors.lookup(state)("so it is")
        assert _ours(driver.adopted(error, lost)) is expected


def _driver(url: str) -> Any:
    database = Database(url)
    backend: Any = database._engine._load()(database.url)
    return backend._driver


def _ours(error: BaseException) -> type:
    """The class in our tree."""
    return next(each for each in type(error).__mro__[1:] if each.__module__ == exceptions.__name__)
