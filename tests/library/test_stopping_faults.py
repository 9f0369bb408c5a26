"""disconnect() in bad moments: a COMMIT under way, a server that does not answer, a storm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import pytest

from databases import Database, exceptions
from tests.library.kinds import (
    CONCURRENT,
    MARIADB_ONLY,
    ON_MARIADB,
    ON_POSTGRESQL,
    POSTGRESQL_ONLY,
    Kind,
    Network,
)
from tests.library.places import OnServer, of_driver, until
from tests.library.pools import sleeping
from tests.library.users import INSERT, USERS, count
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.servers.server import Server

SLOW_COMMIT = (
    """CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION slow()""",
)


async def transact(database: Database, name: str = "Ada") -> None:
    async with database.transaction():
        await database.execute(INSERT, {"name": name})


@POSTGRESQL_ONLY
async def test_a_commit_that_the_server_has_is_not_cut_short(
    url: str, server: OnServer, database: Database
) -> None:
    for sql in SLOW_COMMIT:
        server.rows(sql)
    other = Database(url)
    await other.connect()
    task = asyncio.create_task(transact(other))
    await until(lambda: "COMMIT" in server.running())
    await other.disconnect(grace=0)
    await task
    assert await count(database) == 1


@MARIADB_ONLY
async def test_a_commit_that_mariadb_has_is_not_cut_short(
    url: str, server: OnServer, database: Database
) -> None:
    other = Database(url)
    await other.connect()
    server.rows("BACKUP STAGE START")
    server.rows("BACKUP STAGE BLOCK_COMMIT")
    task = asyncio.create_task(transact(other))
    await until(lambda: "COMMIT" in server.running())
    disconnecting = asyncio.create_task(other.disconnect(grace=0))
    await asyncio.sleep(0.3)
    server.rows("BACKUP STAGE END")
    await disconnecting
    await task
    assert await count(database) == 1


async def test_a_commit_that_another_process_keeps_out_is_given_up(file_url: str) -> None:
    async with Database(file_url, journal_mode="delete") as database:
        await database.execute(USERS.format("INTEGER PRIMARY KEY"))
        reader = sqlite3.connect(file_url.removeprefix("sqlite:///"), isolation_level=None)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM users").fetchall()
        task = asyncio.create_task(transact(database))
        await asyncio.sleep(0.1)
        assert not task.done()
        async with asyncio.timeout(20):
            await database.disconnect(grace=0.1)
            with pytest.raises(exceptions.NotConnectedError, match="disconnected at File"):
                await task
        reader.close()
        await database.connect()
        assert await count(database) == 0


# A server that does not answer.


@contextlib.contextmanager
def frozen(server: Server) -> Iterator[None]:
    """Neither it nor a process of its own does anything."""
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(server.pid)], capture_output=True)
    processes = [server.pid, *map(int, listed.stdout.split())]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


async def hangs_nobody(kind: Network, server: PostgreSQL | MariaDB) -> None:
    database = Database(of_driver(server.url, kind.scheme), min_size=2)
    await database.connect()
    endless = f"SELECT {sleeping(kind, 1000)}"
    begun = asyncio.Barrier(4)

    async def single() -> None:
        await begun.wait()
        await database.fetch_val(endless)

    async def in_transaction() -> None:
        async with database.transaction():
            await database.fetch_val("SELECT 1")
            await begun.wait()
            await database.fetch_val(endless)

    async def idle() -> None:
        async with database.transaction():
            await database.fetch_val("SELECT 1")
            await begun.wait()
            await asyncio.sleep(1)
            await database.fetch_val("SELECT 1")

    tasks = [asyncio.create_task(work()) for work in (single, in_transaction, idle)]
    await begun.wait()
    await asyncio.sleep(0.1)
    with frozen(server):
        tasks.append(asyncio.ensure_future(database.fetch_val("SELECT 1")))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(15):
            await database.disconnect(grace=0.2)
            for error in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(error, exceptions.NotConnectedError), error


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """To keep the tests short."""
    for name in ("leaving.CLOSING", "leaving.MENDING", "mysql.driver._KILLING"):
        monkeypatch.setattr(f"databases.backends.{name}", 0.5)


@pytest.mark.usefixtures("impatient")
async def test_a_postgresql_that_does_not_answer_holds_nobody_up(
    own_postgresql: PostgreSQL,
) -> None:
    for kind in ON_POSTGRESQL:
        await hangs_nobody(kind, own_postgresql)


@pytest.mark.usefixtures("impatient")
async def test_a_mariadb_that_does_not_answer_holds_nobody_up(own_mariadb: MariaDB) -> None:
    for kind in ON_MARIADB:
        await hangs_nobody(kind, own_mariadb)


# A storm.


@CONCURRENT
async def test_in_a_storm_what_was_answered_is_kept_and_what_was_refused_is_not(
    kind: Kind, url: str, database: Database
) -> None:
    """Whenever the end comes, each task knows the truth about what it wrote."""
    dice = random.Random(7)
    kept: set[str] = set()
    refused: set[str] = set()

    async def write(own: Database, task: int) -> None:
        for number in range(1000):
            name = f"{task}.{number}"
            try:
                if number % 3 == 0:
                    await own.execute(INSERT, {"name": name})
                elif number % 3 == 1:
                    await transact(own, name)
                else:
                    async with own.connection() as connection:
                        await connection.fetch_val("SELECT 1")
                        await connection.execute(INSERT, {"name": name})
            except exceptions.CommitUnknown:
                return
            except exceptions.NotConnectedError:
                refused.add(name)
                return
            kept.add(name)

    for round_ in range(4):
        own = Database(url)
        await own.connect()
        tasks = [asyncio.create_task(write(own, 100 * round_ + task)) for task in range(20)]
        await asyncio.sleep(dice.uniform(0, 0.1))
        async with asyncio.timeout(20):
            await own.disconnect(grace=dice.choice([0, 0, 0.001, 5]))
            await asyncio.gather(*tasks)
    found = {row.name for row in await database.fetch_all("SELECT name FROM users")}
    assert kept <= found
    assert not refused & found
    assert refused


SCRIPT = """
import asyncio, sys, databases
async def transact(database):
    async with database.transaction():
        await database.fetch_val("SELECT 1")
        await asyncio.sleep(3600)
async def main():
    database = databases.Database(sys.argv[1])
    await database.connect()
    transaction = asyncio.create_task(transact(database))
    await asyncio.sleep(0.1)
    disconnecting = asyncio.create_task(database.disconnect(grace=3600))
    await asyncio.sleep(0.1)
    assert not disconnecting.done()
    print("done")
asyncio.run(main())
"""


CLOSED_AT_ONCE = """
import asyncio, sys, databases
async def hold(database):
    async with database.connection() as connection:
        await connection.fetch_val("SELECT 1")
        await asyncio.sleep(3600)
async def disconnect(database):
    await database.disconnect(grace=3600)
async def use(database):
    await database.disconnect()
    await database.connect()
    await database.fetch_val("SELECT 1")
    await database.disconnect()
database = databases.Database(sys.argv[1])
loop = asyncio.new_event_loop()
loop.run_until_complete(database.connect())
tasks = [loop.create_task(work(database)) for work in (hold, disconnect)]
loop.run_until_complete(asyncio.sleep(0.1))
loop.close()  # without cancelling its tasks, as asyncio.run() does
asyncio.run(asyncio.wait_for(use(database), 10))
print("done")
"""


def run(script: str, url: str) -> tuple[int, str, str]:
    ended = subprocess.run(
        [sys.executable, "-c", script, url],
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout.strip(), ended.stderr


def test_a_program_may_end_while_it_disconnects(url: str) -> None:
    assert run(SCRIPT, url) == (0, "done", "")


def test_an_event_loop_may_be_closed_in_the_middle_of_disconnecting(url: str) -> None:
    code, said, errors = run(CLOSED_AT_ONCE, url)
    assert (code, said) == (0, "done"), errors
