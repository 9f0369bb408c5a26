"""How a database gets its schema: Alembic, run from within."""

import asyncio
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from databases import Database, DatabaseURL

# What can be done to a database by Alembic, given its settings.
Work = Callable[[Config], object]


def upgrade(database_url: str) -> None:
    """Bring the schema of a database up to date; do nothing where it is."""
    run(database_url, lambda config: command.upgrade(config, "head"))


def run(database_url: str, work: Work) -> None:
    """Have Alembic do something with a database, in one transaction."""
    url = DatabaseURL(database_url)
    if url.dialect == "sqlite":
        _run_in_file(url, work)
    else:
        asyncio.run(_run_on_server(url, work))


def _run_in_file(url: DatabaseURL, work: Work) -> None:
    # The file alone: how the URL wants it to be used is the service's business.
    file = sa.URL.create("sqlite", database=url.database.removeprefix("file:"))
    engine = sa.create_engine(file, poolclass=sa.NullPool)

    @sa.event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 30000")

    @sa.event.listens_for(engine, "begin")
    def lock_before_reading(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        work(_config(connection))


async def _run_on_server(url: DatabaseURL, work: Work) -> None:
    # A service on SQLite starts sooner without it.
    from sqlalchemy.ext.asyncio import create_async_engine

    # The connection is our own, lent to SQLAlchemy: whatever a URL can say to reach a database,
    # and whichever driver it names, it is for the migrations what it is for the service.
    async with Database(url, min_size=1, max_size=1) as database, database.connection() as ours:
        raw = ours.raw_connection
        dialect = "mysql" if url.dialect == "mysql" else "postgresql"
        driver = _driver_of(raw)

        async def lend() -> Any:
            if driver == "psycopg":
                # Of psycopg's styles of parameters the library uses one, SQLAlchemy the other.
                raw.cursor_factory = import_module(driver).AsyncCursor
            return raw

        engine = create_async_engine(
            f"{dialect}+{driver}://",
            async_creator=lend,
            poolclass=sa.NullPool,
            # Who waited for another's migration has to see what that one did.
            isolation_level="READ COMMITTED",
        )
        async with engine.begin() as connection:
            await connection.run_sync(lambda connection: work(_config(connection)))


def _driver_of(connection: object) -> str:
    """The package that a connection is of, be it by a class that the library derived."""
    packages = (each.__module__.partition(".")[0] for each in type(connection).__mro__)
    return next(package for package in packages if package != "databases")


def _config(connection: sa.Connection) -> Config:
    config = Config()
    # A percent sign would begin an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
