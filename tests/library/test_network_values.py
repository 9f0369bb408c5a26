"""Values and rows that the drivers themselves would get wrong."""

from __future__ import annotations

import pickle

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from databases import Database, exceptions
from tests.library.kinds import MARIADB_ONLY, NETWORK_ONLY, POSTGRESQL_ONLY
from tests.library.users import INSERT

users = sa.Table(
    "users",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200)),
)


@NETWORK_ONLY
async def test_sql_text_and_an_expression_of_the_same_sql_each_get_their_own_rows(
    database: Database,
) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    expression = users.select()
    text = str(expression.compile(dialect=database._engine.compiler._dialect.core()))
    for first, second in ((text, expression), (expression, text)):
        async with database.connection() as connection:
            for query in (first, second, first):
                row = await connection.fetch_one(query)
                assert row is not None
                assert list(row.values()) == [1, "Ada"]
                assert list(row._mapping.items()) == [("id", 1), ("name", "Ada")]
                assert list(row) == ["id", "name"]
                assert row.name == "Ada"
                assert pickle.loads(pickle.dumps(row)) == row


@NETWORK_ONLY
@pytest.mark.parametrize("name", ["values", "_asdict", "_mapping"])
async def test_rows_with_a_column_named_like_a_method_have_their_values(
    database: Database, name: str
) -> None:
    quote = "`" if database.url.dialect == "mysql" else '"'
    text = f"SELECT 1 AS id, 7 AS {quote}{name}{quote}"
    row = await database.fetch_one(text)
    assert row is not None
    assert dict(row) == {"id": 1, name: 7}
    assert getattr(row, name) == 7
    other = await database.fetch_one(text.replace("7", "8"))
    assert row != other
    assert len({row, other}) == 2


@NETWORK_ONLY
async def test_names_and_values_of_columns_that_share_a_name_go_together(
    database: Database,
) -> None:
    row = await database.fetch_one("SELECT 1 AS a, 2 AS a, 3 AS b")
    assert row is not None
    assert list(zip(row.keys(), row.values(), strict=True)) == [("a", 1), ("a", 2), ("b", 3)]


@MARIADB_ONLY
@pytest.mark.parametrize("value", [[1, 2], (1,), {1}, {"a": 1}, object()], ids=repr)
async def test_a_bind_that_is_not_one_value_is_refused(database: Database, value: object) -> None:
    await database.execute(INSERT, {"name": "Ada"})
    with pytest.raises(exceptions.BindError, match="A bind takes one value"):
        await database.execute("DELETE FROM users WHERE id NOT IN (:ids)", {"ids": value})
    with pytest.raises(TypeError):
        await database.execute_many("DELETE FROM users WHERE id IN :ids", [{"ids": value}])
    assert await database.fetch_val("SELECT count(*) FROM users") == 1


@MARIADB_ONLY
async def test_large_numbers_keep_their_sign_in_execute_many(database: Database) -> None:
    largest = 2**64 - 2
    await database.execute_many(INSERT, [{"name": largest}, {"name": -1}])
    names = [row.name for row in await database.fetch_all("SELECT name FROM users ORDER BY id")]
    assert names == [str(largest), "-1"]


@MARIADB_ONLY
async def test_execute_many_takes_inserts_of_every_form(database: Database) -> None:
    upsert = INSERT + " ON DUPLICATE KEY UPDATE name = :other"
    await database.execute_many(
        upsert, [{"name": "a", "other": "A%"}, {"name": "a", "other": "A%"}]
    )
    await database.execute_many(
        "INSERT INTO users (name) SELECT :name", [{"name": "b"}, {"name": "c"}]
    )
    await database.execute_many("INSERT INTO users SET name = :name", [{"name": "d%"}])
    core = mysql.insert(users).on_duplicate_key_update(name="B")
    await database.execute_many(core, [{"id": 3, "name": "b"}, {"id": 90, "name": "e"}])
    await database.execute_many(INSERT, [{"name": str(n) * 90} for n in range(10, 60)])
    names = [row.name for row in await database.fetch_all("SELECT name FROM users ORDER BY id")]
    assert {"A%", "d%", "e"} <= set(names)
    assert len(names) == 55


@MARIADB_ONLY
async def test_more_rows_than_one_packet_holds_are_sent_in_several(database: Database) -> None:
    await database.execute("CREATE TABLE large (id INTEGER PRIMARY KEY, text LONGTEXT)")
    rows = [{"id": number, "text": "x" * 3_000_000} for number in range(7)]
    await database.execute_many("INSERT INTO large (id, text) VALUES (:id, :text)", rows)
    await database.execute_many("UPDATE large SET text = :text WHERE id = :id", rows)
    assert await database.fetch_val("SELECT sum(length(text)) FROM large") == 21_000_000


@MARIADB_ONLY
async def test_several_sql_modes_are_set_and_stay_set(url: str) -> None:
    async with Database(url, max_size=1, sql_mode="ANSI_QUOTES,STRICT_TRANS_TABLES") as database:
        for _ in range(2):
            assert await database.fetch_val('SELECT "a" FROM (SELECT 1 AS a) AS quoted') == 1
            await database.execute("SET @leaves = 1")


@MARIADB_ONLY
async def test_autocommit_cannot_be_turned_off(url: str) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="never keep a single statement"):
        await Database(url, autocommit=False).connect()


@MARIADB_ONLY
async def test_a_server_without_tls_is_refused_where_tls_is_asked_for(url: str) -> None:
    with pytest.raises(exceptions.OperationalError):
        await Database(url, ssl=True).connect()


@POSTGRESQL_ONLY
async def test_a_column_that_was_altered_takes_values_of_its_new_type(database: Database) -> None:
    await database.execute("CREATE TABLE counts (a INTEGER)")
    insert = "INSERT INTO counts (a) VALUES (:a)"
    await database.execute(insert, {"a": 1})
    await database.execute("ALTER TABLE counts ALTER COLUMN a TYPE bigint")
    await database.execute(insert, {"a": 2**40})
    await database.execute_many(insert, [{"a": 2**41}])
    with pytest.raises(exceptions.DataError):
        await database.execute(insert, {"a": 2**80})
    assert await database.fetch_val("SELECT max(a) FROM counts") == 2**41


@POSTGRESQL_ONLY
async def test_a_type_that_was_replaced_is_looked_up_again(database: Database) -> None:
    await database.execute("CREATE TYPE mood AS ENUM ('a')")
    await database.execute("CREATE TABLE moods (id INTEGER, mood mood)")
    insert = "INSERT INTO moods (id, mood) VALUES (1, :mood)"
    await database.execute(insert, {"mood": "a"})
    for statement in (
        "ALTER TYPE mood RENAME TO old_mood",
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "ALTER TABLE moods ALTER COLUMN mood TYPE mood USING mood::text::mood",
        "DROP TYPE old_mood",
    ):
        await database.execute(statement)
    await database.execute(insert, {"mood": "b"})
    assert await database.fetch_val("SELECT count(*) FROM moods WHERE mood = 'b'") == 1


@POSTGRESQL_ONLY
async def test_what_only_libpq_knows_may_stand_in_a_url(url: str) -> None:
    options = "connect_timeout=5&keepalives=1&application_name=mine"
    async with Database(f"{url}{'&' if '?' in url else '?'}{options}") as database:
        assert await database.fetch_val("SHOW application_name") == "mine"
