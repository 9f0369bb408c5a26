"""What a MySQL or MariaDB is among servers that have the same data, and how far it has come."""

from __future__ import annotations

from databases.backends.replication import Sight
from databases.statements import Bound, Statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.backends.link import Link
    from databases.backends.replication import Position

# Source: MariaDB's documentation, "Galera Cluster Status Variables" and "GTID".
_CLUSTER = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_last_committed', 'wsrep_cluster_state_uuid',"
    " 'wsrep_cluster_status', 'wsrep_local_state', 'wsrep_ready', 'wsrep_gcomm_uuid')"
)
_CAUGHT_UP = f"SET STATEMENT wsrep_sync_wait = 15 FOR {_CLUSTER}"
_ALONE = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'gtid_binlog_pos', "
    "'gtid_slave_pos')"
)

_SYNCED = {"wsrep_cluster_status": "Primary", "wsrep_local_state": "4", "wsrep_ready": "ON"}
"""What a node of Galera says of itself that belongs to the majority and keeps up with it."""


async def look(link: Link, *, caught_up: bool = False) -> Sight:
    """What the server at the other end of a connection is."""
    cluster = await _shown(link, _CLUSTER)
    if cluster.get("wsrep_ready") == "ON":
        if caught_up:
            cluster = await _shown(link, _CAUGHT_UP)
        position: Position = {
            cluster["wsrep_cluster_state_uuid"]: int(cluster["wsrep_last_committed"])
        }
        synced = cluster.items() >= _SYNCED.items()
        return Sight(synced, position, position, cluster["wsrep_gcomm_uuid"])
    settings = await _shown(link, _ALONE)
    is_replica = settings["read_only"] != "OFF"
    position = _gtids(settings.get("gtid_slave_pos" if is_replica else "gtid_binlog_pos", ""))
    return Sight(is_replica, position or None, position or None)


async def _shown(link: Link, sql: str) -> dict[str, str]:
    rows = (await link.fetch(Bound(Statement(sql), ()), None)).records()
    return {name.lower(): value for name, value in (row.values() for row in rows)}


def _gtids(text: str) -> Position:
    """The last number of each domain: ``"0-1-100,1-2-5"`` (domain, server, number)."""
    parts = [gtid.split("-") for gtid in text.split(",") if gtid.strip()]
    return {domain.strip(): int(number) for domain, _, number in parts}
