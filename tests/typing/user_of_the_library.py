"""What a type checker sees of the library in its user's code; checked by mypy and by pyright."""

import asyncio
from collections.abc import Mapping
from typing import Any, assert_type

import sqlalchemy

import databases
from databases import Connection, Database, DatabaseURL, Pending, Record, Transaction

database = Database("sqlite:///./test.db", timeout=5)
users = sqlalchemy.Table(
    "users", sqlalchemy.MetaData(), sqlalchemy.Column("id", sqlalchemy.Integer)
)


async def queries() -> None:
    await database.connect()
    assert_type(await database.fetch_all("SELECT 1"), list[Record])
    assert_type(await database.fetch_one("SELECT :a", {"a": 1}), Record | None)
    assert_type(await database.fetch_one(query=users.select(), values={"id": 1}), Record | None)
    assert_type(database.fetch_one("SELECT 1"), Pending[Record | None])
    await database.execute(users.insert(), {"id": 1})
    await database.execute_many("INSERT INTO users VALUES (:id)", [{"id": 1}, {"id": 2}])
    async for row in database.iterate(users.select()):
        assert_type(row, Record)
    await database.disconnect()
    await database.disconnect(grace=1.5)


async def rows() -> None:
    row = await database.fetch_one("SELECT 1 AS number")
    if row is not None:
        mapping: Mapping[str, Any] = row._mapping  # pyright: ignore[reportPrivateUsage]
        dict(row)
        print(row["number"], row[0], row[users.c.id], row.number, len(row), list(row), mapping)


async def tasks() -> None:
    one, many = await asyncio.gather(database.fetch_one("SELECT 1"), database.fetch_all("SELECT 2"))
    assert_type(one, Record | None)
    assert_type(many, list[Record])
    assert_type(asyncio.create_task(database.fetch_all("SELECT 3")), asyncio.Task[list[Record]])
    assert_type(await asyncio.wait_for(database.fetch_one("SELECT 4"), 1), Record | None)


async def transactions() -> None:
    async with database.transaction(isolation="serializable") as transaction:
        assert_type(transaction, Transaction)
    assert_type(await database.transaction(), Transaction)
    async with database.connection() as connection:
        assert_type(connection, Connection)
        assert_type(await connection.fetch_all("SELECT 1"), list[Record])
        async with connection.transaction(force_rollback=True):
            pass
    with database.force_rollback():
        pass
    assert_type(await database.run_in_transaction(add, 1, "Ada", retry=5), int)
    assert_type(await connection.run_in_transaction(add, 1, "Ada"), int)
    assert_type(await retrying(1, "Ada"), int)


async def add(number: int, name: str) -> int:
    values = {"n": number, "name": name}
    return int(await database.execute("INSERT INTO users VALUES (:n)", values))


@database.transaction(retry=True)
async def retrying(number: int, name: str) -> int:
    return await add(number, name)


@database.transaction()
async def create_user(name: str, *, admin: bool = False) -> int:
    return int(await database.fetch_val("SELECT 1"))


async def decorated() -> None:
    assert_type(await create_user("Ada", admin=True), int)


def urls() -> None:
    url = DatabaseURL("sqlite://")
    assert_type(url.replace(database="x"), DatabaseURL)
    assert_type(url.port, int | None)
    assert_type(database.is_connected, bool)


async def errors() -> None:
    try:
        await database.execute("SELECT 1")
    except databases.exceptions.IntegrityError as error:
        print(error)


async def mistakes_are_reported() -> None:
    result = database.fetch_one("SELECT 1")
    result["number"]  # type: ignore[index]  # pyright: ignore
    (await database.fetch_one("SELECT 1"))["number"]  # type: ignore[index]  # pyright: ignore
    await create_user(5)  # type: ignore[arg-type]  # pyright: ignore
    await database.fetch_all(5)  # type: ignore[arg-type]  # pyright: ignore
