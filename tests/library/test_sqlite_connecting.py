"""Connecting to SQLite: files, memory, threads, and what cannot be opened."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from databases import Database, DatabaseURL, exceptions
from tests.library.kinds import SQLITE_ONLY
from tests.library.places import until

COUNT = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
SELECT i FROM n"""


def test_a_connected_sqlite_database_goes_on_in_another_event_loop(file_url: str) -> None:
    database = Database(file_url)
    asyncio.run(database.connect())

    async def use() -> None:
        await database.execute("CREATE TABLE IF NOT EXISTS a (x)")
        await asyncio.gather(*[database.execute("INSERT INTO a VALUES (1)") for _ in range(9)])
        await database.disconnect()

    asyncio.run(use())


async def test_url_and_options_are_attributes(file_url: str) -> None:
    database = Database(DatabaseURL(file_url), timeout=3)
    assert database.url == file_url
    assert database.options == {"timeout": 3}
    assert repr(database) == f"<Database {file_url} (not connected)>"


async def test_a_misspelt_option_lists_the_known_ones(file_url: str) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="did you mean 'timeout'"):
        await Database(f"{file_url}?timeuot=3").connect()
    with pytest.raises(exceptions.UnknownOptionError, match="It has cache,"):
        await Database(file_url, colour="red").connect()
    with pytest.raises(exceptions.UnknownOptionError, match="a number from 0 to 86400, not 'soon'"):
        await Database(f"{file_url}?timeout=soon").connect()


async def test_keywords_win_over_the_options_of_the_url(file_url: str) -> None:
    async with Database(f"{file_url}?foreign_keys=nonsense", foreign_keys=True) as database:
        assert await database.fetch_val("PRAGMA foreign_keys") == 1


async def test_options_that_databases_0_9_passed_on_are_taken(file_url: str) -> None:
    options: dict[str, Any] = {
        "check_same_thread": False,
        "uri": True,
        "cached_statements": 5,
        "detect_types": 1,
    }
    async with Database(file_url, **options) as database:
        await database.execute("CREATE TABLE a (day DATE)")
        await database.execute("INSERT INTO a VALUES ('2026-11-22')")


async def test_sqlites_own_uri_parameters_are_taken(file_url: str) -> None:
    with pytest.raises(exceptions.OperationalError):
        await Database(f"{file_url}?mode=rw").connect()
    async with Database(file_url) as database:
        await database.execute("CREATE TABLE a (x)")
    async with Database(f"{file_url}?mode=ro") as database:
        assert await database.fetch_all("SELECT * FROM a") == []
        with pytest.raises(exceptions.OperationalError, match="readonly"):
            await database.execute("INSERT INTO a VALUES (1)")


async def test_both_sqlite_schemes_work(file_url: str) -> None:
    async with Database(file_url.replace("sqlite:", "sqlite+aiosqlite:")) as database:
        assert await database.fetch_val("SELECT 1") == 1


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:"])
async def test_a_database_in_memory_lives_from_connect_to_disconnect(url: str) -> None:
    database = Database(url)
    for _ in range(2):
        await database.connect()
        await database.execute("CREATE TABLE a (x)")
        await asyncio.gather(*[database.execute("INSERT INTO a VALUES (1)") for _ in range(50)])
        assert await database.fetch_val("SELECT count(*) FROM a") == 50
        await database.disconnect()


async def test_a_named_database_in_memory_is_shared(tmp_path: Path) -> None:
    url = "sqlite:///file:shared?mode=memory&cache=shared"
    async with Database(url) as one:
        await one.execute("CREATE TABLE a (x)")
        async with Database(url) as other:
            await other.execute("INSERT INTO a VALUES (1)")
        assert await one.fetch_val("SELECT count(*) FROM a") == 1
    async with Database(url) as later:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await later.fetch_all("SELECT * FROM a")


async def test_a_relative_path_stays_where_it_was_at_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    async with Database("sqlite:///./test.db") as database:
        await database.execute("CREATE TABLE a (x)")
        monkeypatch.chdir(elsewhere)
        async with database.transaction():
            await database.execute("INSERT INTO a VALUES (1)")
    assert (tmp_path / "test.db").exists()
    assert not (elsewhere / "test.db").exists()


async def test_names_of_files_may_have_any_character(tmp_path: Path) -> None:
    url = DatabaseURL("sqlite:///x").replace(database=f"{tmp_path}/a b?c#d%20é.db")
    async with Database(url) as database:
        await database.execute("CREATE TABLE a (x)")
    assert (tmp_path / "a b?c#d%20é.db").exists()


async def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(exceptions.OperationalError) as missing:
        await Database(f"sqlite:///{tmp_path}/none/test.db").connect()
    assert isinstance(missing.value, sqlite3.OperationalError)
    notes = "\n".join(missing.value.__notes__)
    assert f"mkdir -p {tmp_path}/none" in notes
    assert "in test_what_cannot_be_opened_says_why" in notes
    with pytest.raises(exceptions.OperationalError, match="unable to open") as directory:
        async with Database(f"sqlite:///{tmp_path}"):
            pytest.fail("it was opened")
    assert "in test_what_cannot_be_opened_says_why" in "\n".join(directory.value.__notes__)
    (tmp_path / "text.db").write_text("this is no database" * 100)
    database = Database(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(exceptions.DriverError, match="file is not a database") as no_database:
        await database.connect()
    assert isinstance(no_database.value, sqlite3.DatabaseError)
    assert "text.db" in "\n".join(no_database.value.__notes__)
    assert not database.is_connected
    (tmp_path / "text.db").unlink()
    await database.connect()
    await database.disconnect()


async def test_a_sqlite_url_with_a_host_is_told_the_slash_it_lacks() -> None:
    with pytest.raises(exceptions.InvalidURLError, match=r"sqlite:///\./test\.db"):
        await Database("sqlite://test.db").connect()


async def test_a_cancelled_disconnect_still_ends_every_thread(file_url: str) -> None:
    database = Database(file_url)
    await database.connect()
    before = [t for t in threading.enumerate() if t.name.startswith("databases-")]
    working = asyncio.create_task(database.fetch_val(f"SELECT count(*) FROM ({COUNT})"))
    await asyncio.sleep(0.01)
    disconnecting = asyncio.create_task(database.disconnect())
    await asyncio.sleep(0)
    disconnecting.cancel()
    await asyncio.wait([working, disconnecting])
    await database.disconnect()
    for thread in before:
        await asyncio.to_thread(thread.join, 5)
        assert not thread.is_alive()


async def test_a_clean_disconnect_leaves_one_file(file_url: str, tmp_path: Path) -> None:
    async with Database(file_url) as database:
        await database.execute("CREATE TABLE a (x)")
        async with database.transaction():
            await database.execute("INSERT INTO a VALUES (1)")
    assert os.listdir(tmp_path) == ["test.db"]


@SQLITE_ONLY
async def test_disconnecting_tells_those_who_wait_for_their_turn(url: str) -> None:
    database = Database(url)
    await database.connect()
    await database.execute("CREATE TABLE a (x)")
    go = asyncio.Event()

    async def transact() -> None:
        async with database.transaction():
            await go.wait()

    async def write() -> None:
        await database.execute("INSERT INTO a VALUES (1)")

    tasks = [asyncio.create_task(work()) for work in (transact, transact, write, transact, write)]
    await asyncio.sleep(0.02)
    await database.disconnect(grace=0)
    go.set()
    async with asyncio.timeout(20):
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {exceptions.NotConnectedError}
    await until(lambda: not any(t.name.startswith("databases-") for t in threading.enumerate()))


async def test_connecting_again_leaves_nobody_waiting(file_url: str) -> None:
    slow = """INSERT INTO a WITH RECURSIVE n(i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT max(i) FROM n"""
    database = Database(file_url)
    await database.connect()
    await database.execute("CREATE TABLE a (x)")
    writing = asyncio.ensure_future(database.execute(slow))
    await asyncio.sleep(0.01)

    async def transact() -> None:
        async with database.transaction():
            pass

    waiting = asyncio.create_task(transact())
    await asyncio.sleep(0.01)
    await database.disconnect()
    await database.connect()
    async with asyncio.timeout(20):
        await asyncio.gather(writing, waiting, return_exceptions=True)
        async with database.transaction():
            await database.execute("INSERT INTO a VALUES (1)")
    await database.disconnect()


@SQLITE_ONLY
async def test_one_that_is_dropped_without_disconnect_ends_its_threads(url: str) -> None:
    async def use() -> None:
        database = Database(url)
        await database.connect()
        for _ in range(5):
            await database.fetch_val("SELECT 1")
        async with database.transaction():
            await database.fetch_val("SELECT 1")

    before = threading.active_count()
    for _ in range(10):
        await use()
    await until(lambda: threading.active_count() <= before)


async def test_a_connection_that_breaks_hangs_nobody(file_database: Database) -> None:
    # What a user can do to the one connection of a database in memory, and a disk to any.
    file_database._engine._backend._writer._connection.close()  # type: ignore[union-attr]
    inserts = [file_database.execute("INSERT INTO users (name) VALUES (NULL)") for _ in range(9)]
    async with asyncio.timeout(20):
        results = await asyncio.gather(*inserts, return_exceptions=True)
        assert any(isinstance(result, exceptions.ProgrammingError) for result in results)
        assert await file_database.execute("INSERT INTO users (name) VALUES ('Ada')")


@pytest.mark.parametrize("moment", [0, 0.0005, 0.001, 0.002, 0.003])
async def test_a_connect_that_is_cancelled_leaves_nothing_open(
    file_url: str, moment: float
) -> None:
    database = Database(file_url)
    connecting = asyncio.ensure_future(database.connect())
    await asyncio.sleep(moment)
    connecting.cancel()
    await asyncio.wait([connecting])
    await database.disconnect()
    await until(lambda: not any(t.name.startswith("databases-") for t in threading.enumerate()))
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    await database.disconnect()
