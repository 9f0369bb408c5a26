"""What became of a statement or a transaction: the class of its error says so."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator

import pytest

from databases import Database, exceptions
from databases.backends import network_connection
from databases.steps import Kind as Told
from tests.library.kinds import (
    ASYNCPG,
    NETWORK_ONLY,
    POSTGRESQL_ONLY,
    Kind,
    Network,
    on,
)
from tests.library.places import OnServer, until
from tests.library.pools import a_session, is_whole, notes_of, pool_of, until_gone
from tests.library.seen import Seen
from tests.library.users import INSERT, USERS, count
from tests.servers.proxy import Proxy

AT_MOST = 30
"""Seconds, against a test that hangs."""

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
