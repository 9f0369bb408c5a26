"""What a PostgreSQL is among servers that have the same data, and how far it has come."""

from __future__ import annotations

from databases.backends.replication import Sight
from databases.statements import Bound, Statement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.backends.link import Link

# Source: PostgreSQL's documentation, 9.28 "System Administration Functions". What is sent to
# replicas has been flushed. What was committed may not be flushed yet (synchronous_commit = off):
# only the position behind the last record that was inserted covers it.
_LOOK = Bound(
    Statement(
        "SELECT is_replica, (shown - '0/0')::bigint AS shown, (written - '0/0')::bigint AS written "
        "FROM (SELECT true AS is_replica, pg_catalog.pg_last_wal_replay_lsn() AS shown, "
        "pg_catalog.pg_last_wal_replay_lsn() AS written WHERE pg_catalog.pg_is_in_recovery() "
        "UNION ALL SELECT false, pg_catalog.pg_current_wal_flush_lsn(), "
        "pg_catalog.pg_current_wal_insert_lsn() WHERE NOT pg_catalog.pg_is_in_recovery()) AS seen"
    ),
    (),
)


async def look(link: Link, *, caught_up: bool = False) -> Sight:
    """What the server at the other end of a connection is."""
    (seen,) = (await link.fetch(_LOOK, None)).records()
    shown, written = seen["shown"], seen["written"]
    return Sight(
        # A standby that has replayed nothing yet does not know where it is.
        seen["is_replica"] and shown is not None,
        None if shown is None else {"": shown},
        None if written is None else {"": written},
    )
