"""How a database gets its schema: Alembic, run from within."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config


def upgrade(database_url: str) -> None:
    """Bring the schema of a database up to date; do nothing where it is."""
    command.upgrade(config_for(database_url), "head")


def config_for(database_url: str) -> Config:
    """Alembic's settings for a database."""
    config = Config()
    # A percent sign would begin an interpolation.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["url"] = _synchronous(sa.make_url(database_url))
    return config


def _synchronous(url: sa.URL) -> sa.URL:
    """The same database, by SQLAlchemy's synchronous driver: sqlite+aiosqlite becomes sqlite."""
    return url.set(drivername=url.get_backend_name())
