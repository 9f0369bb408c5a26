"""Tasks of one program on a SQLite database, told what to do and compared with the model."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from databases import Database
from tests.library.sqlite_model import (
    ALL,
    FAIL,
    FAILED,
    LEAVE,
    LOST,
    READONLY,
    REFUSING,
    ROLL_BACK,
    TABLE,
    UNKNOWN,
    Actor,
    Do,
    Request,
    Rows,
    explanations,
)
from tests.servers.processes import PATIENCE

"""Seconds after which something is said to hang."""


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
