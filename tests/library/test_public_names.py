"""What the package exports, and what importing it costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import databases
from databases.importer import ImportFromStringError, import_from_string


def test_the_package_exports_these_names() -> None:
    assert databases.__all__ == sorted(databases.__all__)
    assert set(databases.__all__) == {
        "Connection",
        "Database",
        "DatabaseURL",
        "Pending",
        "Record",
        "Transaction",
        "exceptions",
    }
    assert databases.__version__


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("databases.core", ["Connection", "Database", "DatabaseURL", "Transaction"]),
        ("databases.interfaces", ["Record"]),
        ("databases.backends.common.records", ["Record"]),
        ("databases.backends.postgres", ["Record"]),
        ("databases.backends.mysql", []),
        ("databases.backends.asyncmy", []),
        ("databases.backends.aiopg", []),
        ("databases.backends.sqlite", ["SQLiteBackend"]),
    ],
)
def test_names_that_code_for_databases_0_9_imports_are_there(module: str, names: list[str]) -> None:
    imported = importlib.import_module(module)
    for name in names:
        assert getattr(imported, name) is getattr(databases, name, getattr(imported, name))


def test_modules_of_databases_0_9_are_attributes_of_the_package() -> None:
    shown = "import databases\nprint(databases.core, databases.importer, databases.interfaces)"
    subprocess.run([sys.executable, "-c", shown], check=True, timeout=60, capture_output=True)


def test_import_from_string_imports_and_explains() -> None:
    assert import_from_string("databases:Database") is databases.Database
    assert import_from_string("databases.core:Database.connect") is databases.Database.connect
    for wrong in ("databases", ":x", "no_such_module:x", "databases:NoSuchName", "databases.no:x"):
        with pytest.raises(ImportFromStringError):
            import_from_string(wrong)


def loaded_by(code: str) -> set[str]:
    shown = f"{code}\nimport sys\nprint(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", shown], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.partition(".")[0] for name in ran.stdout.split()}


def test_importing_the_package_loads_nothing_slow() -> None:
    slow = {"sqlalchemy", "asyncio", "sqlite3", "inspect", "dataclasses", "logging", "ssl"}
    assert not slow & (loaded_by("import databases") - loaded_by(""))


def test_sqlalchemy_is_imported_only_for_its_expressions() -> None:
    text_only = """
import asyncio, databases
async def main():
    async with databases.Database("sqlite://") as database:
        async with database.transaction():
            await database.execute("CREATE TABLE a (x)")
            await database.fetch_all("SELECT :x FROM a", {"x": 1})
asyncio.run(main())"""
    assert "sqlalchemy" not in loaded_by(text_only)
