"""What tests do with the table of users."""

from __future__ import annotations

import asyncio

from databases import Database

USERS = "CREATE TABLE users (id {}, name VARCHAR(200) UNIQUE)"
INSERT = "INSERT INTO users (name) VALUES (:name)"


async def count(database: Database) -> int:
    return int(await database.fetch_val("SELECT count(*) FROM users"))


async def writes_at_once(database: Database) -> None:
    """Fail unless whatever it takes to write is free."""
    async with asyncio.timeout(20), database.transaction():
        await database.execute(INSERT, {"name": "free"})
    await database.execute("DELETE FROM users WHERE name = 'free'")
