"""Where reads are to go: what can be asked for, with replicas or without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from databases import Database, exceptions
from databases.routing import Servers, Writes
from databases.url import DatabaseURL

POSTGRES = "postgresql://ada:s3cret@a:5432/users"


def replicas_of(database: Database) -> dict[str, str]:
    servers = database._engine._servers
    return {name: str(url) for name, url in servers.replicas.items()}


async def test_a_database_without_replicas_takes_all_of_it(database: Database) -> None:
    assert await database.fetch_val("SELECT 1", prefer="replica") == 1
    assert await database.fetch_all("SELECT 1", prefer="replica", timeout=5)
    with database.prefer("replica"):
        await database.execute("INSERT INTO users (name) VALUES ('Ada')")
        assert await database.fetch_val("SELECT count(*) FROM users", prefer="primary") == 1
        assert [row async for row in database.iterate("SELECT 1", prefer="replica")]
        async with database.transaction(readonly=True):
            assert await database.fetch_one("SELECT 1", prefer="replica")
    others = Database(database.url, replicas=[], prefer="replica", max_lag=5, **database.options)
    assert others._engine._servers.routing is None


async def test_max_lag_in_the_url_is_not_handed_to_the_driver() -> None:
    async with Database("sqlite://?max_lag=5") as database:
        assert await database.fetch_val("SELECT 1", prefer="replica") == 1
        assert database._engine._servers.max_lag == 5


@pytest.mark.parametrize("where", ["replicas", "", None, 1])
async def test_another_word_is_answered_with_the_right_ones(where: Any) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match='"primary" or "replica"'):
        Database("sqlite://", prefer=where)
    async with Database("sqlite://") as database:
        with pytest.raises(exceptions.UnknownOptionError, match='"primary" or "replica"'):
            database.prefer(where)
        if where is not None:
            with pytest.raises(exceptions.UnknownOptionError, match='"primary" or "replica"'):
                database.fetch_all("SELECT 1", prefer=where)
            with pytest.raises(exceptions.UnknownOptionError, match='"primary" or "replica"'):
                database.iterate("SELECT 1", prefer=where)


async def test_a_connection_has_no_preference() -> None:
    async with Database("sqlite://") as database, database.connection() as connection:
        with pytest.raises(exceptions.UnknownOptionError, match="prefer= is for a query on the"):
            connection.fetch_all("SELECT 1", prefer="replica")


@pytest.mark.parametrize("max_lag", [0, -1, "soon", "nan", "inf"])
def test_a_lag_is_a_number_of_seconds(max_lag: Any) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="a number of seconds above 0"):
        Database("sqlite://", max_lag=max_lag)
    with pytest.raises(exceptions.UnknownOptionError, match="a number of seconds above 0"):
        Database(f"{POSTGRES}?max_lag={max_lag}")


@pytest.mark.parametrize(
    ("url", "replica"),
    [("sqlite://", POSTGRES), (POSTGRES, "sqlite://"), (POSTGRES, "mysql://a/users")],
)
def test_a_replica_is_of_the_same_kind_as_its_primary(url: str, replica: str) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match="cannot be at") as caught:
        Database(url, replicas=[replica])
    assert "s3cret" not in str(caught.value)


def test_replicas_have_the_driver_and_the_options_of_the_primary() -> None:
    url = "postgresql+psycopg://a/users?max_size=5&sslmode=require&target_session_attrs=primary"
    database = Database(url, replicas=["postgres://b/users?max_size=7", "postgresql://[::1]:1/u"])
    assert replicas_of(database) == {
        "b": "postgresql+psycopg://b/users?sslmode=require&max_size=7",
        "[::1]:1": "postgresql+psycopg://[::1]:1/u?max_size=5&sslmode=require",
    }
    assert database._engine._servers.url == url


def test_hosts_are_candidates_and_none_is_named_twice() -> None:
    url = "postgresql://ada:s3cret@a:1,b:2/users?target_session_attrs=read-write&max_lag=3"
    database = Database(url, replicas=["postgresql://ada@b:2,c:3/users"])
    assert list(replicas_of(database)) == ["a:1", "b:2", "c:3"]
    assert replicas_of(database)["a:1"] == "postgresql://ada:s3cret@a:1/users"
    assert "s3cret" not in str(list(replicas_of(database)))
    assert Servers(DatabaseURL(url)).max_lag == 3


async def test_a_preference_ends_with_its_block_wherever_that_is_left() -> None:
    """A generator that was not run to its end is closed by the event loop, in another context."""
    database = Database(POSTGRES, replicas=[POSTGRES])
    routing = database._routing
    assert routing is not None

    async def generate() -> Any:
        with database.prefer("replica"):
            yield routing.prefers_replica

    generator = generate()
    assert await asyncio.create_task(anext(generator))
    assert not routing.prefers_replica
    await generator.aclose()
    assert not routing.prefers_replica


def test_a_replica_has_a_user_and_a_place_of_its_own() -> None:
    primary = "postgresql://a/users?user=ada&password=s3cret&sslmode=require"
    others = ["postgresql://grace:hopper@b/users", "postgresql://c/users"]
    database = Database(primary, replicas=others, host="a", port=1)
    assert replicas_of(database) == {
        "b": "postgresql://grace:hopper@b/users?sslmode=require",
        "c": "postgresql://c/users?user=ada&password=s3cret&sslmode=require",
    }
    backend: Any = database._engine._make()
    options = [replica.backend._driver.options for replica in backend._replicas.all]
    assert [each.place(("b", 5432)) for each in options] == [{"host": "b", "port": 5432}] * 2


def test_of_two_positions_that_were_asked_for_the_one_after_more_writes_counts() -> None:
    writes = Writes()
    writes.mark()
    writes.mark()
    writes.covered(2, {"log": 9})
    writes.covered(1, {"log": 5})  # asked for before, answered later
    assert (writes.known, writes.position) == (2, {"log": 9})
