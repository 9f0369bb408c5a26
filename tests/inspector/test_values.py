"""The values of queries: shown as types and sizes, themselves only where that is asked for."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest

from databases import Database, exceptions
from databases.inspector.feed import Feed
from databases.inspector.recorder import Recorder
from tests.inspector.recorded import Recorded, recorded
from tests.library.kinds import (
    AIOMYSQL,
    ALL,
    FILE,
    MEMORY,
    PSYCOPG,
    Kind,
    on,
)
from tests.library.users import INSERT

SECRET = "pa55" + "w0rd"  # the line of a call is shown, so it must not be written there


CASES: dict[str, tuple[str, Callable[[Any], list[Any]]]] = {
    "a duplicate": (INSERT, lambda s: [s, s]),
    "a duplicate with a quote": (INSERT, lambda s: [f"it's {s}", f"it's {s}"]),
    "a long duplicate": (INSERT, lambda s: [f"{'l' * 30}'{s}'''{s * 9}"] * 2),
    "a duplicate of a batch": (INSERT, lambda s: [[s, "b", s]]),
    "a duplicate of a batch with a quote": (INSERT, lambda s: [["b", f"it's {s}", f"it's {s}"]]),
    "the wrong type": ("INSERT INTO numbers (n) VALUES (:name)", lambda s: [s]),
    "the wrong type with a quote": ("INSERT INTO numbers (n) VALUES (:name)", lambda s: [f"i'{s}"]),
    "the wrong type of two lines": ("INSERT INTO numbers (n) VALUES (:name)", lambda s: [f"{s}\n"]),
    "the wrong type in a batch": ("INSERT INTO numbers (n) VALUES (:name)", lambda s: [["1", s]]),
    "a text that is stored": ("SELECT cast(name AS INTEGER) FROM users", lambda s: [s, None]),
    "a value that is no text": (INSERT, lambda s: [datetime.date(1815, 12, 10)]),
    "a list": (INSERT, lambda s: [{"a": [s]}]),
}


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        pytest.param(
            kind,
            case,
            id=f"{kind}-{case}",
        )
        for kind in ALL
        for case in CASES
    ],
    indirect=["kind"],
)
async def test_no_value_of_an_error_is_shown(
    kind: Kind, both: tuple[Database, Recorded], case: str
) -> None:
    database, recorder = both
    await database.execute("CREATE TABLE numbers (n INTEGER UNIQUE)")
    sql, values = CASES[case]
    for value in values(SECRET):
        try:
            if sql.startswith("SELECT"):
                if value is not None:
                    await database.execute(INSERT, {"name": value})
                await database.fetch_all(sql)
            elif isinstance(value, list):
                await database.execute_many(sql, [{"name": each} for each in value])
            else:
                await database.execute(sql, {"name": value})
        except (exceptions.DatabaseError, TypeError):
            pass
    errors = [step["error"] for each in recorder.requests() for step in each["steps"]]
    assert SECRET not in json.dumps(recorder.exported())
    assert not [error for error in errors if error and ("1815, 12" in error or SECRET in error)]


@on(ALL)
async def test_no_value_is_shown_anywhere(kind: Kind, both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    feeds = [Feed(recorder, view, "1") for view in ("now", "requests", "moments", "statements")]
    values = {"name": SECRET}
    news: list[Any] = []
    with database.steps.request("GET", "/users") as responding:
        await database.execute(INSERT, values)
        for _ in range(4):
            await database.fetch_all("SELECT * FROM users WHERE name = :name", values)
        await database.execute_many(INSERT, [{"name": f"{SECRET}{number}"} for number in range(3)])
        async for _ in database.iterate("SELECT * FROM users WHERE name = :name", values):
            pass
        with pytest.raises(exceptions.IntegrityError):
            async with database.transaction():
                await database.execute(INSERT, values)
        with pytest.raises(exceptions.QueryTimeoutError):
            slow = f"SELECT {kind.wait} FROM users WHERE name = :name"
            await database.fetch_all(slow, values, timeout=0.2)
        with pytest.warns(RuntimeWarning, match="never awaited"):
            database.execute(INSERT, values)
        responding.status = 200
        news += [each for feed in feeds for each in feed.news()]
    news += [each for feed in feeds for each in feed.news()]
    shown = json.dumps([news, recorder.exported()])
    assert len(shown) > 10_000
    assert SECRET not in shown
    assert "characters" in shown


@on([FILE, MEMORY, AIOMYSQL, PSYCOPG])
async def test_values_are_shown_where_that_is_asked_for(kind: Kind, url: str) -> None:
    async with recorded(kind, url, show_values=True) as (database, recorder):
        await database.execute(INSERT, {"name": SECRET})
        await database.execute(INSERT, {"name": "long" * 50})
        [outside] = recorder.requests()
        [first], [second] = [step["values"] for step in outside["steps"] if step["kind"] == "query"]
        assert first["value"] == repr(SECRET)
        assert len(second["value"]) == 200
        assert second["size"] == "200 characters"


async def test_one_that_shows_values_does_not_make_another_show_them(url: str) -> None:
    async with recorded(FILE, url) as (database, recorder):
        showing = Recorder(database, show_values=True)
        await database.execute(INSERT, {"name": SECRET})
        showing.close()
        assert SECRET not in json.dumps(recorder.exported())


async def test_the_text_of_an_error_is_bounded(both: tuple[Database, Recorded]) -> None:
    database, recorder = both
    with pytest.raises(ValueError, match="long"), database.steps.request("GET", "/"):
        raise ValueError("long " * 100_000)
    assert len(json.dumps(recorder.exported())) < 50_000
