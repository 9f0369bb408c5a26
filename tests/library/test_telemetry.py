"""What OpenTelemetry is told of a database: its own SDK receives it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from databases import Database, exceptions, telemetry
from databases.sql_summary import summary_of
from tests.library.kinds import (
    ASYNCMY,
    ASYNCPG,
    CONCURRENT,
    FILE,
    MEMORY,
    NETWORK_ONLY,
    PSYCOPG,
    Kind,
    on,
)
from tests.library.places import until
from tests.library.users import INSERT


class Seen:
    """A database that is instrumented, and what the SDK has of it."""

    def __init__(self, database: Database, **options: Any) -> None:
        self.tracers = TracerProvider(shutdown_on_exit=False, **options)
        self._spans = InMemorySpanExporter()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.end = self.instrument(database)

    def instrument(self, database: Database) -> Callable[[], None]:
        return telemetry.instrument(
            database, tracer_provider=self.tracers, meter_provider=self.meters
        )

    def spans(self, name: str | None = None) -> list[ReadableSpan]:
        spans = self._spans.get_finished_spans()
        return [span for span in spans if name is None or span.name == name]

    def span(self, name: str) -> ReadableSpan:
        [span] = self.spans(name)
        return span

    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        return {
            metric.name: metric
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> Sequence[Any]:
        metric = self.metrics().get(name)
        return () if metric is None else metric.data.data_points


@pytest.fixture
def seen(database: Database) -> Iterator[Seen]:
    seen = Seen(database)
    yield seen
    seen.end()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def events(span: ReadableSpan) -> dict[str, dict[str, Any]]:
    return {event.name: dict(event.attributes or {}) for event in span.events}


def lasted(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time


async def test_a_query_is_a_client_span_with_what_the_conventions_want(
    kind: Kind, database: Database, seen: Seen
) -> None:
    await database.fetch_all("SELECT * FROM users WHERE name = :name", {"name": "Ada"})
    span = seen.span("SELECT users")
    found = attributes(span)
    url = database.url
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is StatusCode.UNSET
    assert lasted(span) > 0
    assert found["db.system.name"] == {"postgresql": "postgresql", "mysql": "mysql"}.get(
        url.dialect, "sqlite"
    )
    assert found.get("db.namespace", "") == url.database
    assert found["db.query.summary"] == "SELECT users"
    assert found["db.query.text"].startswith("SELECT * FROM users WHERE name = ")
    assert found["code.file.path"] == __file__
    assert found["code.function.name"].startswith("test_a_query_is_a_client_span")
    assert "Ada" not in str(found)
    if url.hostname:
        assert found["server.address"] == url.hostname
        assert found["server.port"] == url.port
    else:
        assert "server.address" not in found
    # By the conventions these are not to be taken out of the SQL.
    assert "db.operation.name" not in found
    assert "db.collection.name" not in found


async def test_spans_are_children_of_the_span_they_are_awaited_in(
    database: Database, seen: Seen
) -> None:
    with seen.tracers.get_tracer("test").start_as_current_span("work") as work:
        await database.fetch_val("SELECT 1")
        await asyncio.gather(database.fetch_val("SELECT 2"), database.fetch_val("SELECT 3"))
    children = seen.spans("SELECT")
    assert len(children) == 3
    for child in children:
        assert child.parent is not None
        assert child.parent.span_id == work.get_span_context().span_id
        assert work.start_time <= (child.start_time or 0)  # type: ignore[attr-defined]
    await database.fetch_val("SELECT 4")
    assert seen.spans("SELECT")[-1].parent is None


async def test_spans_nest_in_the_span_of_a_request_to_fastapi(
    file_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Seen(file_database)
    app = FastAPI(
        telemetry={"tracer_provider": seen.tracers, "meter_provider": seen.meters, "logs": False}
    )

    @app.get("/users/{user_id}")
    async def read_user(user_id: int) -> dict[str, str]:
        async with file_database.transaction():
            await file_database.execute(INSERT, {"name": "Ada"})
            row = await file_database.fetch_one("SELECT name FROM users")
        assert row is not None
        return {"name": row["name"]}

    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test")
    async with client:
        assert (await client.get("/users/1")).json() == {"name": "Ada"}
    seen.end()
    request = seen.span("GET /users/{user_id}")
    assert request.context is not None
    by_id = {span.context.span_id: span for span in seen.spans() if span.context is not None}
    namespace = file_database.url.database
    for name in (f"BEGIN {namespace}", "INSERT users", "SELECT users", f"COMMIT {namespace}"):
        above = seen.span(name)
        assert above.context is not None
        assert above.context.trace_id == request.context.trace_id
        while above is not request:
            assert above.parent is not None
            above = by_id[above.parent.span_id]


async def test_a_transaction_and_the_connecting_have_spans(database: Database, seen: Seen) -> None:
    async with database.transaction():
        async with database.transaction():
            await database.execute(INSERT, {"name": "Ada"})
        with pytest.raises(ZeroDivisionError):
            async with database.transaction():
                _ = 1 / 0
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            _ = 1 / 0
    await database.disconnect()
    await database.connect()
    names = [attributes(span).get("db.operation.name") for span in seen.spans()]
    assert names == [
        "BEGIN",
        "SAVEPOINT",
        None,
        "RELEASE SAVEPOINT",
        "SAVEPOINT",
        "ROLLBACK TO SAVEPOINT",
        "COMMIT",
        "BEGIN",
        "ROLLBACK",
        "CONNECT",
    ]
    namespace = database.url.database
    assert seen.spans()[0].name == (f"BEGIN {namespace}" if namespace else "BEGIN")


@pytest.mark.parametrize(
    "values", [[{"name": "Ada"}, {"name": "Grace"}, {"name": "Edith"}], [{"name": "Ada"}]]
)
async def test_a_batch_is_one_span_and_one_alone_is_none(
    database: Database, seen: Seen, values: list[dict[str, str]]
) -> None:
    await database.execute_many(INSERT, values)
    [span] = seen.spans()
    found = attributes(span)
    if len(values) == 1:
        assert span.name == found["db.query.summary"] == "INSERT users"
        assert "db.operation.batch.size" not in found
    else:
        assert span.name == found["db.query.summary"] == "BATCH INSERT users"
        assert found["db.operation.batch.size"] == 3
    assert found["db.query.text"].startswith("INSERT INTO users (name) VALUES (")


async def test_a_cursor_has_a_span_for_its_query_and_one_for_each_further_piece(
    kind: Kind, database: Database, seen: Seen
) -> None:
    query = kind.series(5000)
    rows = [row async for row in database.iterate(query)]
    assert len(rows) == 5000
    spans = seen.spans(summary_of(query))
    [returned] = seen.points("db.client.response.returned_rows")
    assert returned.count == len(spans) >= 1
    assert returned.sum == 5000
    assert returned.min > 0, "that there are no more is no piece"


LITERALS = {
    (FILE, ASYNCPG, PSYCOPG, ASYNCMY): [
        "'secret'",
        "'it''s secret'",
        "'secret' /* secret */",
        "'secret' -- secret\n",
        "4711.4711",
        "47.11e-47",
    ],
    (ASYNCPG, PSYCOPG): ["E'it\\'s secret'", "$$secret$$", "$tag$it's secret$tag$"],
    (ASYNCMY,): ['"secret"', "'it\\'s secret'", "'secret' # secret\n"],
}


@pytest.mark.parametrize(
    ("kind", "literal"),
    [
        pytest.param(kind, literal, id=f"{kind}-{literal!r}")
        for kinds, literals in LITERALS.items()
        for kind in kinds
        for literal in literals
    ],
    indirect=["kind"],
)
async def test_literals_never_get_into_the_text(
    database: Database, seen: Seen, literal: str
) -> None:
    await database.fetch_all(f"SELECT {literal} AS secrets, :bind AS n", {"bind": "4711"})
    [span] = seen.spans()
    shown = str(attributes(span)) + str(seen.metrics())
    text = attributes(span)["db.query.text"]
    assert text.startswith("SELECT ? ")
    assert "secret'" not in shown
    assert "secret " not in shown
    assert "47" not in text


async def test_an_error_is_on_the_span_without_the_values_in_its_message(
    kind: Kind, database: Database, seen: Seen
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.IntegrityError) as raised:
        await database.execute(INSERT, {"name": "Ada"})
    span = seen.spans("INSERT users")[-1]
    code = {"postgresql": "23505", "mysql": "1062", "sqlite": "SQLITE_CONSTRAINT_UNIQUE"}[
        database.url.dialect
    ]
    found = attributes(span)
    assert span.status.status_code is StatusCode.ERROR
    assert found["error.type"] == found["db.response.status_code"] == code
    theirs = kind.unique
    assert isinstance(raised.value, theirs)
    assert events(span)["exception"]["exception.type"].rpartition(".")[2] == theirs.__name__
    assert "Ada" not in str(found) + str(events(span)) + str(span.status.description)
    failed = [
        point
        for point in seen.points("db.client.operation.duration")
        if "error.type" in point.attributes
    ]
    assert [point.attributes["error.type"] for point in failed] == [code]


@on([FILE, ASYNCPG])
async def test_an_error_of_ours_has_its_class(kind: Kind, database: Database, seen: Seen) -> None:
    with pytest.raises(exceptions.QueryTimeoutError):
        await database.fetch_all(kind.endless, timeout=0.1)
    [span] = seen.spans()
    assert attributes(span)["error.type"] == "asyncio.exceptions.CancelledError"
    assert "db.response.status_code" not in attributes(span)


@CONCURRENT
async def test_waiting_is_part_of_the_span_and_an_event_with_who_was_in_the_way(
    kind: Kind, url: str, database: Database
) -> None:
    async with Database(url, **kind.alone) as waiting:
        seen = Seen(waiting)
        async with waiting.transaction():
            insert = asyncio.create_task(waiting.execute(INSERT, {"name": "Ada"}))
            await until(lambda: waiting.statistics().waiting)
            [pending] = seen.points("db.client.connection.pending_requests")
            assert pending.value == 1
        await insert
        span = seen.span("INSERT users")
        wait = events(span)["databases.wait"]
        assert __file__.rpartition("/")[2] in str(wait["databases.holders"])
        assert wait["databases.detail"]
        async with waiting.transaction():
            begin = asyncio.create_task(holds(waiting))
            await until(lambda: waiting.statistics().waiting)
        await begin
        waits = [span for span in seen.spans() if "databases.wait" in events(span)]
        assert len(waits) == 2
        seen.end()


async def holds(database: Database) -> None:
    async with database.transaction():
        await database.fetch_val("SELECT 1")


@NETWORK_ONLY
async def test_waiting_in_vain_is_an_error_and_a_timeout(kind: Kind, url: str) -> None:
    async with Database(url, max_size=1, pool_timeout=0.1) as database:
        seen = Seen(database)
        async with database.connection():
            # Not awaited from here, which would be a deadlock.
            tasks = [
                asyncio.create_task(work)
                for work in (database.fetch_val("SELECT 1"), holds(database))
            ]
            await until(lambda: all(task.done() for task in tasks))
        assert [type(task.exception()) for task in tasks] == [exceptions.PoolTimeout] * 2
        failed = [span for span in seen.spans() if span.status.status_code is StatusCode.ERROR]
        assert [attributes(span)["error.type"] for span in failed] == [
            "databases.exceptions.PoolTimeout"
        ] * 2
        [timeouts] = seen.points("db.client.connection.timeouts")
        assert timeouts.value == 2
        seen.end()


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


async def test_ended_it_tells_nothing_more(database: Database, seen: Seen) -> None:
    await database.fetch_val("SELECT 1")
    seen.end()
    seen.end()
    await database.fetch_val("SELECT 1")
    assert len(seen.spans()) == 1
    assert not database.steps.is_watched


async def test_where_nothing_is_sampled_there_are_measurements_alone(database: Database) -> None:
    seen = Seen(database, sampler=ALWAYS_OFF)
    await database.fetch_val("SELECT 1")
    assert seen.spans() == []
    [duration] = seen.points("db.client.operation.duration")
    assert duration.count == 1
    seen.end()


async def test_without_an_sdk_queries_go_on_as_they_are(database: Database) -> None:
    end = telemetry.instrument(database)
    assert await database.fetch_val("SELECT 1") == 1
    end()


async def test_a_tracer_that_fails_harms_no_query(
    database: Database, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise RuntimeError("the exporter is on fire")

    monkeypatch.setattr("opentelemetry.sdk.trace.Tracer.start_span", fail)
    assert await database.fetch_val("SELECT 1") == 1


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT * FROM users", "SELECT users"),
        ("SELECT * FROM songs, artists WHERE a = b", "SELECT songs artists"),
        ("SELECT d FROM (SELECT * FROM a o JOIN b c ON o.x = c.x)", "SELECT SELECT a b"),
        ("INSERT INTO s (a, b) SELECT a, b FROM orders", "INSERT s SELECT orders"),
        ("INSERT INTO a (x) VALUES (?), (?) ON CONFLICT (x) DO UPDATE SET y = ?", "INSERT a"),
        ("UPDATE users SET a = ?, b = ? WHERE c IN (SELECT c FROM t)", "UPDATE users SELECT t"),
        ("SELECT extract(year FROM day), replace(a, ?, ?) FROM t FOR UPDATE", "SELECT t"),
        ("SELECT 1 WHERE a IS DISTINCT FROM b", "SELECT"),
        ('SELECT * FROM "song list", `b` JOIN app.users', 'SELECT "song list" `b` app.users'),
        ("WITH r AS (SELECT * FROM orders) DELETE FROM users", "SELECT orders DELETE users"),
        ("CREATE TABLE IF NOT EXISTS users (id INT, x INT REFERENCES y ON DELETE CASCADE)",
         "CREATE TABLE users"),
        ("drop table users", "drop table users"),
        ("PRAGMA journal_mode", "PRAGMA"),
        ("DELETE FROM a; DELETE FROM b", "DELETE a DELETE b"),
        ("SELECT * FROM " + ", ".join(f"table_{n:03}" for n in range(40)),
         "SELECT " + " ".join(f"table_{n:03}" for n in range(24))),
        ("", ""),
    ],
)  # fmt: skip
def test_the_summary_has_the_operations_and_their_tables(sql: str, summary: str) -> None:
    assert summary_of(sql) == summary
