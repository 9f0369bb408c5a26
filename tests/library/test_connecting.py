"""Connecting and disconnecting, options, and what cannot be opened."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable

import fastapi
import pytest
from fastapi.testclient import TestClient

from databases import Database, DatabaseURL, exceptions
from tests.library.kinds import NETWORK_ONLY, Kind
from tests.library.places import OnServer, until
from tests.servers.processes import free_port


async def test_connect_and_disconnect_can_be_repeated(url: str) -> None:
    database = Database(url)
    assert not database.is_connected
    await database.disconnect()
    for _ in range(2):
        await database.connect()
        await database.connect()
        assert database.is_connected
        assert await database.fetch_val("SELECT 1") == 1
        await database.disconnect()
        await database.disconnect()
        assert not database.is_connected
    for thread in threading.enumerate():
        if thread.name.startswith("databases-"):
            thread.join(5)
            assert not thread.is_alive()


async def test_many_tasks_may_connect_at_once(url: str) -> None:
    database = Database(url)
    await asyncio.gather(*[database.connect() for _ in range(20)])
    assert await database.fetch_val("SELECT 1") == 1
    await asyncio.gather(*[database.disconnect() for _ in range(20)])


def test_one_database_serves_one_event_loop_after_another(url: str) -> None:
    database = Database(url)

    async def use() -> None:
        await asyncio.gather(database.connect(), database.connect())
        async with database.transaction():
            assert await database.fetch_val("SELECT 1") == 1
        await database.disconnect()

    asyncio.run(use())
    asyncio.run(use())


CALLS: dict[str, Callable[[Database], Awaitable[object]]] = {
    "fetch_all": lambda database: database.fetch_all("SELECT 1"),
    "execute": lambda database: database.execute("SELECT 1"),
    "execute_many": lambda database: database.execute_many("SELECT :a", [{"a": 1}]),
    "transaction": lambda database: database.transaction().start(),
    "connection": lambda database: database.connection().__aenter__(),
    "iterate": lambda database: database.iterate("SELECT 1").__anext__(),
}


@pytest.mark.parametrize("scheme", Database.SUPPORTED_BACKENDS)
@pytest.mark.parametrize("method", CALLS)
async def test_a_query_before_connect_says_what_to_write_and_where(
    scheme: str, method: str
) -> None:
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await CALLS[method](Database(f"{scheme}:///name"))
    assert isinstance(caught.value, AssertionError)
    message = str(caught.value)
    assert "await database.connect()" in message
    assert "FastAPI(lifespan=database.lifespan)" in message
    assert '@app.on_event("startup")' in message
    assert "test_connecting.py" in message


async def test_a_query_after_disconnect_says_where_that_was(url: str) -> None:
    database = Database(url)
    await database.connect()
    await database.disconnect()
    with pytest.raises(exceptions.NotConnectedError, match="disconnected at:") as caught:
        await database.fetch_one("SELECT 1")
    assert "in test_a_query_after_disconnect_says_where_that_was" in str(caught.value)


async def test_a_connect_never_awaited_is_named_by_the_error_that_follows(url: str) -> None:
    database = Database(url)
    database.connect()
    with pytest.raises(exceptions.NotConnectedError) as caught:
        await database.fetch_one("SELECT 1")
    message = str(caught.value)
    assert "database.connect() was called but not awaited" in message
    assert "wrong:  database.connect()" in message
    assert "right:  await database.connect()" in message
    with pytest.warns(RuntimeWarning, match=r"database\.connect\(\) was never awaited"):
        await database.connect()
    await database.disconnect()


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(exceptions.UnknownBackendError) as caught:
        Database("mssql://localhost/app")
    assert isinstance(caught.value, KeyError)
    assert str(caught.value).startswith("There is no backend for the URL scheme 'mssql'.")
    assert "sqlite+aiosqlite" in str(caught.value)
    with pytest.raises(TypeError):
        Database(None)  # type: ignore[arg-type]


async def test_disconnect_while_work_is_under_way_ends_it(url: str) -> None:
    database = Database(url)
    await database.connect()
    await database.execute("CREATE TABLE a (x INTEGER)")
    transaction = await database.transaction()
    await database.execute("INSERT INTO a VALUES (1)")
    iteration = database.iterate("SELECT 1 UNION SELECT 2")
    await iteration.__anext__()
    await database.disconnect()
    with pytest.raises(exceptions.NotConnectedError):
        await transaction.commit()
    await iteration.aclose()
    await database.connect()
    if not url.endswith("//"):
        assert await database.fetch_val("SELECT count(*) FROM a") == 0
    async with database.transaction():
        assert await database.fetch_val("SELECT 1") == 1
    await database.disconnect()


SCRIPT = """
import asyncio, databases, sys
database = databases.Database(sys.argv[1], force_rollback=sys.argv[2] == "True")
async def main():
    await database.connect()
    await database.execute("CREATE TABLE IF NOT EXISTS a (x INTEGER)")
    transaction = await database.transaction()
    await database.execute("INSERT INTO a VALUES (1)")
    print("done")
asyncio.run(main())
"""


@pytest.mark.parametrize("force_rollback", [False, True])
def test_a_program_that_never_disconnects_ends(url: str, force_rollback: bool) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, url, str(force_rollback)],
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "done"), ended.stderr


def test_lifespan_connects_for_as_long_as_the_application_runs(url: str) -> None:
    database = Database(url)
    app = fastapi.FastAPI(lifespan=database.lifespan)

    @app.get("/")
    async def read() -> dict[str, int]:
        return {"number": await database.fetch_val("SELECT 1")}

    with TestClient(app) as client:
        assert database.is_connected
        assert client.get("/").json() == {"number": 1}
    assert not database.is_connected


def test_bound_methods_serve_as_startup_and_shutdown_handlers(url: str) -> None:
    database = Database(url)
    app = fastapi.FastAPI(on_startup=[database.connect], on_shutdown=[database.disconnect])
    with TestClient(app):
        assert database.is_connected
    assert not database.is_connected


@NETWORK_ONLY
async def test_a_server_that_is_not_there_is_told_with_its_address(kind: Kind) -> None:
    port = free_port()
    database = Database(f"{kind.scheme}://ada:secret@127.0.0.1:{port}/app")
    with pytest.raises(exceptions.OperationalError) as caught:
        await database.connect()
    told = "\n".join([str(caught.value), *caught.value.__notes__])
    assert f":{port}" in told
    assert "Does a server listen there" in told
    assert "in test_a_server_that_is_not_there_is_told_with_its_address" in told
    assert "secret" not in told + repr(caught.value)
    assert not database.is_connected


@NETWORK_ONLY
async def test_a_database_that_is_not_there_is_told_with_how_to_make_it(
    kind: Kind, url: str
) -> None:
    database = Database(DatabaseURL(url).replace(database="nowhere"))
    with pytest.raises(exceptions.DriverError, match="nowhere") as caught:
        await database.connect()
    assert "CREATE DATABASE" in "\n".join(caught.value.__notes__)
    assert not database.is_connected


@NETWORK_ONLY
async def test_disconnecting_leaves_no_session_behind(
    kind: Kind, url: str, server: OnServer
) -> None:
    database = Database(url, min_size=3, max_size=5)
    await database.connect()
    assert len(server.sessions()) == 3
    await asyncio.gather(*[database.fetch_val("SELECT 1") for _ in range(50)])
    assert 3 <= len(server.sessions()) <= 5
    async with database.connection():
        await database.disconnect()
    await until(lambda: not server.sessions())


@NETWORK_ONLY
async def test_a_database_that_is_dropped_without_disconnect_leaves_no_session_behind(
    kind: Kind, url: str, server: OnServer
) -> None:
    async def use() -> None:
        database = Database(url)
        await database.connect()
        async with database.transaction():
            await database.fetch_val("SELECT 1")

    with warnings.catch_warnings():
        # The drivers' own, of what was left open.
        warnings.simplefilter("ignore", ResourceWarning)
        await use()
        gc.collect()
        await until(lambda: not server.sessions())


@NETWORK_ONLY
@pytest.mark.parametrize("moment", [0, 0.001, 0.002, 0.003, 0.005, 0.01])
async def test_a_connect_that_is_cancelled_leaves_no_session_behind(
    url: str, server: OnServer, moment: float
) -> None:
    database = Database(url)
    connecting = asyncio.ensure_future(database.connect())
    await asyncio.sleep(moment)
    connecting.cancel()
    await asyncio.wait([connecting])
    await database.disconnect()
    await until(lambda: not server.sessions())
    await database.connect()
    assert await database.fetch_val("SELECT 1") == 1
    await database.disconnect()


@NETWORK_ONLY
async def test_an_option_that_the_driver_lacks_is_told_with_those_there_are(
    kind: Kind, url: str
) -> None:
    with pytest.raises(exceptions.UnknownOptionError, match=r"did you mean 'max_size'.*min_size"):
        await Database(url, max_sise=3).connect()
    with pytest.raises(exceptions.UnknownOptionError, match="max_size is a whole number"):
        await Database(f"{url}?max_size=2.5").connect()
    with pytest.raises(exceptions.UnknownOptionError, match="min_size=5 and max_size=2"):
        await Database(url, min_size=5, max_size=2).connect()


@NETWORK_ONLY
async def test_keywords_win_over_options_of_the_url(kind: Kind, url: str, server: OnServer) -> None:
    async with Database(f"{url}?min_size=1&max_size=nonsense", min_size=2, max_size=2):
        assert len(server.sessions()) == 2


async def test_url_and_options_of_a_database_are_attributes(kind: Kind, url: str) -> None:
    database = Database(DatabaseURL(url), **kind.alone)
    assert database.url == url
    assert database.options == kind.alone
    assert repr(database) == f"<Database {url} (not connected)>"
    async with database:
        assert repr(database) == f"<Database {url} (connected)>"
