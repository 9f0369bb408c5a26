"""What a transaction may be asked to be: isolated, read-only, deferrable."""

from __future__ import annotations

import asyncio
from typing import Any

import pymysql
import pytest

from databases import Database, exceptions
from tests.library.kinds import CONCURRENT, MARIADB_ONLY, NETWORK_ONLY, POSTGRESQL_ONLY, Kind
from tests.library.places import OnServer
from tests.library.users import INSERT, USERS, count, writes_at_once

LEVELS = ["read_uncommitted", "read_committed", "repeatable_read", "serializable"]


async def test_a_readonly_transaction_cannot_write(database: Database) -> None:
    async with database.transaction(readonly=True):
        assert await count(database) == 0
        with pytest.raises(exceptions.DriverError, match=r"(?i)read.?only"):
            async with database.transaction():
                await database.execute(INSERT, {"name": "Ada"})
    assert await count(database) == 0
    await writes_at_once(database)


@CONCURRENT
async def test_an_isolated_transaction_reads_a_snapshot(kind: Kind, database: Database) -> None:
    async with database.transaction(isolation=kind.snapshot, readonly=True):
        assert await count(database) == 0
        await asyncio.create_task(_write(database))
        assert await count(database) == 0
    assert await count(database) == 1


async def _write(database: Database) -> None:
    await database.execute(INSERT, {"name": "Ada"})


@POSTGRESQL_ONLY
@pytest.mark.parametrize("level", LEVELS)
async def test_the_isolation_level_reaches_postgresql_and_goes_with_the_transaction(
    kind: Kind, url: str, level: str
) -> None:
    words = level.replace("_", " ")
    async with Database(url, **kind.alone) as database:
        for asked in (level, words, words.upper()):
            async with database.transaction(isolation=asked):
                assert await database.fetch_val("SHOW transaction_isolation") == words
            async with database.transaction():
                assert await database.fetch_val("SHOW transaction_isolation") == "read committed"


@MARIADB_ONLY
@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("read_uncommitted", [0, 1, 1]),
        ("read_committed", [0, 0, 1]),
        ("repeatable read", [0, 0, 0]),
        (None, [0, 0, 0]),
        ("SERIALIZABLE", [0, "locked"]),
    ],
)
async def test_the_isolation_level_reaches_mariadb_and_goes_with_the_transaction(
    kind: Kind, url: str, server: OnServer, level: str | None, seen: list[object]
) -> None:
    server.rows("SET innodb_lock_wait_timeout = 0")
    async with Database(url, **kind.alone) as database:
        await database.execute(USERS.format(kind.key))
        for isolation, expected in ((level, seen), (None, [0, 0, 0])):
            async with database.transaction(isolation=isolation):
                found: list[object] = [await count(database)]
                try:
                    for sql in ("BEGIN", "INSERT INTO users (id) VALUES (1)", "COMMIT"):
                        server.rows(sql)
                        found.append(await count(database))
                except pymysql.err.OperationalError:
                    server.rows("ROLLBACK")
                    found = [found[0], "locked"]
                else:
                    found.pop(1)
            assert found == expected
            await database.execute("DELETE FROM users")


@POSTGRESQL_ONLY
async def test_readonly_and_deferrable_reach_postgresql(database: Database) -> None:
    options: dict[str, Any] = {"isolation": "serializable", "readonly": True, "deferrable": True}
    show = ["transaction_isolation", "transaction_read_only", "transaction_deferrable"]
    async with database.transaction(**options):
        assert [await database.fetch_val(f"SHOW {name}") for name in show] == [
            "serializable",
            "on",
            "on",
        ]
    async with database.transaction():
        assert [await database.fetch_val(f"SHOW {name}") for name in show] == [
            "read committed",
            "off",
            "off",
        ]


@NETWORK_ONLY
async def test_a_wrong_isolation_level_names_the_right_ones(database: Database) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="no isolation level 'snapshot'") as e:
        await database.transaction(isolation="snapshot")
    for level in LEVELS:
        assert repr(level) in str(e.value)
