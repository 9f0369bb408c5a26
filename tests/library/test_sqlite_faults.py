"""What can happen to a database's file: a clear error each, and the engine goes on afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from databases import Database, exceptions

ROOT = Path(__file__).resolve().parents[2]
INSERT = "INSERT INTO users (name) VALUES (:name)"
COUNT = "SELECT count(*) FROM users"


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def files_of(url: str) -> list[Path]:
    """The database's file and what SQLite keeps beside it."""
    path = path_of(url)
    return list(path.parent.glob(f"{path.name}*"))


def told(error: BaseException) -> str:
    return "\n".join([str(error), *getattr(error, "__notes__", ())])


async def read_until_error(database: Database) -> exceptions.DatabaseError:
    """Read until the engine notices; the file is looked at now and then only."""
    async with asyncio.timeout(20):
        while True:
            try:
                await database.fetch_val(COUNT)
            except exceptions.DatabaseError as error:
                return error
            await asyncio.sleep(0.02)


async def test_a_missing_directory_is_told_with_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(exceptions.OperationalError) as caught:
        await Database(f"sqlite:///{tmp_path}/none/of/it/test.db").connect()
    assert f"mkdir -p {tmp_path}/none/of/it" in told(caught.value)


async def test_a_path_that_is_a_directory_is_told(tmp_path: Path) -> None:
    with pytest.raises(exceptions.OperationalError) as caught:
        await Database(f"sqlite:///{tmp_path}").connect()
    assert "That is a directory" in told(caught.value)


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("not a database\n" * 1000)
    with pytest.raises(exceptions.OperationalError, match="not a database") as caught:
        await Database(f"sqlite:///{file}").connect()
    assert isinstance(caught.value, sqlite3.DatabaseError)
    assert str(file) in told(caught.value)
    assert "is the path right?" in told(caught.value)
    assert file.read_text().startswith("not a database")


async def test_a_damaged_page_is_told_and_the_rest_can_be_read(file_url: str) -> None:
    async with Database(file_url, journal_mode="delete") as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        await database.execute_many(INSERT, [{"name": "x" * 500}] * 200)
        await database.execute("CREATE TABLE others (x)")
        await database.execute("INSERT INTO others VALUES (1)")
    with path_of(file_url).open("r+b") as file:
        file.seek(4096 * 5)
        file.write(b"\xff" * 4096)
    async with Database(file_url) as database:
        for _ in range(3):
            with pytest.raises(exceptions.OperationalError, match="malformed") as caught:
                await database.fetch_all("SELECT * FROM users")
            assert "PRAGMA integrity_check" in told(caught.value)
            assert await database.fetch_val("SELECT x FROM others") == 1


async def test_a_file_that_was_removed_is_noticed_and_used_again_once_it_is_back(
    file_database: Database, file_url: str, tmp_path: Path
) -> None:
    path = path_of(file_url)
    await file_database.execute(INSERT, {"name": "Ada"})
    for _ in range(5):  # a short read, by now in the loop's own thread
        assert await file_database.fetch_val(COUNT) == 1
    # As an administrator does it who moves all that belongs to the database.
    aside = tmp_path / "aside"
    aside.mkdir()
    for file in files_of(file_url):
        shutil.move(file, aside)
    with pytest.raises(exceptions.OperationalError) as caught:
        await file_database.execute(INSERT, {"name": "lost"})
    assert "The file does not exist" in told(caught.value)
    with pytest.raises(exceptions.OperationalError):
        async with file_database.transaction():
            await file_database.execute(INSERT, {"name": "lost"})
    assert "The file does not exist" in told(await read_until_error(file_database))
    assert not path.exists()
    for file in aside.iterdir():
        shutil.move(file, tmp_path)
    assert await file_database.execute(INSERT, {"name": "Grace"}) == 2
    assert await file_database.fetch_val(COUNT) == 2
    async with file_database.transaction():
        await file_database.execute(INSERT, {"name": "Joan"})
    assert await file_database.fetch_val(COUNT) == 3


async def test_a_file_that_another_took_the_place_of_is_left(
    file_database: Database, file_url: str, tmp_path: Path
) -> None:
    path = path_of(file_url)
    await file_database.execute(INSERT, {"name": "Ada"})
    new = sqlite3.connect(tmp_path / "new.db")
    new.executescript("CREATE TABLE users (id INTEGER PRIMARY KEY, name); PRAGMA user_version = 7")
    new.close()
    for file in files_of(file_url):
        file.unlink()
    (tmp_path / "new.db").rename(path)
    assert await file_database.execute(INSERT, {"name": "Grace"}) == 1
    async with asyncio.timeout(20):
        while await file_database.fetch_val("SELECT max(name) FROM users") != "Grace":  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    async with file_database.transaction():
        assert await file_database.fetch_val("PRAGMA user_version") == 7


async def test_a_write_on_a_connection_to_a_removed_file_is_not_acknowledged(
    file_database: Database, file_url: str
) -> None:
    async with file_database.connection() as connection:
        await connection.execute(INSERT, {"name": "Ada"})
        path_of(file_url).unlink()
        with pytest.raises(exceptions.OperationalError, match="was removed or replaced"):
            await connection.execute(INSERT, {"name": "lost"})


async def test_a_transaction_on_a_removed_file_is_not_acknowledged(
    file_database: Database, file_url: str
) -> None:
    with pytest.raises(exceptions.OperationalError, match="was removed or replaced"):
        async with file_database.transaction():
            await file_database.execute(INSERT, {"name": "Ada"})
            path_of(file_url).unlink()


def in_a_process(script: str, file: Path, *command: str) -> str:
    """Run a script in a process of its own; what it printed."""
    done = subprocess.run(
        [*command, sys.executable, "-c", SETUP + script, str(file)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


SETUP = """
import asyncio, os, pathlib, resource, sqlite3, subprocess, sys, warnings
from databases import Database, exceptions

INSERT = "INSERT INTO users (name) VALUES (:name)"
file = pathlib.Path(sys.argv[1])
acknowledged = 0

async def fill(database):
    # Until there is no room for one more; statements that wait together are committed together.
    global acknowledged
    while True:
        inserts = [database.execute(INSERT, {"name": "x" * 2000}) for _ in range(20)]
        results = await asyncio.gather(*inserts, return_exceptions=True)
        acknowledged += sum(isinstance(result, int) for result in results)
        errors = [result for result in results if not isinstance(result, int)]
        if errors:
            return errors[0]

async def is_exact(database):
    assert await database.fetch_val("SELECT count(*) FROM users") == acknowledged
    assert await database.fetch_val("PRAGMA integrity_check") == "ok"

def told(error):
    return chr(10).join([str(error), *error.__notes__])
"""


def test_a_full_disk_is_told_and_writing_goes_on_once_there_is_room(tmp_path: Path) -> None:
    mount = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*mount, "true"], check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk (unshare --mount)")
    script = """
async def main():
    global acknowledged
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", file], check=True)
    filler = file / "filler"
    filler.write_bytes(bytes(400_000))
    async with Database(f"sqlite:///{file}/test.db") as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        error = await fill(database)
        assert isinstance(error, exceptions.OperationalError), repr(error)
        assert isinstance(error, sqlite3.OperationalError)
        assert "There is no room left" in told(error), told(error)
        try:
            async with database.transaction():
                for _ in range(200):
                    await database.execute(INSERT, {"name": "y" * 2000})
        except (exceptions.OperationalError, exceptions.TransactionStateError) as error:
            print("transaction:", error)
        await is_exact(database)
        filler.unlink()
        await database.execute(INSERT, {"name": "there is room"})
        acknowledged += 1
        async with database.transaction():
            await database.execute(INSERT, {"name": "there is room"})
        acknowledged += 1
        await is_exact(database)

asyncio.run(main())
"""
    assert "transaction:" in in_a_process(script, tmp_path, *mount)


def test_a_quota_is_told_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    script = """
async def main():
    async with Database(f"sqlite:///{file}") as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        error = await fill(database)
        assert isinstance(error, sqlite3.OperationalError)
        assert "could not read or write" in told(error), told(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await is_exact(database)
        await database.execute(INSERT, {"name": "there is room"})

asyncio.run(main())
"""
    in_a_process(script, tmp_path / "test.db")


def test_a_file_that_may_only_be_read_is_told(tmp_path: Path) -> None:
    script = """
async def main():
    async with Database(f"sqlite:///{file}") as database:
        await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
    file.chmod(0o444)
    file.parent.chmod(0o555)
    if os.geteuid() == 0:
        os.setegid(65534)
        os.seteuid(65534)
    # In WAL mode even a reader needs the directory; SQLite's own answer is told with the reasons.
    try:
        async with Database(f"sqlite:///{file}?journal_mode=delete") as database:
            assert await database.fetch_val("SELECT count(*) FROM users") == 0
            await database.execute(INSERT, {"name": "Ada"})
    except sqlite3.OperationalError as error:
        print(told(error))
    os.seteuid(os.getuid())
    file.parent.chmod(0o755)

asyncio.run(main())
"""
    folder = tmp_path / "folder"
    folder.mkdir()
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o055)
    assert "write to" in in_a_process(script, folder / "test.db")


def test_a_process_that_ends_without_disconnect_does_not_hang(tmp_path: Path) -> None:
    script = """
async def main():
    database = Database(f"sqlite:///{file}")
    await database.connect()
    await database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name)")
    for _ in range(5):
        await database.fetch_val("SELECT count(*) FROM users")
    asyncio.create_task(database.fetch_all(ENDLESS))
    transaction = await database.transaction()
    await database.execute(INSERT, {"name": "Ada"})
    async for row in database.iterate("SELECT 1 UNION SELECT 2"):
        print("ended", flush=True)
        sys.exit(0)

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
warnings.simplefilter("ignore")
asyncio.run(main())
"""
    assert "ended" in in_a_process(script, tmp_path / "test.db")
