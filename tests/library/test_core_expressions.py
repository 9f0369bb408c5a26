"""SQLAlchemy Core expressions as queries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, CompileError, InvalidRequestError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import DropTable

from databases import Database, exceptions
from tests.library.kinds import SQLITE_ONLY, Kind


class Shouted(sa.TypeDecorator[str]):
    """Kept in capitals, read in brackets, whatever the driver's type is."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        return None if value is None else str(value).upper()

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        return None if value is None else f"<{value}>"


def double_of_a(context: Any) -> int:
    return 2 * int(context.get_current_parameters()["a"])


metadata = sa.MetaData()
users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(200)),
)
notes = sa.Table(
    "notes",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.ForeignKey("users.id")),
    sa.Column("text", Shouted(200)),
)
counter = iter(range(1, 1000))
defaults = sa.Table(
    "defaults",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a", sa.Integer, default=7),
    sa.Column("b", sa.Integer, default=lambda: next(counter)),
    sa.Column("c", sa.Integer, default=double_of_a),
    sa.Column("d", sa.String(20), default=sa.func.lower("SQL")),
    sa.Column("e", sa.String(20), server_default="server"),
    sa.Column("f", sa.Integer, onupdate=lambda: 99),
)


@pytest.fixture
async def database(kind: Kind, url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        for element in kind.ddl(metadata.sorted_tables):
            await database.execute(element)
        yield database


async def test_values_come_as_a_dict_or_in_the_expression(database: Database) -> None:
    assert await database.execute(users.insert(), {"name": "Ada"}) == 1
    assert await database.execute(users.insert().values(name="Grace")) == 2
    assert await database.execute(users.insert(), {users.c.name: "Emmy"}) == 3
    assert await database.execute(users.insert()) == 4
    await database.execute(users.update().where(users.c.id == 4), {"name": "Lise"})
    rows = await database.fetch_all(users.select().order_by(users.c.id))
    assert [row.name for row in rows] == ["Ada", "Grace", "Emmy", "Lise"]


async def test_values_for_a_select_are_its_binds(database: Database) -> None:
    await database.execute(users.insert(), {"name": "Ada"})
    query = users.select().where(users.c.name == sa.bindparam("name"))
    row = await database.fetch_one(query, values={"name": "Ada"})
    assert row is not None
    assert row.id == 1
    assert await database.fetch_one(query, {"name": "Grace"}) is None
    assert await database.fetch_val(sa.text("SELECT 0 + :a"), {"a": 5}) == 5


async def test_values_of_an_update_may_be_binds_of_its_where(database: Database) -> None:
    await database.execute_many(users.insert(), [{"name": "a"}, {"name": "b"}])
    update = users.update().where(users.c.id == sa.bindparam("which"))
    await database.execute(update, {"which": 2, "name": "changed"})
    await database.execute_many(update, [{"which": 1, "name": "one"}])
    rows = await database.fetch_all(users.select().order_by(users.c.id))
    assert [row.name for row in rows] == ["one", "changed"]


async def test_values_may_be_sql_expressions(database: Database) -> None:
    await database.execute(users.insert(), {"name": sa.func.upper("ada")})
    await database.execute(users.update(), {"name": users.c.name + "!"})
    assert await database.fetch_val(sa.select(users.c.name)) == "ADA!"
    # Values win over those that the expression has.
    await database.execute(users.insert().values(id=9, name=sa.func.upper("x")), {"name": "y"})
    assert await database.fetch_val(sa.select(users.c.name).where(users.c.id == 9)) == "y"


async def test_params_of_an_expression_are_its_values(database: Database) -> None:
    query = sa.select(sa.bindparam("x", type_=sa.Integer)).params(x=3)
    assert await database.fetch_val(query) == 3
    query = sa.select(sa.bindparam("x", type_=sa.Integer)).params(x=4)
    assert await database.fetch_val(query) == 4


async def test_copies_with_other_params_keep_their_own_values(database: Database) -> None:
    await database.execute_many(users.insert(), [{"name": str(i)} for i in range(4)])
    one = users.select().where(users.c.id == sa.bindparam("which", required=False))
    inner = sa.select(users.c.id).where(users.c.id > sa.bindparam("more")).params(more=1)
    several = users.select().where(users.c.id.in_(inner), users.c.name != sa.bindparam("name"))
    for _ in range(2):
        for number in (1, 2, 3):
            assert await database.fetch_val(one.params(which=number)) == number
            rows = await database.fetch_all(several.params(name=str(number)))
            assert [row.id for row in rows] == [i for i in (2, 3, 4) if i != number + 1]
        assert await database.fetch_val(one.params(which=2).limit(1)) == 2
        assert await database.fetch_one(one.params(which=2).where(users.c.name == "x")) is None
        both = one.params(which=3).params(other=1)
        assert await database.fetch_val(both) == 3


async def test_one_shape_of_expression_is_compiled_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = 0
    compile_it = sa.sql.ClauseElement.compile

    def counting(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal compiled
        compiled += 1
        return compile_it(self, *args, **kwargs)

    monkeypatch.setattr(sa.sql.ClauseElement, "compile", counting)
    for number in range(5):
        assert await database.fetch_val(sa.select(sa.literal(number) + 1)) == number + 1
        await database.execute(users.insert(), {"name": str(number)})
    assert compiled == 2


async def test_in_lists_of_every_length_find_their_rows(database: Database) -> None:
    await database.execute_many(users.insert(), [{"name": str(i)} for i in range(10)])
    for wanted in ([1], [1, 2, 3], [], list(range(1, 11)), [5, 6, 7]):
        rows = await database.fetch_all(users.select().where(users.c.id.in_(wanted)))
        assert [row.id for row in rows] == wanted
    limited = users.select().where(users.c.id.in_([3, 4, 5])).limit(2)
    assert [row.id for row in await database.fetch_all(limited)] == [3, 4]


async def test_python_side_defaults_are_filled_in(database: Database) -> None:
    await database.execute(defaults.insert(), {"a": 5})
    await database.execute(defaults.insert())
    row = await database.fetch_one(defaults.select())
    assert row is not None
    assert (row.a, row.c, row.d, row.e, row.f) == (5, 10, "sql", "server", None)
    second = await database.fetch_one(defaults.select().where(defaults.c.id == 2))
    assert second is not None
    assert (second.a, second.c) == (7, 14)
    assert second.b == row.b + 1
    await database.execute(defaults.update().where(defaults.c.id == 1), {"a": 6})
    assert await database.fetch_val(sa.select(defaults.c.f).where(defaults.c.id == 1)) == 99


async def test_every_row_of_many_gets_its_own_defaults(database: Database) -> None:
    await database.execute_many(defaults.insert(), [{"a": 1}, {"a": 2}, {"b": 0}])
    rows = await database.fetch_all(defaults.select().order_by(defaults.c.id))
    assert [row.c for row in rows] == [2, 4, 14]
    assert rows[1].b == rows[0].b + 1
    await database.execute(defaults.insert().values([{"a": 10}, {"a": 20}]))
    await database.execute(defaults.insert(), [{"a": 30}, {"a": 40}])
    rows = await database.fetch_all(defaults.select().where(defaults.c.a > 9).order_by("id"))
    assert [row.c for row in rows] == [20, 40, 60, 80]


async def test_columns_of_a_join_with_the_same_name_are_told_apart(database: Database) -> None:
    await database.execute(users.insert(), {"id": 3, "name": "Ada"})
    await database.execute(notes.insert(), {"id": 8, "user_id": 3, "text": "x"})
    query = sa.select(users.c.id, notes.c.id, notes.c.text).join_from(users, notes)
    row = await database.fetch_one(query)
    assert row is not None
    assert (row[users.c.id], row[notes.c.id], row[notes.c.text]) == (3, 8, "<X>")
    with pytest.raises(KeyError, match="its columns are"):
        row[users.c.name]


async def test_columns_of_aliases_made_anew_find_their_values(database: Database) -> None:
    await database.execute_many(users.insert(), [{"name": "a"}, {"name": "b"}])
    for _ in range(3):
        one, two = users.alias(), users.alias()
        query = sa.select(one.c.id, two.c.id).where(one.c.id == 1, two.c.id == 2)
        row = await database.fetch_one(query)
        assert row is not None
        assert (row[one.c.id], row[two.c.id]) == (1, 2)
        inner = sa.select(users.c.name.label("n")).subquery()
        row = await database.fetch_one(sa.select(inner.c.n).order_by(inner.c.n))
        assert row is not None
        assert row[inner.c.n] == "a"
        label = sa.func.count().label("how_many")
        row = await database.fetch_one(sa.select(label).select_from(users))
        assert row is not None
        assert row[label] == row.how_many == 2
        row = await database.fetch_one(sa.select(users.c.id.label("number")))
        assert row is not None
        assert row[users.c.id] == row.number == 1
        function = sa.func.count(users.c.id)
        row = await database.fetch_one(sa.select(function))
        assert row is not None
        assert row[function] == row[0] == 2


async def test_a_text_with_columns_decodes_them(database: Database) -> None:
    query = sa.text("SELECT '[1]' AS data, 2 AS other").columns(sa.column("data", sa.JSON))
    row = await database.fetch_one(query)
    assert row is not None
    assert (row.data, row.other) == ([1], 2)


async def test_unions_subqueries_and_ctes_run(database: Database) -> None:
    await database.execute_many(users.insert(), [{"name": "a"}, {"name": "b"}])
    union = sa.union_all(sa.select(users.c.name), sa.select(sa.literal("c")))
    assert [row[0] for row in await database.fetch_all(union)] == ["a", "b", "c"]
    cte = sa.select(users.c.id).where(users.c.id > 1).cte()
    assert await database.fetch_val(sa.select(cte.c.id)) == 2


async def test_returning_gives_its_columns(database: Database) -> None:
    insert = users.insert().returning(users.c.id, users.c.name)
    row = await database.fetch_one(insert, {"name": "Ada"})
    assert row is not None
    assert (row[users.c.id], row.name) == (1, "Ada")
    assert await database.fetch_val(insert, {"name": "Grace"}) == 2


@SQLITE_ONLY
async def test_an_upsert_returns_the_id_only_of_a_new_row(database: Database) -> None:
    from sqlalchemy.dialects.sqlite import insert

    await database.execute(users.insert(), {"name": "other"})
    upsert = insert(users).on_conflict_do_update(index_elements=["id"], set_={"name": "new"})
    assert await database.execute(upsert, {"id": 9, "name": "first"}) == 9
    await database.execute(users.insert(), {"name": "between"})
    await database.execute(upsert, {"id": 9, "name": "second"})
    assert await database.fetch_val(users.select().where(users.c.id == 9), column="name") == "new"


async def test_ddl_elements_run(database: Database) -> None:
    await database.execute(DropTable(notes))
    await database.execute(sa.DDL("CREATE TABLE made (x INTEGER)"))  # type: ignore[no-untyped-call]
    assert await database.fetch_val("SELECT count(*) FROM made") == 0


async def test_an_unknown_name_is_an_error_and_not_ignored(database: Database) -> None:
    with pytest.raises(exceptions.BindError, match="did you mean 'name'") as caught:
        await database.execute(users.insert(), {"nmae": "Ada"})
    assert isinstance(caught.value, CompileError)
    with pytest.raises(exceptions.BindError, match="no bind named 'x'") as of_select:
        await database.fetch_all(users.select(), {"x": 1})
    assert isinstance(of_select.value, ArgumentError)
    with pytest.raises(CompileError, match="Unconsumed column names: nmae"):
        await database.execute(users.insert().values(nmae="Ada"))


async def test_a_missing_bind_is_an_error(database: Database) -> None:
    query = users.select().where(users.c.name == sa.bindparam("wanted"))
    with pytest.raises(exceptions.BindError, match="The bind :wanted has no value") as caught:
        await database.fetch_all(query)
    assert isinstance(caught.value, InvalidRequestError)


async def test_execute_many_takes_rows_with_different_columns(database: Database) -> None:
    await database.execute_many(users.insert(), [{"name": "a"}, {"id": 7, "name": "b"}, {"id": 9}])
    rows = await database.fetch_all(users.select().order_by(users.c.id))
    assert [tuple(row.values()) for row in rows] == [(1, "a"), (7, "b"), (9, None)]


async def test_mapped_classes_can_be_selected(database: Database) -> None:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    await database.execute(sa.insert(User), {"name": "Ada"})
    row = await database.fetch_one(sa.select(User).where(User.name == "Ada"))
    assert row is not None
    assert dict(row) == {"id": 1, "name": "Ada"}


class Only(sa.sql.expression.ColumnElement[int]):
    inherit_cache = True


@compiles(Only, "sqlite", "postgresql", "mysql", "mariadb")
def write(element: object, compiler: object, **options: object) -> str:
    return "missing_function()"


async def test_an_expression_that_only_the_dialect_can_write_keeps_its_error(
    database: Database,
) -> None:
    with pytest.raises(exceptions.DriverError, match=r"(?i)missing_function") as caught:
        await database.fetch_all(sa.select(Only()))
    assert "SQL: <Select>" in caught.value.__notes__


async def test_an_error_shows_the_sql_of_the_expression(kind: Kind, database: Database) -> None:
    missing = sa.table("missing", sa.column("x"))
    with pytest.raises(kind.missing_table) as caught:
        await database.fetch_all(sa.select(missing.c.x))
    assert "SQL: SELECT missing.x FROM missing" in caught.value.__notes__
