"""A connected database for each test: in a file, and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from databases import Database


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/test.db"


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, file_url: str) -> str:
    return file_url if request.param == "file" else "sqlite://"


USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(200) UNIQUE)"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    async with Database(url) as database:
        await database.execute(USERS)
        yield database


@pytest.fixture
async def file_database(file_url: str) -> AsyncIterator[Database]:
    async with Database(file_url) as database:
        await database.execute(USERS)
        yield database
