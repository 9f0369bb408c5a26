"""The spans of a database: what each of them is of, has, and belongs to."""

from __future__ import annotations

import asyncio

import httpx2
import pytest
from fastapi import FastAPI
from opentelemetry.trace import SpanKind, StatusCode

from databases import Database, telemetry
from databases.sql_summary import summary_of
from tests.library.kinds import (
    ASYNCMY,
    ASYNCPG,
    FILE,
    PSYCOPG,
    Kind,
)
from tests.library.telemetry.conftest import Seen, attributes, lasted
from tests.library.users import INSERT


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


async def test_ended_it_tells_nothing_more(database: Database, seen: Seen) -> None:
    await database.fetch_val("SELECT 1")
    seen.end()
    seen.end()
    await database.fetch_val("SELECT 1")
    assert len(seen.spans()) == 1
    assert not database.steps.is_watched


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
