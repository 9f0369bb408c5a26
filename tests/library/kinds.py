"""The databases that the tests run on, and all in which they differ to a test."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

import aiomysql
import asyncmy
import asyncmy.errors
import asyncpg
import psycopg
import pymysql.err
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import CreateEnumType
from sqlalchemy.schema import CreateTable

from databases import Database, exceptions
from tests.library.places import until


class Kind:
    """A database by way of one driver.

    Args:
        name: in the ids of tests.
        scheme: of its URLs.
        driver: the module, and the extra of this package.
        unique: the driver's error for what must be unique and is not.
        connection: the driver's connection.
    """

    key: str
    """The type of a primary key that is counted up."""
    missing_table: type[exceptions.DriverError]
    """The error for a table that is not there, and for SQL that cannot be read."""
    alone: dict[str, Any]
    """The options for a single connection."""
    snapshot = "repeatable_read"
    """The isolation level at which others may write, and one does not see it."""
    strict: dict[str, Any] = {}  # noqa: RUF012
    """The options for foreign keys that are kept."""
    place: str
    """The fixture that makes a database of this kind."""
    sync: str
    """The scheme for SQLAlchemy's own engine."""
    wait: str
    """An expression that takes for ever, in which another statement can interrupt it."""

    def __init__(
        self,
        name: str,
        scheme: str,
        driver: str,
        unique: type[Exception],
        connection: type[Any],
    ) -> None:
        self.name = name
        self.scheme = scheme
        self.driver = driver
        self.unique = unique
        self.connection = connection

    def __str__(self) -> str:
        return self.name

    def answer(self, number: int) -> int | None:
        """What execute() answers to SQL that returns no rows: the new id, or the row count."""
        return number

    def series(self, most: int) -> str:
        """A query of many rows: i from 1 on."""
        raise NotImplementedError

    @property
    def endless(self) -> str:
        """A query that never ends."""
        return f"SELECT {self.wait}"

    @property
    def endless_write(self) -> str:
        """A statement that writes and never ends."""
        return f"INSERT INTO users (id) VALUES ((SELECT length({self.wait})))"

    def quote(self, name: str) -> str:
        """An identifier that may have any name."""
        return f'"{name}"'

    async def nothing_is_held(self, database: Database) -> None:
        """Wait until nobody holds a connection any more, nor the right to write."""
        raise NotImplementedError

    def ddl(self, tables: Iterable[sa.Table]) -> list[Any]:
        """What creates tables, as expressions."""
        return [CreateTable(table) for table in tables]


class SQLite(Kind):
    sync = "sqlite"
    snapshot = "serializable"
    strict = {"foreign_keys": True}  # noqa: RUF012
    alone: dict[str, Any] = {}  # noqa: RUF012
    key = "INTEGER PRIMARY KEY"
    missing_table = exceptions.OperationalError
    wait = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n)"

    def __init__(self, name: str) -> None:
        super().__init__(name, "sqlite", "sqlite3", sqlite3.IntegrityError, sqlite3.Connection)
        self.place = name

    def series(self, most: int) -> str:
        return f"""WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most})
        SELECT i FROM n"""

    async def nothing_is_held(self, database: Database) -> None:
        backend: Any = database._engine._backend
        await until(lambda: not backend._lent and backend._turns._holder is None)


class Network(Kind):
    alone = {"max_size": 1}  # noqa: RUF012
    missing_table = exceptions.ProgrammingError
    session: str
    """A query for the number of the session."""
    guarded: str
    """The fixture of a server that asks for passwords."""
    user_words: str
    """What gives the user ada a password."""
    no_user: str
    """What leaves nothing of her."""

    def text(self, value: str) -> str:
        """A text in SQL."""
        return "'" + value.replace("'", "''") + "'"

    async def nothing_is_held(self, database: Database) -> None:
        # As many as there may be can be had at once.
        size = database.options.get("max_size", 10)
        together = asyncio.Barrier(size)

        async def hold() -> None:
            async with database.connection():
                await together.wait()

        async with asyncio.timeout(20):
            await asyncio.gather(*[hold() for _ in range(size)])


class PostgreSQL(Network):
    key = "SERIAL PRIMARY KEY"
    place = "on_postgresql"
    sync = "postgresql+psycopg"
    wait = "cast(pg_sleep(1000) AS TEXT)"

    session = "SELECT pg_backend_pid()"
    guarded = "guarded_postgresql"
    user_words = "ALTER ROLE ada PASSWORD {}"
    no_user = "ALTER ROLE ada PASSWORD NULL"

    def answer(self, number: int) -> None:
        return None

    def series(self, most: int) -> str:
        return f"SELECT i FROM generate_series(1, {most}) AS i"

    def ddl(self, tables: Iterable[sa.Table]) -> list[Any]:
        tables = list(tables)
        enums = [_enum(column.type) for table in tables for column in table.columns]
        return [*(CreateEnumType(enum) for enum in enums if enum), *super().ddl(tables)]


def _enum(kept: Any) -> postgresql.ENUM | None:
    """The type that has to be created before a column can be of it."""
    # Within a decorator, or an array.
    within = getattr(kept, "impl_instance", None) or getattr(kept, "item_type", None)
    if within is not None:
        return _enum(within)
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made = kept.dialect_impl(dialect)
    return made if isinstance(made, postgresql.ENUM) else None


class MariaDB(Network):
    key = "INTEGER AUTO_INCREMENT PRIMARY KEY"
    place = "on_mariadb"
    sync = "mysql+pymysql"
    wait = "sleep(1000)"
    session = "SELECT connection_id()"
    guarded = "mariadb_server"
    user_words = "CREATE OR REPLACE USER ada IDENTIFIED BY {}; GRANT ALL ON test.* TO ada"
    no_user = "DROP USER IF EXISTS ada"

    def text(self, value: str) -> str:
        return super().text(value.replace("\\", "\\\\"))

    def series(self, most: int) -> str:
        return f"SELECT seq AS i FROM seq_1_to_{most}"

    def quote(self, name: str) -> str:
        return f"`{name}`"


FILE = SQLite("file")
MEMORY = SQLite("memory")
ASYNCPG = PostgreSQL(
    "asyncpg", "postgresql", "asyncpg", asyncpg.UniqueViolationError, asyncpg.Connection
)
PSYCOPG = PostgreSQL(
    "psycopg",
    "postgresql+psycopg",
    "psycopg",
    psycopg.errors.UniqueViolation,
    psycopg.AsyncConnection,
)
ASYNCMY = MariaDB(
    "asyncmy",
    "mysql+asyncmy",
    "asyncmy",
    asyncmy.errors.IntegrityError,
    asyncmy.Connection,
)
AIOMYSQL = MariaDB(
    "aiomysql",
    "mysql+aiomysql",
    "aiomysql",
    pymysql.err.IntegrityError,
    aiomysql.Connection,
)

ON_SQLITE = [FILE, MEMORY]
ON_POSTGRESQL = [ASYNCPG, PSYCOPG]
ON_MARIADB = [ASYNCMY, AIOMYSQL]
NETWORK = [*ON_POSTGRESQL, *ON_MARIADB]
ALL = [*ON_SQLITE, *NETWORK]


def on(kinds: Sequence[Kind]) -> pytest.MarkDecorator:
    """Run a test, or all tests of a module, on these only."""
    return pytest.mark.parametrize("kind", kinds, ids=str, indirect=True)


SQLITE_ONLY = on(ON_SQLITE)
POSTGRESQL_ONLY = on(ON_POSTGRESQL)
MARIADB_ONLY = on(ON_MARIADB)
NETWORK_ONLY = on(NETWORK)
CONCURRENT = on([FILE, *NETWORK])
"""Where several connections work side by side: a database in memory is one."""
