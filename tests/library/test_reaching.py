"""How a server is reached: as whom, by what address, over what, through what."""

from __future__ import annotations

import asyncio
import ssl
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from databases import Database, DatabaseURL, exceptions
from tests.conftest import running
from tests.library.kinds import (
    AIOMYSQL,
    MARIADB_ONLY,
    NETWORK_ONLY,
    POSTGRESQL_ONLY,
    Kind,
    Network,
)
from tests.library.places import of_driver
from tests.servers.mariadb import MariaDB
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import loopback

PASSWORDS = ["p@ss:w/rd#?[]", "\"'\\ $%41&=+;", "é名🐘", " blanks ", "None", "*" * 8]


@pytest.fixture(scope="module")
def guarded_postgresql() -> Iterator[PostgreSQL]:
    """A server that asks ada for her password."""
    hba = ["host all ada all scram-sha-256", "local all ada scram-sha-256"]
    with running(lambda: PostgreSQL(hba=hba)) as server:
        server.execute("CREATE ROLE ada LOGIN")
        yield server


@pytest.fixture
def ada(kind: Network, request: pytest.FixtureRequest) -> Iterator[Ada]:
    ada = Ada(request.getfixturevalue(kind.guarded), kind)
    yield ada
    ada.leave()


class Ada:
    """A user with a password, on a server that asks for it."""

    def __init__(self, server: PostgreSQL | MariaDB, kind: Network) -> None:
        self._server = server
        self._kind = kind
        self._words = kind.user_words

    def url(self, password: str) -> DatabaseURL:
        """Have this password; her URL with it."""
        quoted = self._kind.text(password)
        self._server.execute(self._words.format(quoted))
        url = DatabaseURL(of_driver(self._server.url, self._kind.scheme))
        return url.replace(username="ada", password=password)

    def leave(self) -> None:
        self._server.execute(self._kind.no_user)


@NETWORK_ONLY
@pytest.mark.parametrize("password", PASSWORDS)
async def test_a_password_may_have_any_character(kind: Kind, ada: Ada, password: str) -> None:
    async with Database(ada.url(password)) as database:
        assert str(await database.fetch_val("SELECT current_user")).startswith("ada")


@NETWORK_ONLY
async def test_a_wrong_password_is_told_and_not_shown(kind: Kind, ada: Ada) -> None:
    secret = "s3cr3t/pass"
    database = Database(ada.url("right").replace(password=secret))
    with pytest.raises(exceptions.OperationalError) as caught:
        await database.connect()
    error: BaseException | None = caught.value
    assert "percent-encoded" in "\n".join(caught.value.__notes__)
    assert f"127.0.0.1:{database.url.port}" in "\n".join(caught.value.__notes__)
    shown = ["".join(traceback.format_exception(caught.value)), repr(database), repr(database.url)]
    while error is not None:
        shown += [repr(error), str(error), repr(vars(error))]
        error = error.__cause__ or error.__context__
    for text in shown:
        assert secret not in text
        assert "s3cr3t" not in text


@NETWORK_ONLY
async def test_a_password_is_not_shown_by_what_fails_later(kind: Kind, ada: Ada) -> None:
    secret = "s3cr3t"
    async with Database(ada.url(secret), **kind.alone, pool_timeout=0.05) as database:
        shown = [repr(database)]
        with pytest.raises(exceptions.DriverError) as failed:
            await database.fetch_all("SELECT * FROM missing")
        async with database.connection() as connection:
            shown += [repr(connection), repr(connection.transaction())]
            waiting = asyncio.create_task(database.fetch_val("SELECT 1"))
            await asyncio.wait([waiting])
    with pytest.raises(exceptions.PoolTimeout) as timed_out:
        await waiting
    with pytest.raises(exceptions.NotConnectedError) as disconnected:
        await database.fetch_val("SELECT 1")
    with pytest.raises(exceptions.UnknownOptionError) as unknown:
        await Database(ada.url(secret), colour="red").connect()
    for caught in (failed, timed_out, disconnected, unknown):
        shown.append("".join(traceback.format_exception(caught.value)))
    assert secret not in "".join(shown)


@NETWORK_ONLY
@pytest.mark.skipif("::1" not in loopback(), reason="There is no IPv6 here.")
async def test_a_server_is_reached_by_ipv6(url: str) -> None:
    async with Database(DatabaseURL(url).replace(hostname="::1")) as database:
        assert "[::1]" in str(database.url)
        assert await database.fetch_val("SELECT 1") == 1


@NETWORK_ONLY
async def test_a_server_is_reached_by_its_name(url: str) -> None:
    async with Database(DatabaseURL(url).replace(hostname="localhost")) as database:
        assert await database.fetch_val("SELECT 1") == 1


@POSTGRESQL_ONLY
@pytest.mark.parametrize("option", ["host", "unix_sock"])
async def test_postgresql_is_reached_by_its_socket(
    url: str, postgresql_server: PostgreSQL, option: str
) -> None:
    folder = postgresql_server.socket_directory
    place = DatabaseURL(url).replace(hostname=None, query=f"{option}={folder}")
    async with Database(place) as database:
        assert await database.fetch_val("SELECT inet_server_addr()") is None


@MARIADB_ONLY
@pytest.mark.parametrize("option", ["unix_socket", "unix_sock"])
async def test_mariadb_is_reached_by_its_socket(
    url: str, mariadb_server: MariaDB, option: str
) -> None:
    socket = mariadb_server.socket
    place = DatabaseURL(url).replace(hostname=None, port=None, query=f"{option}={socket}")
    async with Database(place) as database:
        query = "SELECT host FROM information_schema.processlist WHERE id = connection_id()"
        assert await database.fetch_val(query) == "localhost"
    by_keyword = DatabaseURL(url).replace(hostname=None, port=None)
    async with Database(by_keyword, unix_socket=str(socket)) as database:
        assert await database.fetch_val(query) == "localhost"


def authority(server: MariaDB | PgBouncer, folder: Path) -> str:
    """The certificate of the server's authority, where anybody may read it."""
    assert server.certificates is not None
    copy = folder / "authority.crt"
    copy.write_bytes(server.certificates.authority.read_bytes())
    return str(copy)


@MARIADB_ONLY
async def test_mariadb_is_reached_over_tls(
    kind: Kind, tls_mariadb: MariaDB, tmp_path: Path
) -> None:
    place = of_driver(tls_mariadb.url, kind.scheme)
    trusted = authority(tls_mariadb, tmp_path)
    context = ssl.create_default_context(cafile=trusted)
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"?ssl=true&ssl_ca={trusted}", {}),
        (f"?ssl_ca={trusted}", {}),
        ("", {"ssl": context}),
    ]
    for query, options in ways:
        async with Database(place + query, **options) as database:
            row = await database.fetch_one("SHOW STATUS LIKE 'Ssl_cipher'")
            assert row is not None
            assert row[1]
    for query in ("", "?ssl=true", "?ssl=false"):
        with pytest.raises(exceptions.OperationalError):
            await Database(place + query).connect()


@POSTGRESQL_ONLY
async def test_postgresql_is_reached_over_tls(
    kind: Kind, tls_pgbouncer: PgBouncer, tmp_path: Path
) -> None:
    trusted = authority(tls_pgbouncer, tmp_path)
    place = f"{of_driver(tls_pgbouncer.url, kind.scheme)}?statement_cache_size=0"
    for query in ("sslmode=require", f"sslmode=verify-full&sslrootcert={trusted}", "ssl=require"):
        async with Database(f"{place}&{query}") as database:
            assert await database.fetch_val("SELECT 1") == 1
    stranger = tmp_path / "stranger.crt"
    stranger.write_text(STRANGER)
    for query in ("sslmode=disable", "ssl=false", f"sslmode=verify-full&sslrootcert={stranger}"):
        with pytest.raises(exceptions.DriverError):
            await Database(f"{place}&{query}").connect()


STRANGER = ssl.DER_cert_to_PEM_cert(ssl.create_default_context().get_ca_certs(binary_form=True)[0])


@pytest.fixture(scope="module")
def behind_pgbouncer(postgresql_server: PostgreSQL, pgbouncer_server: PgBouncer) -> str:
    """A database of its own: pgbouncer keeps sessions that other tests would find left open."""
    postgresql_server.create_database("bounced")
    return pgbouncer_server.url_of("bounced")


@pytest.fixture
def bouncing(behind_pgbouncer: str, kind: Kind) -> str:
    return of_driver(behind_pgbouncer, kind.scheme)


@POSTGRESQL_ONLY
async def test_pgbouncer_works_where_no_statements_are_kept(
    bouncing: str,
) -> None:
    async with Database(f"{bouncing}?statement_cache_size=0") as database:
        await database.execute("CREATE TABLE a (x INTEGER UNIQUE)")
        for _ in range(2):

            async def work(number: int) -> None:
                async with database.transaction(isolation="repeatable_read"):
                    await database.execute("INSERT INTO a VALUES (:x)", {"x": number})
                    async with database.transaction(force_rollback=True):
                        await database.execute("UPDATE a SET x = -x WHERE x = :x", {"x": number})
                query = "SELECT x FROM a WHERE x = :x"
                assert await database.fetch_val(query, {"x": number}) == number
                assert [row.x async for row in database.iterate(query, {"x": number})] == [number]

            await asyncio.gather(*[work(number) for number in range(30)])
            rows = [{"x": number} for number in range(100, 200)]
            await database.execute_many("INSERT INTO a VALUES (:x)", rows)
            with pytest.raises(exceptions.IntegrityError):
                await database.execute_many("INSERT INTO a VALUES (:x)", [{"x": 200}, *rows])
            assert await database.fetch_val("SELECT count(*) FROM a") == 130
            await database.execute("DELETE FROM a")
        await database.execute("DROP TABLE a")


@POSTGRESQL_ONLY
async def test_behind_pgbouncer_a_statement_that_is_gone_names_the_option(
    kind: Kind, bouncing: str, behind_pgbouncer: str
) -> None:
    async with Database(bouncing, **kind.alone) as database:
        with pytest.raises(exceptions.DriverError, match="prepared statement") as caught:
            async with database.connection() as connection:
                # A driver may prepare a statement only after it was run some times.
                for number in range(20):
                    await connection.fetch_val("SELECT 1 + :a", {"a": number})
                # Another client of pgbouncer, in the same session of the server.
                with psycopg.connect(behind_pgbouncer, autocommit=True) as other:
                    other.execute("DEALLOCATE ALL")
                await connection.fetch_val("SELECT 1 + :a", {"a": 20})
    assert "right:" in "\n".join(caught.value.__notes__)
    assert "statement_cache_size=0" in "\n".join(caught.value.__notes__)


@NETWORK_ONLY
async def test_a_missing_driver_is_told_with_the_command_that_installs_it(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, kind.driver, None)
    for name in [name for name in sys.modules if name.endswith(f"{kind.driver}_driver")]:
        monkeypatch.delitem(sys.modules, name)
    database = Database(f"{kind.scheme}://ada:secret@localhost/app")
    with pytest.raises(exceptions.BackendUnavailableError) as caught:
        await database.connect()
    assert isinstance(caught.value, ImportError)
    assert f'pip install "databases-next[{kind.driver}]"' in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "Called at" in "\n".join(caught.value.__notes__)


async def test_the_shortest_url_of_mysql_takes_the_driver_that_is_installed(
    monkeypatch: pytest.MonkeyPatch, mariadb_server: MariaDB
) -> None:
    monkeypatch.setitem(sys.modules, "asyncmy", None)
    async with Database(mariadb_server.url) as database, database.connection() as connection:
        assert isinstance(connection.raw_connection, AIOMYSQL.connection)


async def test_postgres_is_postgresql_too(postgresql_server: PostgreSQL) -> None:
    for scheme in ("postgres", "postgresql+asyncpg"):
        async with Database(of_driver(postgresql_server.url, scheme)) as database:
            assert await database.fetch_val("SELECT 1") == 1


async def test_aiopg_is_answered_with_the_name_to_use_instead() -> None:
    with pytest.raises(exceptions.ConfigurationError, match=r"postgresql\+psycopg://") as caught:
        await Database("postgresql+aiopg://ada:secret@localhost/app").connect()
    assert "secret" not in str(caught.value)
