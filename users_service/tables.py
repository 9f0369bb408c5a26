"""The tables, as SQLAlchemy Core knows them; migrations/ holds how a database got there."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from users_service.names import MAX_KEY_LENGTH, MAX_LENGTH

metadata = sa.MetaData(
    # Named constraints, because a later migration can only change what it can name.
    naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
)


class UTCDateTime(sa.TypeDecorator[datetime]):
    """An aware time in Python, stored as plain UTC: the form that every database can hold."""

    impl = sa.DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Turn an aware time into plain UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Turn plain UTC into an aware time."""
        return None if value is None else value.replace(tzinfo=UTC)


# SQLite numbers its rows by itself only where the key is exactly INTEGER.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("name", sa.String(MAX_LENGTH), nullable=False),
    sa.Column("name_key", sa.String(MAX_KEY_LENGTH), nullable=False, unique=True),
    sa.Column("created_at", UTCDateTime(), nullable=False),
    # An id is an address that others may have kept: never give a deleted user's to a new one.
    sqlite_autoincrement=True,
    # Of every script, whatever the database is set to. MySQL's usual collations take "e" and "é"
    # for the same letter; which names are the same is decided by names.key() alone.
    mysql_charset="utf8mb4",
    mysql_collate="utf8mb4_bin",
)
