"""How a database gets its schema."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from databases import DatabaseURL
from tests.servers.mariadb import MariaDB
from tests.service.outside import connect
from users_service import migrations

WHOLE = {"users", "alembic_version"}


def tables(url: str) -> set[str]:
    """The names of the tables in a database."""
    names: set[str] = set()

    def look(config: Config) -> None:
        names.update(sa.inspect(config.attributes["connection"]).get_table_names())

    migrations.run(url, look)
    return names


def test_the_migrations_lead_to_the_tables_that_the_code_knows(database_url: str) -> None:
    migrations.upgrade(database_url)
    migrations.run(database_url, command.check)


def test_upgrading_again_changes_nothing(database_url: str) -> None:
    migrations.upgrade(database_url)
    with closing(connect(database_url)) as connection:
        connection.cursor().execute(
            "INSERT INTO users (name, name_key, created_at) VALUES ('Ada', 'ada', '2026-01-31')"
        )
    migrations.upgrade(database_url)
    with closing(connect(database_url)) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT name FROM users")
        assert list(cursor.fetchall()) == [("Ada",)]


def test_a_file_that_is_up_to_date_is_not_touched(file_url: str, database_file: Path) -> None:
    migrations.upgrade(file_url)
    before = database_file.read_bytes()
    migrations.upgrade(file_url)
    assert database_file.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [
        ("sqlite", "sqlite+aiosqlite"),
        ("postgresql", "postgres"),
        ("postgresql", "postgresql+asyncpg"),
        ("postgresql", "postgresql+psycopg"),
        ("mariadb", "mysql+asyncmy"),
        ("mariadb", "mysql+aiomysql"),
    ],
)
def test_every_driver_can_be_named_in_the_address(database_url: str, scheme: str) -> None:
    url = str(DatabaseURL(database_url).replace(scheme=scheme))
    migrations.upgrade(url)
    migrations.run(url, command.check)
    assert tables(database_url) == WHOLE


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("sqlite", "journal_mode=delete&timeout=5&readers=2"),
        ("postgresql", "min_size=2&max_size=20&application_name=ada&statement_cache_size=0"),
        ("mariadb", "min_size=2&max_size=20&connect_timeout=5&statement_cache_size=0"),
    ],
)
def test_what_an_address_asks_for_is_no_obstacle(database_url: str, options: str) -> None:
    migrations.upgrade(f"{database_url}?{options}")
    assert tables(database_url) == WHOLE


def test_a_way_back_leads_to_an_empty_database(database_url: str) -> None:
    migrations.upgrade(database_url)
    migrations.run(database_url, lambda config: command.downgrade(config, "base"))
    assert tables(database_url) == {"alembic_version"}


@pytest.mark.parametrize("name", ["100%.db", "a b.db", "é%3F.db"])
def test_a_path_that_is_quoted_is_the_same_file_for_the_service(tmp_path: Path, name: str) -> None:
    migrations.upgrade(f"sqlite:///{tmp_path}/{quote(name)}")
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_database_of_any_character_set_holds_names_of_every_script(
    mariadb_server: MariaDB,
) -> None:
    mariadb_server.execute("CREATE DATABASE western CHARACTER SET latin1")
    migrations.upgrade(mariadb_server.url_of("western"))
    mariadb_server.execute(
        "INSERT INTO users (name, name_key, created_at) VALUES ('👩 李', '👩 李', now())", "western"
    )
    assert mariadb_server.execute("SELECT name, name_key FROM users", "western") == "👩 李\t👩 李\n"


def test_a_second_start_waits_for_the_first_and_finds_its_work_done(
    tmp_path: Path, file_url: str, database_file: Path
) -> None:
    migrations.upgrade(f"sqlite:///{tmp_path}/model.db")
    with closing(sqlite3.connect(tmp_path / "model.db")) as model:
        schema = [
            line for line in model.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")
        ]

    with closing(sqlite3.connect(database_file, isolation_level=None)) as first:
        first.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            second = pool.submit(migrations.upgrade, file_url)
            # Long enough for one that would not wait to look at the empty database.
            with pytest.raises(TimeoutError):
                second.result(0.5)
            for line in schema:
                first.execute(line)
            first.execute("COMMIT")
            second.result()
    assert tables(file_url) == WHOLE


@pytest.mark.parametrize(
    ("kind", "lock"),
    [
        ("postgresql", "SELECT pg_advisory_lock(hashtext('users_service.migrations'))"),
        ("mariadb", "SELECT get_lock('users_service.migrations', 0)"),
    ],
)
def test_a_second_start_waits_for_the_first_on_a_server_too(
    new_database: Callable[[str], str], kind: str, lock: str
) -> None:
    url, ready = new_database(kind), new_database(kind)
    migrations.upgrade(ready)
    with ThreadPoolExecutor() as pool:
        with closing(connect(url)) as first:
            first.cursor().execute(lock)
            second = pool.submit(migrations.upgrade, url)
            with pytest.raises(TimeoutError):
                second.result(0.5)
            cursor = first.cursor()
            cursor.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            cursor.execute("INSERT INTO alembic_version VALUES ('0001')")
        second.result()
    # It relied on what it then found: the version.
    assert tables(url) == {"alembic_version"}
