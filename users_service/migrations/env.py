"""Alembic runs this file to reach the database."""

from typing import Any

import sqlalchemy as sa
from alembic import context

from users_service.tables import metadata


def migrate(url: sa.URL) -> None:
    """Run what Alembic asks for in one transaction, so that it happens wholly or not at all."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    is_sqlite = engine.dialect.name == "sqlite"
    if is_sqlite:
        _take_turns(engine)
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            # Alembic knows about the others; SQLite has it since _take_turns().
            transactional_ddl=is_sqlite or None,
            # SQLite cannot alter most of a table: Alembic then builds a new one beside it.
            render_as_batch=is_sqlite,
        )
        with context.begin_transaction():
            context.run_migrations()


def _take_turns(engine: sa.Engine) -> None:
    """Lock the file before reading its version: of two starts at once the second finds it done."""

    @sa.event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 30000")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


migrate(context.config.attributes["url"])
