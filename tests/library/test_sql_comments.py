"""Comments in the SQL that name the trace it belongs to."""

from __future__ import annotations

import asyncio
import datetime
import gc
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from databases import Database, exceptions
from databases.sql_comments import Commenter
from tests.library.kinds import (
    ASYNCMY,
    ASYNCPG,
    FILE,
    MARIADB_ONLY,
    NETWORK_ONLY,
    POSTGRESQL_ONLY,
    SQLITE_ONLY,
    Kind,
    on,
)
from tests.library.places import OnServer, until
from tests.library.users import INSERT, USERS

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")

PERSON = sa.Table(
    "people",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200)),
    sa.Column("born", sa.Date),
)


@pytest.fixture
async def database(kind: Kind, url: str) -> AsyncIterator[Database]:
    async with Database(url, sql_comments=True) as database:
        await database.execute(USERS.format(kind.key))
        yield database


@contextmanager
def request() -> Iterator[str]:
    """A span of a request, and its ``traceparent``."""
    with TRACER.start_as_current_span("request") as span:
        context = span.get_span_context()
        yield f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@pytest.fixture
def sqlite_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that SQLite runs, on connections opened from now on."""
    ran: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(ran.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", traced)
    return ran


@SQLITE_ONLY
async def test_sqlite_gets_the_comment(sqlite_runs: list[str], database: Database) -> None:
    with request() as span:
        sqlite_runs.clear()
        comment = f" /*traceparent='{span}'*/"
        await database.execute_many(INSERT, [{"name": "Ada"}, {"name": "Grace"}])
        await database.fetch_all("SELECT * FROM users WHERE id = :id;", {"id": 1})
        async with database.transaction():
            await database.execute("DELETE FROM users WHERE id = 2")
            assert [row["id"] async for row in database.iterate("SELECT id FROM users")] == [1]
        commented = [sql for sql in sqlite_runs if "traceparent" in sql]
        assert [sql.partition(" ")[0] for sql in commented] == [
            "INSERT",
            "INSERT",
            "SELECT",
            "DELETE",
            "SELECT",
        ]
        assert all(comment in sql for sql in commented)
        assert all(sql.removesuffix(";").endswith(comment) for sql in commented)


@NETWORK_ONLY
@pytest.mark.parametrize("held", [False, True], ids=["any", "held"])
async def test_a_server_sees_the_comment_of_a_statement_that_runs(
    kind: Kind, server: OnServer, database: Database, held: bool
) -> None:
    with request() as span:

        async def run() -> None:
            if not held:
                await database.fetch_all(kind.endless)
            else:
                async with database.transaction():
                    await database.fetch_all(kind.endless)

        seen: list[str] = []

        def is_seen() -> bool:
            # At one moment: between being prepared and being run it is not there.
            seen[:] = [sql for sql in server.running() if "sleep" in sql]
            return bool(seen)

        running = asyncio.create_task(run())
        await until(is_seen)
        assert seen == [f"{kind.endless} /*traceparent='{span}'*/"]
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@POSTGRESQL_ONLY
async def test_a_cursor_of_postgresql_has_the_comment(server: OnServer, database: Database) -> None:
    with request() as span:
        async with database.connection() as connection:
            rows = connection.iterate(
                "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"
            )
            [row] = [row async for row in rows]
            assert row["query"].startswith("DECLARE ")
            assert row["query"].endswith(f"/*traceparent='{span}'*/")


@pytest.mark.parametrize("comments", [False, True], ids=["without", "with"])
async def test_rows_types_and_errors_are_the_same_as_without(
    kind: Kind, url: str, comments: bool
) -> None:
    born = datetime.date(1815, 12, 10)
    async with Database(url, sql_comments=comments) as database:
        with request():
            for table in kind.ddl([PERSON]):
                await database.execute(table)
            await database.execute(USERS.format(kind.key))
            await database.execute(PERSON.insert(), {"id": 1, "name": "100 %s /", "born": born})
            rows = await database.fetch_all(PERSON.select().where(PERSON.c.id.in_([1, 2])))
            assert [(row.id, row.name, row.born) for row in rows] == [(1, "100 %s /", born)]
            assert rows[0][PERSON.c.born] == born
            assert [row.born async for row in database.iterate(PERSON.select())] == [born]
            assert await database.fetch_val("SELECT '100 %s'") == "100 %s"
            assert await database.fetch_val("SELECT 7 % 4") == 3
            assert await database.execute("DELETE FROM people") == kind.answer(1)
            await database.execute(INSERT, {"name": "Ada"})
            with pytest.raises(kind.unique) as raised:
                await database.execute(INSERT, {"name": "Ada"})
            assert isinstance(raised.value, exceptions.IntegrityError)
            with pytest.raises(kind.missing_table):
                await database.fetch_all("SELECT * FROM no_such_table")


async def test_many_rows_are_written_and_undone_as_without(kind: Kind, database: Database) -> None:
    with request():
        await database.execute_many(INSERT, [{"name": str(number)} for number in range(2000)])
        with pytest.raises(kind.unique):
            await database.execute_many(INSERT, [{"name": "new"}, {"name": "7"}])
        assert await database.fetch_val("SELECT count(*) FROM users") == 2000


@on([FILE, ASYNCPG, ASYNCMY])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS n",
        "SELECT 1 AS n;",
        "SELECT 1 AS n ; ",
        "SELECT 1 AS n -- one",
        "SELECT 1 AS n -- one;",
        "SELECT /* one */ 1 AS n",
        "  \n SELECT 1 AS n \n",
    ],
)
async def test_a_statement_works_whatever_its_end(kind: Kind, database: Database, sql: str) -> None:
    with request():
        assert (await database.fetch_one(sql))["n"] == 1  # type: ignore[index]


@MARIADB_ONLY
async def test_a_statement_with_a_comment_of_mysql_is_left_as_it_is(database: Database) -> None:
    with request():
        assert await database.fetch_val("SELECT 1 # one") == 1


def commenter(kind: Kind, **tags: str) -> Commenter:
    database = Database(f"{kind.scheme}://localhost/test" if kind is not FILE else "sqlite://")
    backend = database._engine._load()(database.url)
    return Commenter(backend.dialect, tags)


@on([FILE, ASYNCPG, ASYNCMY])
def test_nothing_that_is_written_can_end_the_comment(kind: Kind) -> None:
    hostile = "*/ DROP TABLE users; -- ' \\ /* \n % %s \N{SNOWMAN}"
    sql = commenter(kind, **{hostile: hostile}).appended("SELECT 1", {"tracestate": "a=b,c=d"})
    text = sql.removeprefix("SELECT 1 /*").removesuffix("*/")
    percent = "%%" if kind is ASYNCMY else "%"
    assert not {"*", "/", ";", "\\", "\n", " "} & set(text)
    assert text.count("'") == 4
    assert f"tracestate='a{percent}3Db{percent}2Cc{percent}3Dd'" in text
    # Sorted by their keys, as the specification wants them.
    assert text.index("2A%2F".replace("%", percent)) < text.index("tracestate")


@pytest.mark.parametrize(
    "sql", ["SELECT 1 -- a", "SELECT /* a */ 1", "SELECT 1 -- a;", "/* a", "SELECT '--'"]
)
def test_a_statement_with_a_comment_is_left_as_it_is(sql: str) -> None:
    assert commenter(FILE).appended(sql, {"traceparent": "00"}) is sql


@SQLITE_ONLY
async def test_the_state_of_the_trace_and_tags_are_told(
    sqlite_runs: list[str], url: str, kind: Kind
) -> None:
    remote = SpanContext(
        0xABC, 0xDEF, True, TraceFlags(TraceFlags.SAMPLED), TraceState([("congo", "t61rc*/")])
    )
    parent = trace.set_span_in_context(NonRecordingSpan(remote))
    async with Database(url, sql_comments={"application": "users"}) as database:
        sqlite_runs.clear()
        with TRACER.start_as_current_span("request", context=parent):
            await database.fetch_val("SELECT 1")
    [sql] = [sql for sql in sqlite_runs if "SELECT 1" in sql]
    assert sql.startswith(f"SELECT 1 /*application='users',traceparent='00-{0xABC:032x}-")
    assert sql.endswith(",tracestate='congo%3Dt61rc%2A%2F'*/")


@SQLITE_ONLY
@pytest.mark.parametrize("sampled", [None, False], ids=["no span", "not sampled"])
async def test_where_no_span_records_nothing_is_appended(
    sqlite_runs: list[str], database: Database, sampled: bool | None
) -> None:
    if sampled is None:
        await database.fetch_val("SELECT 1")
    else:
        off = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False).get_tracer("test")
        with off.start_as_current_span("request"):
            await database.fetch_val("SELECT 1")
    assert "SELECT 1" in sqlite_runs
    assert not any("/*" in sql for sql in sqlite_runs)


async def test_steps_have_the_statement_as_it_was_written(database: Database) -> None:
    with request():
        with database.expect(queries=1) as ran:
            await database.fetch_all("SELECT name FROM users")
        assert ran.queries[0].sql == "SELECT name FROM users"


async def test_what_is_kept_of_statements_stays_bounded(kind: Kind, database: Database) -> None:
    for _ in range(2500):
        with request():
            await database.fetch_all("SELECT * FROM users")
    gc.collect()
    kept = [
        len(each)
        for each in gc.get_objects()
        if isinstance(each, dict | list | set) and len(each) > 1000 and _is_of_comments(each)
    ]
    assert kept == []


def _is_of_comments(many: Any) -> bool:
    """Whether a collection has more statements with comments than caches keep."""
    try:
        return sum("/*traceparent=" in each for each in list(many) if type(each) is str) > 1000
    except RuntimeError:
        return False  # it has changed meanwhile
