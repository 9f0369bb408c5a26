"""MariaDB, from Debian's mariadb-server-core and mariadb-client-core."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from tests.servers.certificates import Certificates, make_certificates
from tests.servers.processes import find_program, loopback, run
from tests.servers.server import Server


class MariaDB(Server):
    """A server with one database, test, and root without a password.

    Unless it is durable it does not wait for the disk: what is committed survives all of its own
    crashes, but not one of the machine.
    """

    name = "mariadb"
    ready = "ready for connections"
    signals = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}  # noqa: RUF012

    def __init__(
        self,
        configuration: Mapping[str, str] | None = None,
        *,
        tls: bool = False,
        durable: bool = False,
    ) -> None:
        self._server = find_program("mariadbd", "mariadb-server-core")
        self._install = find_program("mariadb-install-db", "mariadb-server-core")
        self._client = find_program("mariadb", "mariadb-client-core")
        super().__init__()
        self.socket = self.folder / "socket"
        self._data = self.folder / "data"
        self._configuration = {
            "bind-address": ",".join(loopback()),
            # As Debian configures it.
            "character-set-server": "utf8mb4",
            "collation-server": "utf8mb4_general_ci",
            **({} if durable else {"innodb-flush-method": "nosync"}),
            **(configuration or {}),
        }
        self._tls = tls
        self.certificates: Certificates | None = None

    def initialize(self) -> None:
        users = ("--auth-root-authentication-method=normal", "--skip-test-db")
        # One that starts removes what others have in a folder that they share.
        places = ("--basedir=/usr", f"--datadir={self._data}", f"--tmpdir={self.folder}")
        run(self._install, "--no-defaults", *places, *users, "--innodb-flush-method=nosync")
        if self._tls:
            self.certificates = make_certificates(self.folder)
            self._configuration |= {
                "ssl-ca": str(self.certificates.authority),
                "ssl-cert": str(self.certificates.certificate),
                "ssl-key": str(self.certificates.key),
            }

    def start(self) -> None:
        super().start()
        self.execute("CREATE DATABASE IF NOT EXISTS test")

    def command(self) -> list[str]:
        places = {
            "datadir": str(self._data),
            "socket": str(self.socket),
            "pid-file": str(self.folder / "pid"),
            "tmpdir": str(self.folder),
            "port": str(self.port),
        }
        options = [f"--{k}={v}" for k, v in (places | self._configuration).items()]
        return [self._server, "--no-defaults", *options]

    @property
    def url(self) -> str:
        return self.url_of("test")

    def url_of(self, database: str) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database; its URL."""
        self.execute(f"CREATE DATABASE `{name}`")
        return self.url_of(name)

    def execute(self, sql: str, database: str = "") -> str:
        """Execute it without a driver; a line for each row."""
        at = (f"--socket={self.socket}", "--user=root", f"--database={database}")
        plain = ("--batch", "--skip-column-names", "--default-character-set=utf8mb4")
        return run(self._client, "--no-defaults", *at, *plain, f"--execute={sql}")
