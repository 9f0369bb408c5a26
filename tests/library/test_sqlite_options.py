"""The options of a SQLite database, in its URL or as keywords."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import pytest

from databases import Database, exceptions

PRAGMAS: dict[str, list[tuple[str, Any]]] = {
    "journal_mode": [("", "wal"), ("?journal_mode=delete", "delete"), ("?journal_mode=WAL", "wal")],
    "synchronous": [("", 2), ("?synchronous=normal", 1), ("?synchronous=extra", 3)],
    "foreign_keys": [("", 0), ("?foreign_keys=on", 1), ("?foreign_keys=1", 1)],
    "cache_size": [("", -2000), ("?cache_size=-8000", -8000)],
    "mmap_size": [("", 0), ("?mmap_size=1048576", 1048576)],
}
CASES = [(name, query, value) for name, cases in PRAGMAS.items() for query, value in cases]


@pytest.mark.parametrize(("name", "query", "value"), CASES)
async def test_a_pragma_is_set_on_every_connection(
    file_url: str, name: str, query: str, value: Any
) -> None:
    async with Database(f"{file_url}{query}") as database:
        read = f"SELECT {name} FROM pragma_{name}"
        if name == "mmap_size":
            read = f"PRAGMA {name}"
        assert await database.fetch_val(read) == value
        async with database.transaction():
            assert await database.fetch_val(read) == value
        async with database.connection() as connection:
            assert await connection.fetch_val(read) == value
        backend = database._engine._backend
        for own in (backend._writer._connection, backend._lane._connection):  # type: ignore[union-attr]
            assert own.execute(f"PRAGMA {name}").fetchone()[0] == value


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("journal=wal", "did you mean 'journal_mode'"),
        ("sychronous=full", "did you mean 'synchronous'"),
        ("colour=red", "cache_size, cached_statements, detect_types, foreign_keys, immutable"),
        ("journal_mode=off", "one of delete, memory, persist, truncate, wal"),
        ("journal_mode=wal; DROP TABLE users", "journal_mode is one of"),
        ("synchronous=2", "synchronous is one of extra, full, normal, off"),
        ("foreign_keys=maybe", "foreign_keys is one of off, on"),
        ("readers=0", "readers is a whole number from 1 to 64"),
        ("readers=1.5", "readers is a whole number from 1 to 64"),
        ("timeout=-1", "timeout is a number from 0 to"),
        ("timeout=soon", r"write for example sqlite:///./test.db\?timeout=30"),
        ("cache_size=8MB", "cache_size is a whole number.*KiB where it is negative"),
        ("mmap_size=1e9", "mmap_size is a whole number.*bytes"),
    ],
)
async def test_what_it_cannot_take_is_told_with_what_it_can(
    file_url: str, query: str, message: str
) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match=message):
        await Database(f"{file_url}?{query}").connect()


async def test_no_more_readers_than_asked_for(file_url: str) -> None:
    slow = """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
    SELECT max(i) FROM n"""
    async with Database(file_url, readers=2) as database:
        reads = asyncio.gather(*[database.fetch_val(slow) for _ in range(6)])
        most = 0
        while not reads.done():
            most = max(most, len(database._engine._backend._readers.threads()))  # type: ignore[union-attr]
            await asyncio.sleep(0.01)
        assert await reads == [300_000] * 6
        assert most <= 2


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "memory"])
async def test_it_works_without_wal(file_url: str, mode: str) -> None:
    async with Database(file_url, journal_mode=mode) as database:
        await database.execute("CREATE TABLE counter (value INTEGER)")
        await database.execute("INSERT INTO counter VALUES (0)")

        async def count() -> None:
            async with database.transaction():
                value = await database.fetch_val("SELECT value FROM counter")
                await database.execute("UPDATE counter SET value = :value", {"value": value + 1})

        async def add() -> None:
            await database.execute("UPDATE counter SET value = value + 1")

        async def read() -> None:
            assert await database.fetch_val("SELECT value FROM counter") >= 0

        await asyncio.gather(*[work() for work in (count, add, read) for _ in range(30)])
        assert await database.fetch_val("SELECT value FROM counter") == 60


async def test_a_file_can_be_opened_to_read_only(file_url: str) -> None:
    async with Database(file_url) as database:
        await database.execute("CREATE TABLE a (x)")
        await database.execute("INSERT INTO a VALUES (1)")
    async with Database(f"{file_url}?mode=ro") as database:
        assert await database.fetch_val("SELECT x FROM a") == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly") as caught:
            await database.execute("INSERT INTO a VALUES (2)")
        assert "may not write to it" in "\n".join(caught.value.__notes__)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            async with database.transaction():
                await database.execute("INSERT INTO a VALUES (3)")
        async with database.transaction(readonly=True):
            assert await database.fetch_val("SELECT x FROM a") == 1
