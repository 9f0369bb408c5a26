"""Servers that cannot be reached: one error each, in time, with the address and what to look at."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from databases import Database, DatabaseURL, exceptions
from tests.library.kinds import (
    MARIADB_ONLY,
    NETWORK_ONLY,
    ON_POSTGRESQL,
    POSTGRESQL_ONLY,
    PSYCOPG,
    Kind,
)
from tests.library.places import of_driver, until
from tests.library.pools import notes_of
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.servers.processes import free_port

SECRET = "s3cr3t"
LISTENS = "Does a server listen there"
NO_TLS = "offers no TLS"
UNTRUSTED = "Name the authority: ?ssl"


class Stranger:
    """Something that listens on a port, and is no database.

    Args:
        hello: what it says when somebody comes.
        answer: what it answers; nothing, and it waits for ever.
        stays: whether it waits to be told something, or ends the connection before.
    """

    def __init__(self, hello: bytes = b"", answer: bytes = b"", *, stays: bool = True) -> None:
        self._hello = hello
        self._answer = answer
        self._stays = stays
        self.guests = 0
        """How many connections are open."""
        self.port = free_port()

    async def __aenter__(self) -> Stranger:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        await self._listening.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.guests += 1
        try:
            writer.write(self._hello)
            while self._stays and await reader.read(1000) and not self._answer:
                pass
            writer.write(self._answer)
        except OSError:
            pass
        finally:
            self.guests -= 1
            writer.close()


BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"

STRANGERS: dict[str, Callable[[], Stranger]] = {
    "a web server": lambda: Stranger(answer=BAD_REQUEST),
    "one that speaks first": lambda: Stranger(b"SSH-2.0-OpenSSH_9.2\r\n", stays=False),
    "one that closes at once": lambda: Stranger(stays=False),
    "one that never answers": Stranger,
}


def at(kind: Kind, port: int, query: str = "", host: str = "127.0.0.1") -> str:
    """The URL of a database that is not there. Two seconds are the least that libpq waits."""
    limit = 2 if kind is PSYCOPG else 1
    return f"{kind.scheme}://ada:{SECRET}@{host}:{port}/app?connect_timeout={limit}{query}"


async def failure_of(url: str | DatabaseURL) -> exceptions.DriverError:
    """The error of connecting: one of ours, in time, that names the address and no password."""
    database = Database(url)
    tasks = asyncio.all_tasks()
    async with asyncio.timeout(20):
        with pytest.raises(exceptions.DriverError) as caught:
            await database.connect()
    error = caught.value
    assert str(error)
    address = f"{database.url.hostname}:{database.url.port}"
    assert address in notes_of(error)
    shown = "".join(traceback.format_exception(error))
    assert SECRET not in f"{shown} {vars(error)}"
    assert not database.is_connected
    await until(lambda: asyncio.all_tasks() <= tasks)
    return error


@NETWORK_ONLY
async def test_a_port_where_nobody_listens(kind: Kind) -> None:
    for host in ("127.0.0.1", "localhost"):
        error = await failure_of(at(kind, free_port(), host=host))
        assert isinstance(error, exceptions.OperationalError)
        assert LISTENS in notes_of(error)


@NETWORK_ONLY
async def test_a_port_where_something_else_listens(kind: Kind) -> None:
    async def meet(name: str) -> None:
        async with STRANGERS[name]() as stranger:
            error = await failure_of(at(kind, stranger.port))
            assert isinstance(error, exceptions.OperationalError), name
            assert LISTENS in notes_of(error) or NO_TLS in notes_of(error)
            # Nothing is left open, although the error is still there.
            await until(lambda: not stranger.guests)

    async with asyncio.timeout(20):
        for name in STRANGERS:
            await meet(name)


@pytest.fixture
async def ticks() -> AsyncIterator[Callable[[], int]]:
    """Tells how often the event loop has come round."""
    count = 0

    async def tick() -> None:
        nonlocal count
        while True:
            await asyncio.sleep(0.01)
            count += 1

    ticking = asyncio.create_task(tick())
    yield lambda: count
    ticking.cancel()


@NETWORK_ONLY
async def test_a_name_that_nobody_knows_does_not_hold_up_the_others(
    kind: Kind, ticks: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        time.sleep(0.2)  # as long as a name server takes
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    before = ticks()
    error = await failure_of(at(kind, 5000, host="nowhere.invalid"))
    assert ticks() - before > 2
    assert isinstance(error, exceptions.OperationalError)
    assert "Name or service not known" in str(error)
    assert LISTENS in notes_of(error)


@POSTGRESQL_ONLY
@pytest.mark.parametrize("option", ["sslmode=require", "ssl=require", "ssl=true"])
async def test_postgresql_without_tls_is_told_where_it_is_asked_for(
    kind: Kind, postgresql_server: PostgreSQL, option: str
) -> None:
    url = of_driver(postgresql_server.url, kind.scheme)
    error = await failure_of(f"{url}?{option}")
    assert isinstance(error, exceptions.OperationalError)
    assert NO_TLS in notes_of(error)


@MARIADB_ONLY
async def test_mariadb_without_tls_is_told_where_it_is_asked_for(
    kind: Kind, mariadb_server: MariaDB
) -> None:
    if "YES" in mariadb_server.execute("SHOW VARIABLES LIKE 'have_ssl'"):
        pytest.skip("This version makes itself a certificate.")
    error = await failure_of(f"{of_driver(mariadb_server.url, kind.scheme)}?ssl=true")
    assert isinstance(error, exceptions.OperationalError)
    assert NO_TLS in notes_of(error)


@NETWORK_ONLY
async def test_a_certificate_of_an_unknown_authority(
    kind: Kind, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.crt"
    [authority, *_] = ssl.create_default_context().get_ca_certs(binary_form=True)
    stranger.write_text(ssl.DER_cert_to_PEM_cert(authority))
    if kind in ON_POSTGRESQL:
        server = request.getfixturevalue("tls_pgbouncer")
        options = f"statement_cache_size=0&sslmode=verify-full&sslrootcert={stranger}"
    else:
        server = request.getfixturevalue("tls_mariadb")
        options = f"ssl=true&ssl_ca={stranger}"
    error = await failure_of(f"{of_driver(server.url, kind.scheme)}?{options}")
    assert isinstance(error, exceptions.OperationalError)
    assert "certificate" in str(error)
    assert UNTRUSTED in notes_of(error)
