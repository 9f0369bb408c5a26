"""This library on MariaDB beside databases 0.9.0 and bare connections, over both of the drivers.

The bare connections are lent by a queue, the one that came back last first.
How it is measured: benchmarks/conductor.

    scripts/bench mysql [--rounds 5] [--seconds 1] [--only point1,insert100]

All of it takes about five minutes.
"""

from __future__ import annotations

from conductor.contender import Kind
from conductor.report import Bar
from conductor.servers import compare

from tests.servers.mariadb import MariaDB

TEN = "?min_size=10&max_size=10"

# What the driver's name stands in for; databases 0.9.0 knows one of them by a shorter name.
SCHEMES = {"asyncmy": "mysql+asyncmy", "aiomysql": "mysql"}


def names(driver: str) -> tuple[str, str, str]:
    """The contenders over a driver: ours, databases 0.9.0, and nothing."""
    return f"ours, {driver}", f"0.9.0, {driver}", f"bare {driver}"


KINDS: dict[str, Kind] = {}
BARS: list[Bar] = []
for driver, original_scheme in SCHEMES.items():
    ours, original, bare = names(driver)
    module, address = "contenders.on_databases", f"mysql+{driver}://{{}}"
    KINDS |= {
        ours: Kind("test", module, address + TEN, ours=True),
        original: Kind("peer-databases-0.9", module, f"{original_scheme}://{{}}{TEN}"),
        bare: Kind("peer-asyncpg", "contenders.on_mysql_drivers", address),
    }
    BARS += [
        Bar("point100", original, 2.5, ours=ours),
        Bar("point100", bare, 0.8, ours=ours),
        Bar("many", original, 20, ours=ours),
    ]
# What moving over changes where the URL is mysql:// and no more.
BARS += [
    Bar("point100", names("aiomysql")[1], 2.5, ours=names("asyncmy")[0]),
    Bar("many", names("aiomysql")[1], 20, ours=names("asyncmy")[0]),
]

if __name__ == "__main__":
    compare(
        "scripts/bench mysql",
        lambda: MariaDB(durable=True),
        KINDS,
        BARS,
        new_id="INTEGER PRIMARY KEY AUTO_INCREMENT",
        analyze="ANALYZE TABLE users",
    )
