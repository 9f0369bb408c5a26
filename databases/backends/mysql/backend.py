"""MySQL and MariaDB, by way of asyncmy or aiomysql.

``mysql://`` means asyncmy where that is installed.
"""

from __future__ import annotations

import importlib.util
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

from databases.backends.drivers import load_driver
from databases.backends.mysql import sql
from databases.backends.mysql.core_dialect import core_dialect
from databases.backends.mysql.options import MySQLOptions
from databases.backends.mysql.replication import look
from databases.backends.network import NetworkBackend
from databases.statements import Dialect
from databases.url import DatabaseURL

if TYPE_CHECKING:
    from databases.backends.mysql.driver import MySQLDriver


class MySQLBackend(NetworkBackend):
    """A MySQL or MariaDB database.

    Args:
        url: ``mysql://user:password@host:port/database``; ``mysql+aiomysql://`` and
            ``mysql+asyncmy://`` name the driver.
        **options: keywords that win over the URL's options.

    Raises:
        BackendUnavailableError: where the driver is not installed.
        UnknownOptionError: for an option that is not known, or a value that it cannot take.
    """

    def __init__(self, url: DatabaseURL | str, **options: Any) -> None:
        url = DatabaseURL(url)
        name = url.driver if url.driver in ("asyncmy", "aiomysql") else _installed()
        module = load_driver(f"databases.backends.mysql.{name}_driver", name)
        read = MySQLOptions(url, options)
        driver: MySQLDriver = module.Driver(read)
        super().__init__(driver, read, sql.leaves, sql.begin, sql.only_reads, look)
        self.dialect = Dialect(
            name="mysql",
            placeholder=lambda number: "%s",
            opaque=sql.WITHOUT_BINDS,
            adapters=[(uuid.UUID, lambda value: value.hex)],
            core=partial(core_dialect, driver),
            doubles_percent=True,
        )


def _installed() -> str:
    found = importlib.util.find_spec("asyncmy") or not importlib.util.find_spec("aiomysql")
    return "asyncmy" if found else "aiomysql"
