"""PostgreSQL, by way of asyncpg or psycopg."""

from __future__ import annotations

from typing import Any

from databases.backends.drivers import load_driver
from databases.backends.network import NetworkBackend
from databases.backends.postgres import sql
from databases.backends.postgres.options import PostgresOptions
from databases.backends.postgres.replication import look
from databases.statements import Dialect
from databases.url import DatabaseURL


class PostgresBackend(NetworkBackend):
    """A PostgreSQL database.

    Args:
        url: ``postgresql://user:password@host:port/database``; ``postgresql+psycopg://`` for
            psycopg instead of asyncpg.
        **options: keywords that win over the URL's options.

    Raises:
        BackendUnavailableError: where the driver is not installed.
        UnknownOptionError: for an option that is not known, or a value that it cannot take.
    """

    def __init__(self, url: DatabaseURL | str, **options: Any) -> None:
        url = DatabaseURL(url)
        name = "psycopg" if url.driver == "psycopg" else "asyncpg"
        module = load_driver(f"databases.backends.postgres.{name}_driver", name)
        read = PostgresOptions(url, options)
        driver = module.Driver(read)
        super().__init__(driver, read, sql.leaves, sql.begin, sql.only_reads, look)
        self.dialect = Dialect(
            name="postgresql",
            placeholder=lambda number: f"${number}",
            opaque=sql.OPAQUE,
            adapters=(),
            core=driver.core_dialect,
        )
