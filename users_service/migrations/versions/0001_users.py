"""The table of users."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None

# Types are spelled out here, not taken from tables.py: a migration says what was done on its
# day, whatever the tables look like later.
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = sa.String(768).with_variant(
    mysql.VARCHAR(768, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("name_key", KEY, nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name_key", name="uq_users_name_key"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Drop the table, and with it every user."""
    op.drop_table("users")
