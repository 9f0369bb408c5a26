"""PostgreSQL; also the name from which code written for databases 0.9 imports Record."""

from databases.backends.postgres.backend import PostgresBackend
from databases.records import Record

__all__ = ["PostgresBackend", "Record"]
