"""SQLAlchemy's dialect for MySQL and MariaDB, set to the version of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

    from databases.backends.mysql.driver import MySQLDriver


def core_dialect(driver: MySQLDriver) -> Dialect:
    """Make the dialect, with what SQLAlchemy's own engine would find out when it connects."""
    from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

    dialect: Any = MySQLDialect_pymysql(paramstyle="format")
    version = dialect._parse_server_version(driver.server_version)
    mariadb = dialect.is_mariadb
    dialect.supports_sequences = mariadb and version >= (10, 3)
    dialect.supports_for_update_of = not mariadb and version >= (8,)
    dialect.use_mysql_for_share = not mariadb and version >= (8, 0, 1)
    dialect.delete_returning = mariadb and version >= (10, 0, 5)
    dialect.insert_returning = mariadb and version >= (10, 5)
    dialect._requires_alias_for_on_duplicate_key = not mariadb and version >= (8, 0, 20)
    return cast("Dialect", dialect)
