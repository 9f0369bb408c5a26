"""Where the tests' databases are: a database to each test, empty, and a look at it from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pymysql

from databases import Database, DatabaseURL
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import PATIENCE


async def until(true: Callable[[], object]) -> None:
    """Wait for what nothing else tells."""
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


class Place:
    """Where a database is.

    Args:
        url: how it is reached, whatever the driver.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def is_busy(self, database: Database, words: str = "") -> bool:
        """Whether a statement is being run, on a server one with some words in it."""
        raise NotImplementedError

    def clear(self) -> None:
        """Make it as good as new."""


class OnSQLite(Place):
    """A file, or memory."""

    def is_busy(self, database: Database, words: str = "") -> bool:
        backend: Any = database._engine._backend
        threads = [backend._writer, *backend._lent]
        if backend._readers is not None:
            threads += backend._readers.threads()
        return any(thread.busy_for for thread in threads)


class OnServer(Place):
    """A database on a server, and a connection to it of the tests' own.

    What needs the name of this database finds it in ``name``.
    """

    name = "behaviour"
    connection: Any
    sessions_sql: str
    clear_sql: tuple[str, ...]
    end_sql: str

    def rows(self, sql: str) -> list[Any]:
        """Run a statement from outside."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def sessions(self) -> list[Any]:
        """The sessions of others: their numbers, what they run, whether they run it still."""
        return self.rows(self.sessions_sql)

    def running(self) -> list[str]:
        """The statements that are being run."""
        return [sql for _, sql, runs in self.sessions() if runs]

    def is_busy(self, database: Database, words: str = "") -> bool:
        return any(words in sql for sql in self.running())

    def end_session(self, number: int) -> None:
        """Have the server end a session."""
        self.rows(self.end_sql.format(number))

    def clear(self) -> None:
        """Make it as good as new.

        Raises:
            AssertionError: where the test before has left a session open.
        """
        deadline = time.monotonic() + PATIENCE
        while (left := self.sessions()) and time.monotonic() < deadline:
            time.sleep(0.002)
        for number, _, _ in left:
            self.end_session(number)
        for sql in self.clear_sql:
            self.rows(sql)
        assert not left, f"sessions are still open: {left}"

    def close(self) -> None:
        self.connection.close()


class OnPostgreSQL(OnServer):
    """A database on PostgreSQL."""

    sessions_sql = """SELECT pid, query, state <> 'idle' FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'"""
    end_sql = "SELECT pg_terminate_backend({})"
    clear_sql = ("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")

    def __init__(self, server: PostgreSQL) -> None:
        super().__init__(server.create_database(self.name))
        self.connection = psycopg.connect(self.url, autocommit=True)


class OnMariaDB(OnServer):
    """A database on MariaDB."""

    sessions_sql = """SELECT id, coalesce(info, ''), info IS NOT NULL
        FROM information_schema.processlist WHERE db = database() AND id <> connection_id()"""
    end_sql = "KILL {}"
    clear_sql = ("DROP DATABASE behaviour", "CREATE DATABASE behaviour", "USE behaviour")

    def __init__(self, server: MariaDB) -> None:
        super().__init__(server.create_database(self.name))
        self.connection = pymysql.connect(
            host="127.0.0.1", port=server.port, user="root", database=self.name, autocommit=True
        )


def of_driver(url: str, scheme: str) -> str:
    """The URL of the same database by way of another driver."""
    return str(DatabaseURL(url).replace(scheme=scheme))
