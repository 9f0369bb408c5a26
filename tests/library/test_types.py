"""Values of every type by Core expressions: the same as with SQLAlchemy's own engine."""

from __future__ import annotations

import datetime
import decimal
import enum
import ipaddress
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from databases import Database
from tests.library.kinds import CONCURRENT, MEMORY, POSTGRESQL_ONLY, Kind, on
from tests.library.places import Place, of_driver


class Colour(enum.Enum):
    RED = 1
    GREEN = 2


class Counted(sa.TypeDecorator[Any]):
    """Says how often it has been asked, whatever it is kept as."""

    impl = sa.String
    cache_ok = True
    asked = 0

    def __init__(self, impl: Any) -> None:
        super().__init__()
        self.impl = self.impl_instance = sa.types.to_instance(impl)

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else value[0]

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        type(self).asked += 1
        return (value, "decoded")


MOMENT = datetime.datetime(2026, 11, 22, 10, 11, 12, 345678)
ZONED = MOMENT.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=5)))
EXACT = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
EXACT_TIME = sa.Time().with_variant(mysql.TIME(fsp=6), "mysql", "mariadb")
NUMBER = decimal.Decimal("12345678.90")
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")

EVERYWHERE: dict[str, tuple[Any, Any]] = {
    "integer": (sa.Integer, -(2**31)),
    "big_integer": (sa.BigInteger, 2**63 - 1),
    "float": (sa.Double, 0.1),
    "numeric": (sa.Numeric(10, 2), NUMBER),
    "numeric_as_float": (sa.Numeric(10, 2, asdecimal=False), 12.5),
    "boolean": (sa.Boolean, True),
    "false": (sa.Boolean, False),
    "string": (sa.String(50), "é名🐘 '\"%s\\"),
    "text": (sa.Text, "x" * 60_000),
    "empty_string": (sa.String(50), ""),
    "bytes": (sa.LargeBinary, bytes(range(256))),
    "empty_bytes": (sa.LargeBinary, b""),
    "date": (sa.Date, MOMENT.date()),
    "time": (EXACT_TIME, MOMENT.time()),
    "datetime": (EXACT, MOMENT),
    "long_ago": (sa.Date, datetime.date(1000, 1, 1)),
    "interval": (sa.Interval, datetime.timedelta(days=3, seconds=5)),
    "uuid": (sa.Uuid, UUID),
    "uuid_as_text": (sa.Uuid(as_uuid=False), str(UUID)),
    "json": (sa.JSON, {"list": [1, None, "é", 1.5, {}], "nothing": None}),
    "json_list": (sa.JSON, [1, 2]),
    "json_string": (sa.JSON, "a \"'\\ string"),
    "json_number": (sa.JSON, 5),
    "json_false": (sa.JSON, False),
    "json_null": (sa.JSON, None),
    "enum": (sa.Enum(Colour, name="colour"), Colour.GREEN),
    "enum_of_strings": (sa.Enum("red", "green", name="colour"), "green"),
    "pickle": (sa.PickleType, {"a": (1, 2)}),
}
ON_POSTGRESQL: dict[str, tuple[Any, Any]] = {
    "zoned": (sa.DateTime(timezone=True), ZONED),
    "zoned_time": (sa.Time(timezone=True), ZONED.timetz()),
    "jsonb": (postgresql.JSONB, {"a": [1, {"b": None}]}),
    "integers": (postgresql.ARRAY(sa.Integer), [1, 2, None]),
    "empty_array": (postgresql.ARRAY(sa.Integer), []),
    "nested_array": (postgresql.ARRAY(sa.Integer, dimensions=2), [[1, 2], [3, 4]]),
    "strings": (sa.ARRAY(sa.String), ["a", "b,{}\"' c", ""]),
    "numbers": (postgresql.ARRAY(sa.Numeric(10, 2)), [NUMBER]),
    "uuids": (postgresql.ARRAY(sa.Uuid), [UUID]),
    "moments": (postgresql.ARRAY(sa.DateTime), [MOMENT]),
    "jsons": (postgresql.ARRAY(postgresql.JSONB), [{"a": 1}, [2]]),
    "enums": (postgresql.ARRAY(sa.Enum(Colour, name="colour")), [Colour.RED, Colour.GREEN]),
    "address": (postgresql.INET, ipaddress.ip_address("10.0.0.1")),
    "range": (postgresql.INT4RANGE, postgresql.Range(1, 5)),
    "bits": (postgresql.BIT(4), None),
}
DECORATED: dict[str, tuple[Any, Any]] = {
    "string": (sa.String(20), "a"),
    "integer": (sa.Integer, 1),
    "float": (sa.Double, 0.5),
    "numeric": (sa.Numeric(10, 2), decimal.Decimal("1.50")),
    "boolean": (sa.Boolean, True),
    "datetime": (sa.DateTime, datetime.datetime(2026, 1, 2, 3, 4, 5)),
    "date": (sa.Date, datetime.date(2026, 1, 2)),
    "bytes": (sa.LargeBinary, b"\x00"),
    "json": (sa.JSON, {"a": [1]}),
    "uuid": (sa.Uuid, UUID),
    "enum": (sa.Enum(Colour, name="colour"), Colour.RED),
}


def parametrized(values: dict[str, tuple[Any, Any]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("type_", "value"), values.values(), ids=values)


@pytest.fixture
def table(type_: Any) -> sa.Table:
    key = sa.Column("id", sa.Integer, primary_key=True)
    return sa.Table("kept", sa.MetaData(), key, sa.Column("value", type_))


@pytest.fixture
async def database(kind: Kind, url: str, table: sa.Table) -> AsyncIterator[Database]:
    async with Database(url) as database:
        for element in kind.ddl([table]):
            await database.execute(element)
        yield database


@pytest.fixture
def engine(kind: Kind, place: Place) -> Iterator[sa.Engine]:
    """SQLAlchemy's own."""
    engine = sa.create_engine(of_driver(place.url, kind.sync))
    yield engine
    engine.dispose()


async def all_values(database: Database, table: sa.Table) -> list[Any]:
    query = sa.select(table.c.value).order_by(table.c.id)
    values = [row.value for row in await database.fetch_all(query)]
    assert [row[0] async for row in database.iterate(query)] == values
    assert await database.fetch_val(query) == values[0]
    return values


async def is_the_same(url: str, engine: sa.Engine, table: sa.Table, value: Any) -> None:
    table.create(engine)
    async with Database(url) as database:
        await reads_and_writes_the_same(database, engine, table, value)


async def reads_and_writes_the_same(
    database: Database, engine: sa.Engine, table: sa.Table, value: Any
) -> None:
    await database.execute(table.insert(), {"id": 1, "value": value})
    await database.execute_many(table.insert(), [{"id": 2, "value": value}, {"id": 3}])
    with engine.begin() as theirs:
        theirs.execute(table.insert(), {"id": 4, "value": value})
        theirs.execute(table.update().where(table.c.id == 1), {"value": value})
        query = sa.select(table.c.value).order_by(table.c.id)
        read_by_them = [row.value for row in theirs.execute(query)]
    read_by_us = await all_values(database, table)
    assert read_by_us == read_by_them
    assert all(map(isinstance, read_by_us, map(type, read_by_them)))
    assert read_by_us == [value, value, None, value]


@CONCURRENT
@parametrized(EVERYWHERE)
async def test_a_value_is_the_same_as_with_sqlalchemys_engine(
    url: str, engine: sa.Engine, table: sa.Table, value: Any
) -> None:
    await is_the_same(url, engine, table, value)


@POSTGRESQL_ONLY
@parametrized(ON_POSTGRESQL)
async def test_a_value_of_postgresql_is_the_same_as_with_sqlalchemys_engine(
    url: str, engine: sa.Engine, table: sa.Table, value: Any
) -> None:
    await is_the_same(url, engine, table, value)


@on([MEMORY])  # where SQLAlchemy's engine cannot look
@parametrized(EVERYWHERE)
async def test_a_value_comes_back_as_it_was(
    database: Database, table: sa.Table, value: Any
) -> None:
    async with database.transaction():
        await database.execute(table.insert().values(id=1, value=value))
        assert await all_values(database, table) == [value]
    await database.execute(table.update(), {"value": value})
    assert await all_values(database, table) == [value]


@parametrized(DECORATED)
async def test_a_decorator_sees_every_value_once_whatever_it_is_kept_as(
    kind: Kind, url: str, type_: Any, value: Any
) -> None:
    key = sa.Column("id", sa.Integer, primary_key=True)
    table = sa.Table("decorated", sa.MetaData(), key, sa.Column("value", Counted(type_)))
    async with Database(url) as database:
        for element in kind.ddl([table]):
            await database.execute(element)
        await database.execute(table.insert(), {"id": 1, "value": (value,)})
        await database.execute(table.insert(), {"id": 2, "value": None})
        Counted.asked = 0
        rows = await database.fetch_all(table.select().order_by(table.c.id))
        assert [row.value for row in rows] == [(value, "decoded"), (None, "decoded")]
        row = rows[0]
        decoded = row.value
        assert decoded is row[1] is row["value"] is row[table.c.value] is row._mapping["value"]
        assert decoded is list(row.values())[1] is dict(row)["value"] is dict(row._mapping)["value"]
        assert Counted.asked == 2
        assert (await anext(database.iterate(table.select()))).value == decoded
        assert await database.fetch_val(sa.select(table.c.value)) == decoded
        assert Counted.asked == 5


@parametrized({"json": (sa.JSON, {"a": [1]})})
async def test_json_is_decoded_once_however_it_is_read(
    database: Database, table: sa.Table, value: Any
) -> None:
    await database.execute(table.insert(), {"value": value})
    row = await database.fetch_one(table.select())
    assert row is not None
    assert row.value == value
    assert row.value is row["value"] is row[1] is row._mapping["value"] is list(row.values())[1]


@parametrized({"json": (sa.JSON, None)})
async def test_json_null_and_sql_null_are_told_apart(
    database: Database, table: sa.Table, value: Any
) -> None:
    await database.execute(table.insert(), {"id": 1, "value": None})
    await database.execute(table.insert().values(id=2, value=sa.null()))
    query = sa.select(table.c.id).where(table.c.value.is_(sa.null()))
    assert [row.id for row in await database.fetch_all(query)] == [2]
    assert await all_values(database, table) == [None, None]


COMPARABLE = [
    "integer",
    "numeric",
    "boolean",
    "string",
    "bytes",
    "date",
    "datetime",
    "uuid",
    "enum",
]


@parametrized({name: EVERYWHERE[name] for name in COMPARABLE})
async def test_rows_are_found_by_their_values(
    database: Database, table: sa.Table, value: Any
) -> None:
    await database.execute(table.insert(), {"id": 1, "value": value})
    await database.execute(table.insert(), {"id": 2, "value": None})
    found = table.select().where(table.c.value == value)
    assert await database.fetch_val(found) == 1
    assert await database.fetch_val(table.select().where(table.c.value.in_([value]))) == 1
    assert await database.fetch_val(table.select().where(table.c.value.is_(None))) == 2
    named = table.select().where(table.c.value == sa.bindparam("wanted"))
    assert await database.fetch_val(named, {"wanted": value}) == 1


@parametrized({"json": (sa.JSON, {"a": {"b": [5, "six"]}, "n": 7})})
async def test_parts_of_json_can_be_asked_for(
    database: Database, table: sa.Table, value: Any
) -> None:
    await database.execute(table.insert(), {"value": value})
    assert await database.fetch_val(sa.select(table.c.value["a"])) == value["a"]
    assert await database.fetch_val(sa.select(table.c.value["n"].as_integer())) == 7
    assert await database.fetch_val(sa.select(table.c.value["a", "b", 1].as_string())) == "six"


@POSTGRESQL_ONLY
@parametrized({"array": (postgresql.ARRAY(sa.Integer), [1, 2])})
async def test_arrays_are_searched_and_put_together(
    database: Database, table: sa.Table, value: Any
) -> None:
    await database.execute(table.insert(), {"value": value})
    assert await database.fetch_val(table.select().where(table.c.value.contains([2]))) == 1
    assert await database.fetch_val(table.select().where(table.c.value.any_() == 1)) == 1
    assert await database.fetch_val(sa.select(sa.func.array_agg(table.c.id))) == [1]
    await database.execute("UPDATE kept SET value = :value", {"value": [7]})
    found = "SELECT value FROM kept WHERE id = ANY(:ids)"
    assert await database.fetch_val(found, {"ids": [1]}) == [7]
