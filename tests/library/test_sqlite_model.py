"""Any mix of tasks, transactions, failures and cancellations, against a model in plain Python.

The model is a dictionary of what is committed, and one for each open transaction. Statements that
are under way at the same time may take effect in any order: some order has to explain what each of
them returned and what is there afterwards. One that was cancelled or timed out took effect as a
whole or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databases import Connection, Database, Transaction, exceptions

PATIENCE = 10
"""Seconds after which something is said to hang."""

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


class Tasks:
    """Tasks of one program on one database, and what the model knows of them."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.database = Database(f"sqlite:///{file}" if file else "sqlite://")
        self.in_memory = file is None
        self.committed: Rows = {}
        self.actors: list[Actor] = []
        self.holder: Actor | None = None
        """Whose transaction keeps others from writing, and in memory from reading too."""
        self.waiting: list[Request] = []
        """What has been asked for and not been answered, in that order."""

    # What happens. Where nobody is there for it, nothing does: who is there can depend on who won
    # a race, and what Hypothesis draws must not.

    async def single_statements(self, statements: list[Do]) -> None:
        if len(self.waiting) > 3:
            return
        for statement in statements:
            task = asyncio.create_task(statement.run(self.database))
            self.waiting.append(Request(statement, task, None))
        await self.settle(self.committed)

    async def another_task_enters_a_block(self, kind: str) -> None:
        if len(self.actors) < 5:
            await self.enter(Actor(self.database), kind)

    async def enter_a_block_inside(self, number: int, kind: str) -> None:
        actor = self.chosen(number)
        if actor is not None:
            await self.enter(actor, self.block_in(actor, kind))

    async def run_in_a_block(self, number: int, statements: list[Do]) -> None:
        actor = self.chosen(number)
        for statement in statements:
            if actor is None or actor.busy or actor not in self.actors:
                return
            if actor.view is not None:
                await self.do_in_transaction(actor, statement)
                continue
            actor.busy = True
            self.waiting.append(Request(statement, actor.tell(statement), actor))
            await self.settle(self.committed)

    async def leave_a_block(self, number: int, how: str) -> None:
        actor = self.chosen(number)
        if actor is not None:
            await self.leave(actor, how, expected=how)

    async def cancel_a_single_statement(self, statement: Do, ticks: int) -> None:
        task = asyncio.create_task(statement.run(self.database))
        request = Request(statement, task, None)
        await self.cancel(task, ticks)
        if not (task.cancelled() and self.must_wait(request)):
            self.waiting.append(request)
        await self.settle(self.committed)

    async def cancel_in_a_block(self, number: int, what: str | Do | None, ticks: int) -> None:
        actor = self.chosen(number)
        if actor is None or actor.task is None:
            return
        bases = [self.committed]
        if what is not None:
            told = self.block_in(actor, what) if isinstance(what, str) else what
            request = Request(told, actor.tell(told), actor)
            if isinstance(told, Do) and actor.view is None and not self.must_wait(request):
                self.waiting.append(request)
            if told == LEAVE and self.holder is actor and actor.commits_next():
                assert actor.view is not None
                bases.append(actor.view)
        await self.cancel(actor.task, ticks)
        if what is not None and not request.answer.done():
            request.answer.cancel()
        self.forget(actor)
        await self.settle(*bases)

    async def cancel_one_that_waits(self, number: int) -> None:
        if not self.waiting:
            return
        request = self.waiting.pop(number % len(self.waiting))
        await self.cancel(request.task, 0)
        assert request.task.cancelled()
        if request.actor is not None:
            self.forget(request.actor)
        await self.settle(self.committed)

    # How it is done, and compared with the model.

    def chosen(self, number: int) -> Actor | None:
        """One of the actors that are not waiting for anything."""
        idle = [actor for actor in self.actors if not actor.busy]
        return idle[number % len(idle)] if idle else None

    def block_in(self, actor: Actor, kind: str) -> str:
        # Whether a transaction may write is settled where it begins.
        return "transaction" if kind == "readonly" and actor.view is not None else kind

    def must_wait(self, request: Request) -> bool:
        """Whether it must not be done before the present holder ends."""
        return self.holder not in (None, request.actor) and self.takes_turns(request.what)

    def takes_turns(self, what: str | Do) -> bool:
        """Whether it waits for others' transactions."""
        if isinstance(what, Do):
            return self.in_memory or not what.reads
        return self.begins(what)

    def begins(self, what: object) -> bool:
        """Whether a block waits for others' transactions, and keeps others out."""
        return what in ("transaction", "force_rollback") or (what == "readonly" and self.in_memory)

    async def enter(self, actor: Actor, kind: str) -> None:
        if actor.task is None:
            self.actors.append(actor)
        answer = actor.tell(kind)
        if actor.view is None and self.begins(kind):
            actor.busy = True
            self.waiting.append(Request(kind, answer, actor))
            await self.settle(self.committed)
        else:
            assert await self.in_time(answer) == kind
            actor.entered(kind, self.committed)

    async def do_in_transaction(self, actor: Actor, statement: Do) -> None:
        view = actor.view
        assert view is not None
        result = await self.in_time(actor.tell(statement))
        if actor.snapshot:
            seen = view if statement.reads else READONLY
            assert result in (seen, UNKNOWN), (statement, seen, result)
            return
        after, expected = statement.applied(view)
        if result == UNKNOWN:
            # SQLite rolls back the transaction of a write that is interrupted.
            there = await self.in_time(actor.tell(Do("read", 0, 0, 0)))
            assert there in (view, after, LOST), (there, view, after)
            lost = there == LOST
            actor.view = after if there == after else view
        else:
            assert result == expected, (statement, view, result)
            actor.view = after
            lost = result == FAILED and statement.kind in ROLL_BACK
        if lost:
            assert await self.in_time(actor.tell(Do("insert", 9, 0, 0))) == LOST
            while actor.view is not None:
                expected = LEAVE if actor.blocks[-1][0] == "connection" else LOST
                await self.leave(actor, LEAVE, expected=expected)

    async def leave(self, actor: Actor, how: str, expected: str) -> None:
        kind = actor.blocks[-1][0]
        answer = await self.in_time(actor.tell(how))
        if kind == "force_rollback" and expected == LOST:
            assert answer == LEAVE
        else:
            assert answer == expected, (kind, answer, expected)
        ended = actor.left(FAIL if expected == LOST else how)
        if not actor.blocks:
            self.actors.remove(actor)
        if ended:
            after, actor.view = actor.view, None
            if self.holder is actor:
                self.holder = None
                assert after is not None
                await self.settle(self.committed if expected == LOST else after)

    async def settle(self, *bases: Rows) -> None:
        """Let all happen that can; it has to follow from one of the states before it."""
        due = [request for request in self.waiting if self.is_due(request)]
        begun = next((request for request in due if self.begins(request.what)), None)
        if due:
            _, late = await asyncio.wait([each.answer for each in due], timeout=PATIENCE)
            assert not late, f"blocked: {[each.what for each in due if each.answer in late]}"
        await asyncio.sleep(0.0005)
        truth: object = None
        if begun is not None:
            assert begun.actor is not None
            truth = await self.in_time(begun.actor.tell(Do("read", 0, 0, 0)))
        elif self.holder is None:
            # Behind whatever is still being written for a task that was cancelled.
            async with asyncio.timeout(PATIENCE), self.database.transaction():
                truth = await Do("read", 0, 0, 0).run(self.database)
        done = [each for each in self.waiting if each.answer.done() and each is not begun]
        early = [each for each in done if each not in due and not self.may_overtake(each, begun)]
        assert not early, f"not kept out: {[each.what for each in early]}"
        if self.holder is not None:
            # What ran out of time behind a transaction that is open still has done nothing.
            assert all(each.result == UNKNOWN for each in done if self.must_wait(each)), done
            done = [each for each in done if not self.must_wait(each)]
        possible = [after for base in bases for after in explanations(base, done)]
        if truth is not None:
            possible = [after for after in possible if after == truth]
        assert possible, (bases, [(each.what, each.result) for each in done], truth)
        self.committed = possible[0]
        for each in self.waiting:
            if each.actor is not None:
                each.actor.busy = not each.answer.done()
        self.waiting = [each for each in self.waiting if not each.answer.done()]
        if begun is not None and begun.actor is not None:
            assert isinstance(begun.what, str)
            self.holder = begun.actor
            self.holder.entered(begun.what, self.committed)
        if self.file is not None:
            with contextlib.closing(sqlite3.connect(self.file)) as reader:
                assert dict(reader.execute(ALL)) == self.committed

    def is_due(self, request: Request) -> bool:
        """Whether it must be done soon: nobody is before it, or it does not wait for long."""
        if not self.takes_turns(request.what):
            return True
        if isinstance(request.what, Do) and request.what.timeout is not None:
            return True
        if self.holder is not None:
            return False
        before = self.waiting[: self.waiting.index(request)]
        return not any(self.begins(each.what) for each in before)

    def may_overtake(self, request: Request, begun: Request | None) -> bool:
        """Single statements that wait are written together, some before their turn."""
        return begun is not None and isinstance(request.what, Do)

    def forget(self, actor: Actor) -> None:
        """Note that its task was cancelled, and with it all that it had open."""
        self.actors.remove(actor)
        if self.holder is actor:
            self.holder = None

    async def cancel(self, task: asyncio.Task[Any], ticks: int) -> None:
        for _ in range(min(ticks, 6)):
            await asyncio.sleep(0)
        if ticks > 6:
            await asyncio.sleep(0.0001 * (ticks - 6))
        task.cancel()
        _, late = await asyncio.wait([task], timeout=PATIENCE)
        assert not late, "a cancelled task goes on"

    async def in_time(self, answer: asyncio.Future[object]) -> object:
        async with asyncio.timeout(PATIENCE):
            return await answer

    async def end(self) -> None:
        """Cancel everybody; what is committed stays."""
        for request in self.waiting:
            await self.cancel(request.task, 0)
        for actor in self.actors:
            assert actor.task is not None
            await self.cancel(actor.task, 0)
        self.waiting, self.actors, self.holder = [], [], None
        await self.settle(self.committed)


async def run(file: Path | None, steps: list[tuple[Any, ...]]) -> None:
    """Let the steps happen to a new database."""
    unhandled: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    tasks = Tasks(file)
    async with tasks.database:
        await tasks.database.execute(TABLE)
        await tasks.database.execute(REFUSING)
        for name, *arguments in steps:
            await getattr(tasks, name)(*arguments)
        await tasks.end()
    assert not unhandled


numbers = st.integers(0, 4)
ticks = st.integers(0, 12)


def statement(kind: str, a: int, b: int, amount: int, timeout: float | None) -> Do:
    # An iteration goes on for as long as its user takes.
    return Do(kind, a, b, amount, None if kind == "iterate" else timeout)


statements = st.builds(
    statement,
    st.sampled_from(list(SQL)),
    st.integers(1, 6),
    st.integers(7, 9),
    st.integers(0, 3),
    st.sampled_from([None] * 6 + [0.00001, 0.0005, 0.003]),
)
at_once = st.lists(statements, min_size=2, max_size=5)
several = st.lists(statements, min_size=1, max_size=4)
blocks = st.sampled_from(["transaction", "connection", "readonly", "force_rollback", "transaction"])
interrupted = st.one_of(st.sampled_from([LEAVE, None, LEAVE, FAIL]), blocks, statements)

STEPS: dict[str, tuple[int, list[st.SearchStrategy[Any]]]] = {
    "single_statements": (7, [at_once]),
    "another_task_enters_a_block": (5, [blocks]),
    "enter_a_block_inside": (4, [numbers, blocks]),
    "run_in_a_block": (5, [numbers, several]),
    "leave_a_block": (5, [numbers, st.sampled_from([LEAVE, LEAVE, FAIL])]),
    "cancel_a_single_statement": (2, [statements, ticks]),
    "cancel_in_a_block": (2, [numbers, interrupted, ticks]),
    "cancel_one_that_waits": (1, [numbers]),
}
"""Methods of Tasks, how often each is drawn, and its arguments."""


def arguments(name: str) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *STEPS[name][1])


step = st.sampled_from([name for name, (often, _) in STEPS.items() for _ in range(often)])
steps = st.lists(step.flatmap(arguments), min_size=20, max_size=30)


# The same examples each time: a failure is not somebody else's bad luck.
@pytest.mark.parametrize("place", ["file", "memory"])
@settings(max_examples=100, deadline=None, derandomize=True, print_blob=True)
@given(steps=steps)
def test_tasks_that_do_anything_at_any_time_leave_what_the_model_says(
    place: str, steps: list[tuple[Any, ...]]
) -> None:
    threads = threading.active_count()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "test.db") if place == "file" else None
        asyncio.run(run(file, steps))
        if file is not None:
            with contextlib.closing(sqlite3.connect(file)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    deadline = time.monotonic() + PATIENCE
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() <= threads
