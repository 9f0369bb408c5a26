"""Alembic runs this file to do its work on the connection that it is given."""

import sqlalchemy as sa
from alembic import context
from alembic.util import CommandError

from users_service.tables import metadata

_SECONDS_TO_WAIT = 30
_LOCK = "users_service.migrations"


def migrate(connection: sa.Connection) -> None:
    """Run what Alembic asks for in the transaction that is open, to be kept wholly or not at all.

    But for MySQL, which commits at every change of a table.
    """
    _take_turns(connection)
    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite cannot alter most of a table: Alembic then builds a new one beside it.
        render_as_batch=connection.dialect.name == "sqlite",
    )
    context.run_migrations()


def _take_turns(connection: sa.Connection) -> None:
    """Wait, before the version is read: of two starts at once the second finds it done."""
    if connection.dialect.name == "postgresql":
        # Until the end of the transaction.
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_SECONDS_TO_WAIT}s'")
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(_LOCK))))
    elif connection.dialect.name == "mysql":
        # It warns that it ignores the names of primary keys, and asyncmy would pass that on.
        connection.exec_driver_sql("SET max_error_count = 0")
        # Until the end of the connection, for all databases of the server.
        lock = sa.func.get_lock(_LOCK, _SECONDS_TO_WAIT)
        if connection.scalar(sa.select(lock)) != 1:
            raise CommandError(f"another migration has gone on for {_SECONDS_TO_WAIT} seconds")


migrate(context.config.attributes["connection"])
