"""Patroni: three PostgreSQL servers, an etcd, and who is the primary is decided by themselves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import (
    PATIENCE,
    children_of,
    find_program,
    free_port,
    give_away,
)
from tests.servers.server import Running, Server

_ROOT = Path(__file__).parents[2]
_TRUSTED = {"username": "postgres"}


class Etcd(Server):
    """The store in which the servers keep who of them is the primary; from Debian."""

    name = "etcd"
    ready = "ready to serve client requests"
    signals = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}  # noqa: RUF012

    def command(self) -> list[str]:
        clients = f"http://127.0.0.1:{self.port}"
        peers = f"http://127.0.0.1:{free_port()}"
        options = {
            "data-dir": str(self.folder / "data"),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        program = find_program("etcd", "etcd-server")
        return [program, *(f"--{name}={value}" for name, value in options.items())]


class PatroniNode(Server):
    """One of the servers, with the Patroni that watches over it.

    Args:
        number: tells it from the others.
        etcd: the store.
    """

    name = "patroni"
    ready = "INFO: no action. I am"
    signals = {"fast": signal.SIGTERM, "immediate": signal.SIGKILL}  # noqa: RUF012

    def __init__(self, number: int, etcd: Etcd) -> None:
        super().__init__()
        self.number = number
        self.data = self.folder / "data"
        self._rest = free_port()
        self._etcd = etcd
        # It knows where the programs are.
        self.psql = PostgreSQL()

    def command(self) -> list[str]:
        file = self.folder / "patroni.json"
        file.write_text(json.dumps(self._configuration(), indent=1))
        return [_python(), "-m", "patroni", str(give_away(file))]

    def _configuration(self) -> Mapping[str, Any]:
        # JSON is YAML.
        settings = {"ttl": 10, "loop_wait": 1, "retry_timeout": 3, "synchronous_mode": True}
        parameters = {
            "unix_socket_directories": str(self.folder),
            "fsync": "off",
            "max_connections": 100,
        }
        return {
            "scope": "databases",
            "name": f"node{self.number}",
            "restapi": {
                "listen": f"127.0.0.1:{self._rest}",
                "connect_address": f"127.0.0.1:{self._rest}",
            },
            "etcd3": {"hosts": f"127.0.0.1:{self._etcd.port}"},
            "bootstrap": {
                "dcs": settings,
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "no-sync"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{self.port}",
                "connect_address": f"127.0.0.1:{self.port}",
                "data_dir": str(self.data),
                "bin_dir": str(self.psql._programs),
                "pgpass": str(self.folder / "pgpass"),
                "authentication": {"superuser": _TRUSTED, "replication": _TRUSTED},
                "parameters": parameters,
                "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust",
                           "host replication all 127.0.0.1/32 trust"],
            },
        }  # fmt: skip

    @property
    def role(self) -> str:
        """ "primary", "replica", or "" while it does not answer."""
        self.psql.port, self.psql.folder = self.port, self.folder
        try:
            standby = self.psql.execute("SELECT pg_is_in_recovery()").strip()
        except RuntimeError:
            return ""
        return {"f": "primary", "t": "replica"}[standby]

    def roles(self) -> set[str]:
        """The roles of all servers, as it knows them."""
        answer = urllib.request.urlopen(f"http://127.0.0.1:{self._rest}/cluster", timeout=5)
        with answer:
            members = json.load(answer)["members"]
        return {each["role"] for each in members if each["state"] in ("running", "streaming")}

    def kill(self) -> None:
        """End Patroni, its PostgreSQL and all of their processes with SIGKILL."""
        for pid in [self.pid, *self._postmaster()]:
            for each in [pid, *children_of(pid)]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
        self.stop("immediate")

    def _postmaster(self) -> list[int]:
        try:
            return [int((self.data / "postmaster.pid").read_text().split()[0])]
        except FileNotFoundError:
            return []

    def close(self) -> None:
        if self.is_running:
            self.kill()
        super().close()


class Patroni(Running):
    """Three servers and their store. Which of them is the primary they decide by themselves."""

    def __init__(self) -> None:
        self.etcd = Etcd()
        self.nodes = [PatroniNode(number, self.etcd) for number in (1, 2, 3)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@{hosts}/postgres"

    def primary(self) -> PatroniNode | None:
        """The one that takes writes at this moment, if one does."""
        return next((n for n in self.nodes if n.is_running and n.role == "primary"), None)

    def start(self) -> None:
        self.etcd.start()
        for node in self.nodes:
            node.start()
        self.wait_until_well()

    def wait_for_primary(self) -> None:
        """Wait until one of them takes writes."""
        deadline = time.monotonic() + PATIENCE
        while self.primary() is None:
            assert time.monotonic() < deadline, "there is no primary"
            time.sleep(0.02)

    def wait_until_well(self) -> None:
        """Wait until all have agreed on a primary, a synchronous replica and another one."""
        deadline = time.monotonic() + PATIENCE
        while {"leader", "sync_standby", "replica"} - self._roles():
            assert time.monotonic() < deadline, "the servers do not come together"
            time.sleep(0.1)

    def _roles(self) -> set[str]:
        """What they agreed on to be, of those that are up."""
        primary = self.primary()
        return set() if primary is None else primary.roles()

    def close(self) -> None:
        for server in [*self.nodes, self.etcd]:
            server.close()


def _python() -> str:
    """The Python of an environment of Patroni's own, which other users than root can run."""
    # One of root's own would be under root's home.
    usual = find_program("python3", "python3-venv", "/usr/bin")
    made = subprocess.run(
        [_ROOT / "scripts" / "_env", "patroni"],
        env={**os.environ, "PYTHON": usual},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return made.stdout.strip()
