"""A model of a table of SQLite in plain Python, and of the tasks that work on it.

The model is a dictionary of what is committed, and one for each open transaction. Statements that
are under way at the same time may take effect in any order: some order has to explain what each of
them returned and what is there afterwards. One that was cancelled or timed out took effect as a
whole or not at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from databases import Connection, Database, Transaction, exceptions

TABLE = "CREATE TABLE things (id INTEGER PRIMARY KEY, amount INTEGER)"
REFUSING = """CREATE TRIGGER refusing BEFORE INSERT ON things WHEN new.amount < 0
    BEGIN SELECT RAISE(ROLLBACK, 'refused'); END"""
ALL = "SELECT id, amount FROM things"

Rows = dict[int, int]
"""The table: amounts by id."""

SQL = {
    "insert": "INSERT INTO things VALUES (:a, :amount)",
    "insert two": "INSERT INTO things VALUES (:a, :amount), (:b, :amount)",
    "insert or roll back": "INSERT OR ROLLBACK INTO things VALUES (:a, :amount)",
    "be refused": "INSERT INTO things VALUES (:a, -:amount - 1)",
    "replace": "REPLACE INTO things VALUES (:a, :amount)",
    "update": "UPDATE things SET amount = amount + 1",
    "delete": "DELETE FROM things WHERE id = :a",
    "insert many": "INSERT INTO things VALUES (:id, :amount)",
    "read": ALL,
    "iterate": ALL,
}
READS = {"read", "iterate"}
ROLL_BACK = {"insert or roll back", "be refused"}
"""What rolls back the transaction that it is in where it fails."""

FAILED, LOST, READONLY, UNKNOWN = "failed", "transaction lost", "readonly", "unknown"


@dataclass(frozen=True)
class Do:
    """A statement, and what the model makes of it."""

    kind: str
    a: int
    b: int
    amount: int
    timeout: float | None = None

    @property
    def reads(self) -> bool:
        return self.kind in READS

    async def run(self, database: Database) -> object:
        """What it returns, or which error it raises."""
        try:
            return await self._run(database)
        except exceptions.TransactionStateError:
            return LOST
        except exceptions.IntegrityError:
            return FAILED
        except exceptions.DatabaseError as error:
            if isinstance(error, TimeoutError) and self.timeout is not None:
                return UNKNOWN
            return READONLY if "readonly" in str(error) else error

    async def _run(self, database: Database) -> object:
        sql, timeout = SQL[self.kind], self.timeout
        if self.kind == "iterate":
            assert timeout is None
            return {row.id: row.amount async for row in database.iterate(sql)}
        if self.kind == "read":
            return {r.id: r.amount for r in await database.fetch_all(sql, timeout=timeout)}
        if self.kind == "insert many":
            rows = [{"id": number, "amount": self.amount} for number in (self.a, self.b)]
            await database.execute_many(sql, rows, timeout=timeout)
            return None
        values = {"a": self.a, "b": self.b, "amount": self.amount}
        used = {name: value for name, value in values.items() if f":{name}" in sql}
        return await database.execute(sql, used, timeout=timeout)

    def applied(self, rows: Rows) -> tuple[Rows, object]:
        """The rows after it, and what it returns."""
        new = {self.a: self.amount}
        match self.kind:
            case "insert two":
                new[self.b] = self.amount
                result: object = self.b
            case "insert many":
                new[self.b] = self.amount
                result = None
            case "read" | "iterate":
                return rows, rows
            case "update":
                return {number: amount + 1 for number, amount in rows.items()}, len(rows)
            case "delete":
                left = {number: amount for number, amount in rows.items() if number != self.a}
                return left, len(rows) - len(left)
            case "replace":
                return rows | new, self.a
            case "be refused":
                return rows, FAILED
            case _:
                result = self.a
        return (rows, FAILED) if rows.keys() & new.keys() else (rows | new, result)


class Failure(Exception):
    """Raised by a user's code inside a block."""


LEAVE, FAIL = "leave", "fail"


class Actor:
    """A task inside blocks, each inside the one before it, that does there what it is told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inbox: asyncio.Queue[tuple[str | Do, asyncio.Future[object]]] = asyncio.Queue()
        self._answer: asyncio.Future[object]
        self.task: asyncio.Task[None] | None = None
        # What the model knows of it: its blocks with the rows at the start of each, and what it
        # sees if one of them is a transaction.
        self.blocks: list[tuple[str, Rows]] = []
        self.view: Rows | None = None
        self.busy = False

    def tell(self, what: str | Do) -> asyncio.Future[object]:
        """Have it enter a block, leave it, or do something inside; what came of it."""
        answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.task is None:
            assert isinstance(what, str)
            self._answer = answer
            self.task = asyncio.create_task(self._inside(what))
        else:
            self._inbox.put_nowait((what, answer))
        return answer

    async def _inside(self, kind: str) -> None:
        try:
            async with self._block(kind):
                self._answer.set_result(kind)
                while True:
                    what, self._answer = await self._inbox.get()
                    if what == LEAVE:
                        break
                    if what == FAIL:
                        raise Failure
                    if isinstance(what, str):
                        await self._inside(what)
                    else:
                        self._answer.set_result(await what.run(self._database))
        except Failure:
            self._answer.set_result(FAIL)
        except exceptions.TransactionStateError:
            self._answer.set_result(LOST)
        else:
            self._answer.set_result(LEAVE)

    def _block(self, kind: str) -> Transaction | Connection:
        match kind:
            case "transaction":
                return self._database.transaction()
            case "force_rollback":
                return self._database.transaction(force_rollback=True)
            case "readonly":
                return self._database.transaction(readonly=True)
            case _:
                return self._database.connection()

    @property
    def snapshot(self) -> bool:
        return any(kind == "readonly" for kind, _ in self.blocks)

    def entered(self, kind: str, committed: Rows) -> None:
        """Note that it is inside another block."""
        if kind != "connection" and self.view is None:
            self.view = committed
        self.blocks.append((kind, committed if self.view is None else self.view))

    def commits_next(self) -> bool:
        """Whether leaving its innermost block commits its transaction."""
        outer = [kind for kind, _ in self.blocks[:-1]]
        return self.blocks[-1][0] == "transaction" and set(outer) <= {"connection"}

    def left(self, how: object) -> bool:
        """Note that it has left its innermost block; whether that was its transaction."""
        kind, before = self.blocks.pop()
        if kind == "connection":
            return False
        if how != LEAVE or kind == "force_rollback":
            self.view = before
        return all(kind == "connection" for kind, _ in self.blocks)


@dataclass(eq=False)
class Request:
    """What is under way outside any transaction: a statement, or the begin of a transaction."""

    what: str | Do
    answer: asyncio.Future[object]
    actor: Actor | None
    task: asyncio.Task[Any] = field(init=False)

    def __post_init__(self) -> None:
        if self.actor is None:
            assert isinstance(self.answer, asyncio.Task)
            self.task = self.answer
        else:
            assert self.actor.task is not None
            self.task = self.actor.task

    @property
    def result(self) -> object:
        return UNKNOWN if self.answer.cancelled() else self.answer.result()


def explanations(base: Rows, requests: Sequence[Request]) -> list[Rows]:
    """What can be there after the requests, done in any order that explains their results."""
    found: list[Rows] = []
    tried: set[object] = set()

    def go_on(rows: Rows, left: frozenset[Request]) -> None:
        state = (frozenset(rows.items()), left)
        if state in tried:
            return
        tried.add(state)
        if not left:
            found.append(rows)
        for request in left:
            assert isinstance(request.what, Do)
            after, result = request.what.applied(rows)
            if request.result in (result, UNKNOWN):
                go_on(after, left - {request})
            if request.result == UNKNOWN:
                go_on(rows, left - {request})

    go_on(base, frozenset(requests))
    return found
