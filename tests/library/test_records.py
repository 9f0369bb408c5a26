"""The row that a query returns."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Mapping, Sequence

import fastapi
import pydantic
import pytest
import sqlalchemy
from fastapi.testclient import TestClient

from databases import Database, Record
from tests.library.kinds import Kind


async def one(database: Database, sql: str) -> Record:
    row = await database.fetch_one(sql)
    assert row is not None
    return row


async def test_a_record_is_read_by_name_position_attribute_and_column(database: Database) -> None:
    users = sqlalchemy.table("users", sqlalchemy.column("id"), sqlalchemy.column("name"))
    row = await one(database, "SELECT 1 AS id, 'Ada' AS name")
    assert (row[0], row["name"], row.name, row[users.c.name], row[-1]) == (
        1,
        "Ada",
        "Ada",
        "Ada",
        "Ada",
    )
    assert list(row[0:2]) == [1, "Ada"]
    assert row._mapping["name"] == "Ada"


async def test_a_record_iterates_over_its_names_and_becomes_a_dict(database: Database) -> None:
    row = await one(database, "SELECT 1 AS id, 'Ada' AS name")
    assert list(row) == ["id", "name"]
    assert list(row.keys()) == ["id", "name"]
    assert list(row.values()) == [1, "Ada"]
    assert len(row) == 2
    assert dict(row) == {**row} == dict(row._mapping) == {"id": 1, "name": "Ada"}
    assert "name" in row
    assert repr(row) == "<Record id=1, name='Ada'>"


async def test_records_with_the_same_columns_and_values_are_equal(database: Database) -> None:
    first = await one(database, "SELECT 1 AS id")
    assert first == await one(database, "SELECT 1 AS id")
    assert hash(first) == hash(await one(database, "SELECT 1 AS id"))
    assert first != await one(database, "SELECT 1 AS di")
    assert first != await one(database, "SELECT 2 AS id")
    assert first != (1,)


async def test_what_is_missing_is_named_with_what_is_there(database: Database) -> None:
    row = await one(database, "SELECT 1 AS id, 2 AS name")
    with pytest.raises(KeyError, match="no column 'nmae': its columns are id, name"):
        row["nmae"]
    with pytest.raises(AttributeError, match="its columns are id, name"):
        _ = row.nmae
    with pytest.raises(IndexError):
        row[2]
    assert not hasattr(row, "nmae")


def selected(kind: Kind, **columns: object) -> str:
    """A query of one row with these columns."""
    shown = [f"{value!r} AS {kind.quote(name)}" for name, value in columns.items()]
    return f"SELECT {', '.join(shown)}"


async def test_columns_may_have_the_names_of_methods(kind: Kind, database: Database) -> None:
    row = await one(database, selected(kind, count=1, index=2, keys=3, values=4))
    assert [row.count, row.index, getattr(row, "values")] == [1, 2, 4]  # noqa: B009
    # dict(row) calls keys(), so that one stays a method.
    assert list(row.keys()) == ["count", "index", "keys", "values"]
    assert (row["count"], row["index"], row["keys"], row["values"]) == (1, 2, 3, 4)
    assert dict(row) == {"count": 1, "index": 2, "keys": 3, "values": 4}
    assert list(row) == ["count", "index", "keys", "values"]
    assert row[2] == 3
    assert isinstance(row, Record)


async def test_columns_of_an_expression_may_have_the_names_of_methods(database: Database) -> None:
    columns = [sqlalchemy.literal(number).label(name) for number, name in enumerate(METHODS)]
    row = await database.fetch_one(sqlalchemy.select(*columns))
    assert row is not None
    assert dict(row) == {"count": 0, "index": 1, "keys": 2, "values": 3, "items": 4}
    assert [row[column] for column in columns] == [row[name] for name in METHODS] == list(range(5))
    assert (row.count, row.index, getattr(row, "values"), row.items) == (0, 1, 3, 4)  # noqa: B009


METHODS = ("count", "index", "keys", "values", "items")


async def test_of_columns_with_one_name_the_last_has_it(database: Database) -> None:
    row = await one(database, "SELECT 1 AS a, 2 AS a, 3 AS b")
    assert row["a"] == 2
    assert (row[0], row[1]) == (1, 2)
    assert len(row) == 3
    assert list(row.values()) == [1, 2, 3]
    assert dict(row) == {"a": 2, "b": 3}


async def test_a_record_is_a_sequence_and_has_a_mapping(database: Database) -> None:
    users = sqlalchemy.table("users", sqlalchemy.column("id"), sqlalchemy.column("name"))
    row = await one(database, "SELECT 1 AS id, 'Ada' AS name")
    assert isinstance(row, Sequence)
    mapping = row._mapping
    assert isinstance(mapping, Mapping)
    assert (mapping["id"], mapping[users.c.name], len(mapping)) == (1, "Ada", 2)
    assert list(mapping.items()) == [("id", 1), ("name", "Ada")]
    assert repr(mapping) == "{'id': 1, 'name': 'Ada'}"
    with pytest.raises(KeyError):
        mapping[0]


async def test_a_record_of_values_that_cannot_be_hashed_can(database: Database) -> None:
    query = sqlalchemy.select(sqlalchemy.literal({"a": 1}, sqlalchemy.JSON))
    row = await database.fetch_one(query)
    assert row is not None
    assert row in {row}


async def test_a_record_can_be_copied_and_pickled(database: Database) -> None:
    row = await one(database, "SELECT 1 AS id, 'Ada' AS name")
    assert copy.copy(row) == row
    assert pickle.loads(pickle.dumps(row)) == row


class User(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(from_attributes=True)
    id: int
    name: str


async def test_pydantic_reads_a_record_by_its_attributes(database: Database) -> None:
    row = await one(database, "SELECT 1 AS id, 'Ada' AS name")
    assert User.model_validate(row) == User(id=1, name="Ada")
    assert User(**row) == User(id=1, name="Ada")


@pytest.mark.parametrize("columns", [{"id": 1, "name": "Ada"}, {"keys": 1, "items": 2}])
def test_fastapi_answers_with_records_as_json_objects(
    kind: Kind, url: str, columns: dict[str, object]
) -> None:
    database = Database(url)
    app = fastapi.FastAPI(lifespan=database.lifespan)

    @app.get("/one", response_model=None)
    async def one_row() -> object:
        return await database.fetch_one(selected(kind, **columns))

    @app.get("/all", response_model=None)
    async def all_rows() -> object:
        return await database.fetch_all(selected(kind, **columns))

    @app.get("/model", response_model=list[User])
    async def models() -> object:
        return await database.fetch_all("SELECT 1 AS id, 'Ada' AS name, 3 AS hidden")

    with TestClient(app) as client:
        assert client.get("/one").json() == columns
        assert client.get("/all").json() == [columns]
        assert client.get("/model").json() == [{"id": 1, "name": "Ada"}]
