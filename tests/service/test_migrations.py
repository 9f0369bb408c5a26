"""How a database gets its schema."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command

from users_service import migrations


def test_the_migrations_lead_to_the_tables_that_the_code_knows(database_url: str) -> None:
    migrations.upgrade(database_url)
    command.check(migrations.config_for(database_url))


def test_upgrading_again_changes_nothing(database_url: str, database_file: Path) -> None:
    migrations.upgrade(database_url)
    before = database_file.read_bytes()
    migrations.upgrade(database_url)
    assert database_file.read_bytes() == before


def test_the_async_driver_in_an_address_is_no_obstacle(database_file: Path) -> None:
    migrations.upgrade(f"sqlite+aiosqlite:///{database_file}")
    assert tables(database_file) == {"users", "alembic_version"}


def test_a_way_back_leads_to_an_empty_database(database_url: str, database_file: Path) -> None:
    migrations.upgrade(database_url)
    command.downgrade(migrations.config_for(database_url), "base")
    assert tables(database_file) == {"alembic_version"}


def test_a_percent_sign_in_a_path_is_no_obstacle(tmp_path: Path) -> None:
    migrations.upgrade(f"sqlite:///{tmp_path}/100%.db")
    assert tables(tmp_path / "100%.db") == {"users", "alembic_version"}


def test_a_second_start_waits_for_the_first_and_finds_its_work_done(
    tmp_path: Path, database_url: str, database_file: Path
) -> None:
    migrations.upgrade(f"sqlite:///{tmp_path}/model.db")
    with closing(sqlite3.connect(tmp_path / "model.db")) as model:
        schema = [
            line for line in model.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")
        ]

    with closing(sqlite3.connect(database_file, isolation_level=None)) as first:
        first.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor() as pool:
            second = pool.submit(migrations.upgrade, database_url)
            # Long enough for one that would not wait to look at the empty database.
            with pytest.raises(TimeoutError):
                second.result(0.5)
            for line in schema:
                first.execute(line)
            first.execute("COMMIT")
            second.result()
    assert tables(database_file) == {"users", "alembic_version"}


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        return {name for (name,) in rows}
