"""PostgreSQL with streaming replicas: a primary whose commits wait for one of two standbys."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path

from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import PATIENCE, give_away, run
from tests.servers.server import Running

_SETTINGS = {
    "wal_level": "replica",
    "max_wal_senders": "10",
    # Standbys that follow another primary find what they need there: nobody keeps slots.
    "wal_keep_size": "256MB",
    "hot_standby_feedback": "on",
    "wal_receiver_timeout": "2s",
    "wal_retrieve_retry_interval": "100ms",
    "include_if_exists": "cluster.conf",
}

POSITION = "SELECT pg_current_wal_lsn() - '0/0'"
RECEIVED = "SELECT pg_last_wal_receive_lsn() - '0/0'"
REPLAYED = "SELECT pg_last_wal_replay_lsn() - '0/0'"


class Node(PostgreSQL):
    """One server of the cluster: made by initdb, or as a copy of another one.

    Args:
        number: tells it from the others.
        count: how many there are.
    """

    def __init__(self, number: int, count: int) -> None:
        super().__init__(_SETTINGS)
        self.number = number
        self._names = ", ".join(f"node{each}" for each in range(1, count + 1))
        self.source: Node | None = None

    def __repr__(self) -> str:
        return f"<node {self.number} at port {self.port}>"

    def initialize(self) -> None:
        if self.source is None:
            super().initialize()
        else:
            self._copy(self.source)
        self.follow(self.source)

    def _copy(self, source: Node) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        place = ("-h", str(source.socket_directory), "-p", str(source.port), "-U", "postgres")
        run(
            str(self._programs / "pg_basebackup"), *place, "-D", str(self._data), "-X", "stream",
            "-c", "fast", "--no-sync",
        )  # fmt: skip
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{self.folder}'\n")

    def follow(self, source: Node | None) -> None:
        """Replicate from another one, or from none any more."""
        self.source = source
        lines = [f"synchronous_standby_names = 'ANY 1 ({self._names})'"]
        if source is not None:
            give_away(_touched(self._data / "standby.signal"))
            place = f"host=127.0.0.1 port={source.port} user=postgres"
            lines.append(f"primary_conninfo = '{place} application_name=node{self.number}'")
        file = self._data / "cluster.conf"
        file.write_text("\n".join(lines) + "\n")
        give_away(file)
        if self.is_running:
            self._process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]

    def rejoin(self, source: Node) -> None:
        """Begin anew, as a copy of another one."""
        self.source = source
        self._is_new = True
        self.start()

    def number_of(self, query: str) -> int:
        """What a query answers that gives one number; 0 for NULL."""
        return int(float(self.execute(query).strip() or 0))

    def promote(self) -> None:
        """Make it the primary: it takes writes when this returns."""
        self.execute("SELECT pg_promote(true, 20)")
        self.source = None


class ReplicatedPostgreSQL(Running):
    """A primary and its replicas, each on a port of its own.

    A commit waits until one of the replicas has it. What was acknowledged is therefore never lost
    with the primary, if the replica that has received most is promoted.

    Args:
        replicas: how many.
    """

    def __init__(self, replicas: int = 2) -> None:
        self.nodes = [Node(number, replicas + 1) for number in range(1, replicas + 2)]
        self.primary = self.nodes[0]

    @property
    def replicas(self) -> list[Node]:
        """Those that run and are not the primary."""
        return [node for node in self.nodes if node is not self.primary and node.is_running]

    @property
    def url(self) -> str:
        """The URL of all of them: a database of the primary."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@{hosts}/{database}"

    def start(self) -> None:
        self.primary.start()
        for node in self.nodes[1:]:
            node.rejoin(self.primary)

    def fail_over(self) -> Node:
        """Kill the primary, and promote the replica that has received most; the killed one."""
        killed = self.primary
        killed.kill()
        self.promote(max(self.replicas, key=lambda node: node.number_of(RECEIVED)))
        return killed

    def promote(self, node: Node) -> None:
        """Make a replica the primary that the others follow."""
        node.promote()
        self.primary = node
        for other in self.replicas:
            other.follow(node)

    def rejoin(self, node: Node) -> None:
        """Bring one back that was killed, as a replica of the present primary."""
        node.rejoin(self.primary)

    def catch_up(self) -> None:
        """Wait until every replica shows all that was committed so far."""
        position = self.primary.number_of(POSITION)
        deadline = time.monotonic() + PATIENCE
        while any(node.number_of(REPLAYED) < position for node in self.replicas):
            assert time.monotonic() < deadline, "a replica does not catch up"
            time.sleep(0.01)

    def heal(self) -> None:
        """Have all of them run and follow again, whatever a test has done to them."""
        if not self.primary.is_running:
            self.primary.start()
        for node in self.nodes:
            if node is self.primary:
                continue
            if not node.is_running or node.source is not self.primary:
                node.stop("immediate")
                node.rejoin(self.primary)
            node.execute("SELECT pg_wal_replay_resume()")
        self.catch_up()

    def close(self) -> None:
        for node in self.nodes:
            node.close()


def _touched(path: Path) -> Path:
    path.touch()
    return path
