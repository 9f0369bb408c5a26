"""A MariaDB Galera cluster, from Debian's mariadb-server, galera-4 and rsync."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from pathlib import Path

from tests.servers.mariadb import MariaDB
from tests.servers.processes import (
    PATIENCE,
    Unavailable,
    find_program,
    free_port,
    give_away,
    run,
)
from tests.servers.server import Running, Server

PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")

QUICK = {
    "evs.keepalive_period": "PT0.3S",
    "evs.inactive_check_period": "PT0.2S",
    "evs.suspect_timeout": "PT1S",
    "evs.inactive_timeout": "PT3S",
    "evs.install_timeout": "PT3S",
}
"""Timeouts with which a node that is gone is missed after a second. By default it takes five."""


class GaleraNode(MariaDB):
    """One node: started, it has joined the others and has all that they have."""

    name = "galera"
    ready = "Synchronized with group"

    def __init__(self, cluster: Galera, configuration: Mapping[str, str]) -> None:
        super().__init__(configuration)
        self._cluster = cluster
        self._group_port = self._transfer_port = self._catch_up_port = 0

    def initialize(self) -> None:
        if self is self._cluster.nodes[0]:
            super().initialize()
        else:
            # The others send all of it.
            self._data.mkdir()
            give_away(self._data)

    @property
    def group_address(self) -> str:
        """Where it talks to other nodes; none before its first start."""
        return f"127.0.0.1:{self._group_port}" if self._group_port else ""

    def start(self) -> None:
        Server.start(self)
        deadline = time.monotonic() + PATIENCE
        while not self.takes_statements():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not join the others: {self.status()}")
            time.sleep(0.02)

    def _start(self) -> None:
        if self._is_new:
            self._group_port = free_port()
            self._transfer_port = free_port()
            self._catch_up_port = free_port()
        super()._start()

    def command(self) -> list[str]:
        others = [node.group_address for node in self._cluster.nodes if node is not self]
        others = [address for address in others if address]
        provider = {
            "gmcast.listen_addr": f"tcp://{self.group_address}",
            "ist.recv_addr": f"127.0.0.1:{self._catch_up_port}",
            "gcache.size": "32M",
            **self._cluster.provider,
        }
        settings = {
            "binlog-format": "ROW",
            "innodb-autoinc-lock-mode": "2",
            "wsrep-on": "ON",
            "wsrep-provider": str(self._cluster.library),
            "wsrep-cluster-address": f"gcomm://{','.join(others)}",
            "wsrep-node-address": self.group_address,
            "wsrep-node-incoming-address": f"127.0.0.1:{self.port}",
            "wsrep-sst-method": "rsync",
            "wsrep-sst-receive-address": f"127.0.0.1:{self._transfer_port}",
            "wsrep-provider-options": ";".join(f"{k}={v}" for k, v in provider.items()),
        }
        command = [*super().command(), *(f"--{name}={value}" for name, value in settings.items())]
        if not others:
            return [*command, "--wsrep-new-cluster"]
        if self._is_new:
            return command
        # As Debian's own service does: a node that crashed asks only for what it missed.
        return [*command, f"--wsrep-start-position={self._position(command)}"]

    def _position(self, command: list[str]) -> str:
        """The last transaction that its data have."""
        recovering = self.folder / "recovering.err"
        run(*command, "--wsrep-recover", f"--log-error={recovering}")
        (position,) = re.findall(r"Recovered position: (\S+)", recovering.read_text())
        recovering.unlink()
        return str(position)

    def status(self) -> dict[str, str]:
        """What it says of itself in the cluster: wsrep_ready, wsrep_cluster_size and so on."""
        lines = self.execute("SHOW STATUS LIKE 'wsrep_%'").splitlines()
        return dict(line.split("\t", 1) for line in lines if "\t" in line)

    def takes_statements(self) -> bool:
        """Whether it belongs to a majority, and keeps up with it."""
        try:
            status = self.status()
        except RuntimeError:  # it does not listen yet
            return False
        wanted = {"wsrep_cluster_status": "Primary", "wsrep_ready": "ON"}
        return wanted.items() <= status.items()

    def catch_up(self) -> None:
        """Wait until it shows all that was committed so far, on whichever node."""
        self.execute("SET wsrep_sync_wait = 1; SELECT count(*) FROM mysql.db")


class Galera(Running):
    """Three nodes on loopback that have the same data, and each of which takes writes.

    They know each other when started, which takes about ten seconds. Like the single server they
    do not wait for the disk: what a node that crashed lacks the others have.

    Args:
        provider: options of the replication (wsrep_provider_options).
        configuration: settings of each server.
    """

    def __init__(
        self,
        provider: Mapping[str, str] = QUICK,
        configuration: Mapping[str, str] | None = None,
    ) -> None:
        libraries = [Path(path) for path in PROVIDERS if Path(path).exists()]
        if not libraries:
            raise Unavailable("There is no libgalera_smm.so: apt install galera-4")
        find_program("wsrep_sst_rsync", "mariadb-server")
        find_program("rsync", "rsync")
        self.library = libraries[0]
        self.provider = dict(provider)
        # Small, because nodes send each other all of it.
        settings = {
            "bind-address": "127.0.0.1",
            "innodb-log-file-size": "8M",
            "innodb-buffer-pool-size": "32M",
            "innodb-flush-log-at-trx-commit": "0",
            **(configuration or {}),
        }
        self.nodes = [GaleraNode(self, settings) for _ in range(3)]

    def start(self) -> None:
        """Start one node, then let the others join it."""
        for node in self.nodes:
            node.start()
        self.nodes[0].execute("CREATE DATABASE IF NOT EXISTS test")

    def heal(self) -> None:
        """Have all of them run and belong together again, whatever a test has done to them."""
        if not any(node.takes_statements() for node in self.running):
            # Those that are left are no majority, and wait for somebody to say that they are all.
            self.running[0].execute("SET GLOBAL wsrep_provider_options = 'pc.bootstrap=YES'")
        for node in self.nodes:
            if not node.is_running:
                node.start()

    def catch_up(self) -> None:
        """Wait until every node shows all that was committed so far."""
        for node in self.running:
            node.catch_up()

    @property
    def running(self) -> list[GaleraNode]:
        """The nodes that were not killed."""
        return [node for node in self.nodes if node.is_running]

    @property
    def url(self) -> str:
        """The URL of all nodes."""
        return self.url_of("test")

    def url_of(self, database: str, first: int = 0) -> str:
        """The URL of a database by way of any node, the first of them in front."""
        nodes = self.nodes[first:] + self.nodes[:first]
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        return f"mysql://root@{hosts}/{database}"

    def create_database(self, name: str) -> str:
        """Create an empty database; its URL."""
        self.running[0].execute(f"CREATE DATABASE `{name}`")
        return self.url_of(name)

    def close(self) -> None:
        """Stop all nodes and remove their data."""
        with contextlib.ExitStack() as closing:
            for node in self.nodes:
                closing.callback(node.close)
