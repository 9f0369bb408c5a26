"""This library on PostgreSQL beside its peers, and beside the limit: ten bare asyncpg connections.

Ours runs over asyncpg and, for comparison, over psycopg. The limit is a queue that lends bare
connections, the one that came back last first; asyncpg.Pool resets each before it lends it again.
How it is measured: benchmarks/conductor.

    scripts/bench postgresql [--rounds 5] [--seconds 1] [--only point1,insert100]

All of it takes about five minutes.
"""

from __future__ import annotations

from conductor.contender import Kind
from conductor.report import Bar
from conductor.servers import compare

from tests.servers.postgresql import PostgreSQL

OURS, PSYCOPG, ORIGINAL = "databases-next", "over psycopg", "databases 0.9.0"
POOL, SQLALCHEMY, BARE = "asyncpg.Pool", "SQLAlchemy", "bare asyncpg"

TEN = "?min_size=10&max_size=10"

KINDS = {
    OURS: Kind("test", "contenders.on_databases", "postgresql://{}" + TEN, ours=True),
    PSYCOPG: Kind("test", "contenders.on_databases", "postgresql+psycopg://{}" + TEN, ours=True),
    ORIGINAL: Kind("peer-databases-0.9", "contenders.on_databases", "postgresql://{}" + TEN),
    POOL: Kind("peer-asyncpg", "contenders.on_asyncpg_pool", "postgresql://{}"),
    SQLALCHEMY: Kind("peer-asyncpg", "contenders.on_sqlalchemy", "postgresql+asyncpg://{}"),
    BARE: Kind("peer-asyncpg", "contenders.on_asyncpg", "postgresql://{}"),
}

BARS = [
    Bar("point1", ORIGINAL, 2.5),
    Bar("point1", POOL, 1.8),
    Bar("point100", ORIGINAL, 4),
    Bar("point100", POOL, 2.5),
    Bar("point100", SQLALCHEMY, 6),
    Bar("point100", BARE, 0.8),
    Bar("core100", ORIGINAL, 4),
    Bar("rows", ORIGINAL, 1.7),
    Bar("rows", BARE, 0.8),
    Bar("insert100", ORIGINAL, 2),
    Bar("insert100", BARE, 0.8),
    Bar("many", ORIGINAL, 40),
    Bar("tx50", ORIGINAL, 1.6),
    Bar("iterate", ORIGINAL, 2),
]

if __name__ == "__main__":
    compare(
        "scripts/bench postgresql",
        lambda: PostgreSQL(durable=True),
        KINDS,
        BARS,
        new_id="SERIAL PRIMARY KEY",
        analyze="VACUUM ANALYZE",
    )
