"""PgBouncer, from Debian."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from tests.servers.certificates import Certificates, make_certificates
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import find_program, give_away, loopback, run
from tests.servers.server import Server


class PgBouncer(Server):
    """In front of a PostgreSQL: a connection is a client's for one transaction only.

    It keeps no prepared statements for its clients, as no version did before 1.21.
    """

    name = "pgbouncer"
    ready = "process up"
    signals = {"fast": signal.SIGINT, "immediate": signal.SIGKILL}  # noqa: RUF012

    def __init__(
        self,
        postgresql: PostgreSQL,
        configuration: Mapping[str, str] | None = None,
        *,
        tls: bool = False,
    ) -> None:
        self._program = find_program("pgbouncer", "pgbouncer")
        super().__init__()
        self._postgresql = postgresql
        self._configuration = {
            "listen_addr": ",".join(loopback()),
            "unix_socket_dir": str(self.folder),
            "auth_type": "any",
            "pool_mode": "transaction",
            **self._without_prepared_statements(),
            **(configuration or {}),
        }
        self._tls = tls
        self.certificates: Certificates | None = None

    def initialize(self) -> None:
        if self._tls:
            self.certificates = make_certificates(self.folder)
            self._configuration |= {
                "client_tls_sslmode": "require",
                "client_tls_ca_file": str(self.certificates.authority),
                "client_tls_cert_file": str(self.certificates.certificate),
                "client_tls_key_file": str(self.certificates.key),
            }

    def _without_prepared_statements(self) -> dict[str, str]:
        # "PgBouncer 1.18.0"; the ones before 1.21 do not know the setting.
        major, minor = run(self._program, "--version").split()[1].split(".")[:2]
        return {"max_prepared_statements": "0"} if (int(major), int(minor)) >= (1, 21) else {}

    def command(self) -> list[str]:
        # With every start: its port is one of the settings.
        server = f"host=127.0.0.1 port={self._postgresql.port} user=postgres"
        settings = self._configuration | {"listen_port": str(self.port)}
        lines = ["[databases]", f"* = {server}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        file = self.folder / "pgbouncer.ini"
        file.write_text("\n".join(lines))
        return [self._program, str(give_away(file))]

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
