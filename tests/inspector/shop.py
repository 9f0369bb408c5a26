"""A small shop on the library, as users write them, with the inspector: what its tests look at.

``python -m tests.inspector.shop --port 20000 --database-url sqlite:///shop.db`` serves it.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from databases import Database
from databases.exceptions import QueryCancelledError
from databases.inspector import Inspector

SECRET = "hunter2-of-Ada"
"""A value of a query: nothing of the inspector may show it."""

HOSTILE = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(2)</script>"
LINK = "javascript:alert(3)"
UNSEEN = "a\u202eb\u200bc\x1b[31md\u2028e\x00f"
LONE = "\ud800"
STRANGE = {"markup": HOSTILE, "script": SCRIPT, "link": LINK, "unseen": UNSEEN, "lone": LONE}

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(100) UNIQUE)"
ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, total INTEGER)"
COUNTED = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
    "SELECT count(*) AS c FROM n"
)
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT (i + 1) % 100 FROM n) "
    "SELECT count(*) AS c FROM n"
)
LONG = "SELECT 1 AS one /* " + HOSTILE + "x" * 990_000 + " */"
MANY_USERS = 40
HELD_AT_MOST = 60

# A file's name is anybody's too.
_ELSEWHERE = """
async def elsewhere(database):
    return await database.fetch_val("SELECT 42")
"""

Answer = Any


def line_of(source: str) -> int:
    """The line of this file that has this in it, as it is shown in the page."""
    lines = Path(__file__).read_text().splitlines()
    (found,) = [number for number, line in enumerate(lines, 1) if line.strip() == source]
    return found


def call_the_task(name: str) -> None:
    task = asyncio.current_task()
    if task is not None and name:
        task.set_name(name)


async def fill(database: Database) -> None:
    """Make the tables anew."""
    for name in ("orders", "users"):
        await database.execute(f"DROP TABLE IF EXISTS {name}")
    await database.execute(USERS)
    await database.execute(ORDERS)
    users = range(1, MANY_USERS + 1)
    await database.execute_many(
        "INSERT INTO users (id, name) VALUES (:id, :name)",
        [{"id": n, "name": f"user {n}"} for n in users],
    )
    await database.execute_many(
        "INSERT INTO orders (id, user_id, total) VALUES (:id, :user, :total)",
        [{"id": n, "user": n % MANY_USERS + 1, "total": n} for n in range(1, 400)],
    )


def create_app(url: str, *, token: str | None = None, **options: Any) -> FastAPI:
    """The shop."""
    database = Database(url, **options)
    holders: dict[str, asyncio.Event] = {}
    endless_ones: set[asyncio.Task[Any]] = set()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with database:
            await fill(database)
            yield

    app = FastAPI(lifespan=lifespan)
    app.mount("/inspector", Inspector(database, token=token))

    @app.get("/users/{user_id}")
    async def read_user(user_id: int) -> Answer:
        user = await database.fetch_one("SELECT * FROM users WHERE id = :id", {"id": user_id})
        return {"name": user and user["name"]}

    @app.get("/orders")
    async def read_orders(n: int = 12) -> Answer:
        orders = await database.fetch_all("SELECT * FROM orders ORDER BY id LIMIT :n", {"n": n})
        names = []
        for order in orders:
            user_id = {"id": order["user_id"]}
            names.append(await database.fetch_val("SELECT name FROM users WHERE id = :id", user_id))
        return names

    @app.get("/many")
    async def many(n: int = 6_000) -> Answer:
        found = 0
        for number in range(n):
            one = await database.fetch_val("SELECT total FROM orders WHERE id = :id", {"id": 1})
            found += number * one >= 0
        return found

    @app.get("/slow")
    async def slow(rows: int = 1_000_000) -> Answer:
        return await database.fetch_val(COUNTED, {"rows": rows})

    @app.get("/endless")
    async def endless(handled: bool = True) -> Answer:
        task = asyncio.current_task()
        assert task is not None
        endless_ones.add(task)
        try:
            return await database.fetch_val(ENDLESS)
        except QueryCancelledError:
            if not handled:
                raise
            return "cancelled"
        finally:
            endless_ones.remove(task)

    @app.get("/hold")
    async def hold(key: str, how: str = "transaction", name: str = "") -> Answer:
        """Hold it until somebody calls /let-go."""
        call_the_task(name)
        let_go = holders.setdefault(key, asyncio.Event())
        if how == "transaction":
            async with database.transaction():
                await database.execute("UPDATE orders SET total = 0 WHERE id = 1")
                await asyncio.wait_for(let_go.wait(), HELD_AT_MOST)
        else:
            async with database.connection():
                await database.fetch_val("SELECT 1")
                await asyncio.wait_for(let_go.wait(), HELD_AT_MOST)
        return key

    @app.get("/let-go")
    async def let_go(key: str) -> Answer:
        holders.setdefault(key, asyncio.Event()).set()
        return key

    @app.get("/let-all-go")
    async def let_all_go() -> Answer:
        for each in holders.values():
            each.set()
        for task in endless_ones:
            task.cancel()
        holders.clear()

    @app.get("/grow")
    async def grow(key: str) -> Answer:
        """A request under way: a query each time that somebody calls /let-go."""
        for number in range(3):
            await database.fetch_val("SELECT count(*) FROM orders WHERE total > :n", {"n": number})
            event = holders.setdefault(f"{key} {number}", asyncio.Event())
            await asyncio.wait_for(event.wait(), HELD_AT_MOST)
        return key

    @app.get("/grow-at-once")
    async def grow_at_once() -> Answer:
        return await database.fetch_val("SELECT count(*) FROM orders WHERE total > :n", {"n": 7})

    @app.get("/write")
    async def write(name: str = "") -> Answer:
        call_the_task(name)
        try:
            await database.execute("UPDATE orders SET total = :total WHERE id = 2", {"total": 5})
        except QueryCancelledError:
            return "cancelled"
        return "written"

    @app.get("/dropped")
    async def dropped() -> Answer:
        database.execute("DELETE FROM orders")
        return "ok"

    @app.get("/one-by-one")
    async def one_by_one(rows: int = 300_000) -> Answer:
        first = await database.fetch_val(COUNTED, {"rows": rows})
        second = await database.fetch_val(COUNTED + " WHERE i > 0", {"rows": rows})
        return [first, second]

    @app.get("/at-once")
    async def at_once(rows: int = 300_000) -> Answer:
        return await asyncio.gather(
            database.fetch_val(COUNTED, {"rows": rows}),
            database.fetch_val(COUNTED + " WHERE i > 0", {"rows": rows}),
        )

    @app.get("/taken")
    async def taken() -> Answer:
        """Fails: the name is taken."""
        await database.execute("DELETE FROM users WHERE id > 1000")
        for number in (1001, 1002):
            values = {"id": number, "name": SECRET}
            await database.execute("INSERT INTO users (id, name) VALUES (:id, :name)", values)

    @app.get("/says")
    async def says() -> Answer:
        """Fails: PostgreSQL repeats the value in its message."""
        return await database.fetch_val("SELECT CAST(CAST(:n AS TEXT) AS INTEGER)", {"n": SECRET})

    @app.get("/strange/{path:path}")
    async def strange(path: str, which: str = "markup", fail: bool = False) -> Answer:
        """Everything about the request is as hostile as it gets."""
        text = STRANGE[which]
        call_the_task(text)
        named = text.replace('"', '""').replace("\x00", "").replace(":", "\\:")
        try:
            await database.fetch_all(f'SELECT 1 AS "{named}" -- {named}\n', {})
            await database.fetch_all(
                "SELECT name FROM users WHERE name = :name", {"name": text.replace("\x00", "")}
            )
        except Exception:
            if which != "lone":  # which cannot be sent to any database
                raise
        space: dict[str, Callable[[Database], Awaitable[int]]] = {}
        file = f"shop/{text}.py".replace("\x00", "")
        exec(compile(_ELSEWHERE, file if which != "lone" else "shop/lone.py", "exec"), space)
        answer = await space["elsewhere"](database)
        if fail:
            await database.fetch_all(f'SELECT * FROM "{named}"', {})
        return answer

    @app.get("/long")
    async def long() -> Answer:
        return await database.fetch_val(LONG)

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def rows() -> AsyncIterator[str]:
            async for row in database.iterate("SELECT name FROM users ORDER BY id"):
                yield f"{row['name']}\n"

        return StreamingResponse(rows(), media_type="text/plain")

    @app.get("/pours")
    async def pours() -> StreamingResponse:
        """Never ends by itself."""

        async def much() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * await database.fetch_val("SELECT 100000")

        return StreamingResponse(much(), media_type="text/plain")

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--token")
    parser.add_argument("--max-size", type=int)
    arguments = parser.parse_args()
    options = {} if arguments.max_size is None else {"max_size": arguments.max_size}
    app = create_app(arguments.database_url, token=arguments.token, **options)
    uvicorn.run(app, host="127.0.0.1", port=arguments.port, log_level="info")


if __name__ == "__main__":
    main()
