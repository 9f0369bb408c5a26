"""What OpenTelemetry measures of a database."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from databases import Database
from tests.library.kinds import (
    MEMORY,
    Kind,
)
from tests.library.telemetry.conftest import Seen, lasted
from tests.library.users import INSERT


async def test_the_metrics_are_those_of_the_conventions(
    kind: Kind, database: Database, seen: Seen
) -> None:
    async with database.connection():
        await database.fetch_all("SELECT * FROM users")
        during = {
            point.attributes["db.client.connection.state"]: point.value
            for point in seen.points("db.client.connection.count")
        }
        assert during["used"] == (1 if kind is not MEMORY else during["used"])
    await database.execute(INSERT, {"name": "Ada"})
    metrics = seen.metrics()
    units = {name: metric.unit for name, metric in metrics.items()}
    limits = {"db.client.connection.max": "{connection}"}
    assert units == {
        "db.client.operation.duration": "s",
        "db.client.response.returned_rows": "{row}",
        "db.client.connection.wait_time": "s",
        "db.client.connection.use_time": "s",
        "db.client.connection.count": "{connection}",
        "db.client.connection.pending_requests": "{request}",
        **(limits if database.statistics().limit is not None else {}),
    }
    durations = {
        point.attributes.get("db.query.summary"): point
        for point in metrics["db.client.operation.duration"].data.data_points
    }
    selected = durations["SELECT users"]
    assert selected.explicit_bounds == (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
    # The same as the span's, as the conventions have it; of the text of the SQL there is nothing.
    assert selected.sum == pytest.approx(lasted(seen.span("SELECT users")) / 1e9, abs=1e-5)
    assert "db.query.text" not in selected.attributes
    [used] = metrics["db.client.connection.use_time"].data.data_points
    [waited] = metrics["db.client.connection.wait_time"].data.data_points
    assert used.count == waited.count == 2
    url = database.url
    name = f"{url.hostname}:{url.port}/{url.database}" if url.hostname else url.database or "sqlite"
    assert used.attributes == {"db.client.connection.pool.name": name}


async def test_databases_that_share_a_meter_are_told_apart(tmp_path: Any) -> None:
    one, two = (Database(f"sqlite:///{tmp_path}/{name}.db") for name in ("one", "two"))
    async with one, two:
        seen = Seen(one)
        end = seen.instrument(two)
        pools = {
            point.attributes["db.client.connection.pool.name"]
            for point in seen.points("db.client.connection.count")
        }
        assert pools == {one.url.database, two.url.database}
        end()
        left = {
            point.attributes["db.client.connection.pool.name"]
            for point in seen.points("db.client.connection.count")
        }
        assert left == {one.url.database}
        seen.end()


async def test_where_nothing_is_sampled_there_are_measurements_alone(database: Database) -> None:
    seen = Seen(database, sampler=ALWAYS_OFF)
    await database.fetch_val("SELECT 1")
    assert seen.spans() == []
    [duration] = seen.points("db.client.operation.duration")
    assert duration.count == 1
    seen.end()
