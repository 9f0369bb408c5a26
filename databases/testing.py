"""What tests expect of an application's queries: how many there are, and none in a loop."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from dataclasses import dataclass, field

from databases.exceptions import shortened
from databases.observed import ObservedConnection
from databases.steps import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from databases.backends.base import BackendConnection
    from databases.connection import Connection
    from databases.database import Database
    from databases.pending import CallSite
    from databases.statements import Bound
    from databases.steps import Step

_WIDEST = 100
"""Characters of SQL in a line of the table."""


@dataclass(slots=True)
class Query:
    """A query that ran: one call of one of the six methods.

    Args:
        sql: the SQL as the driver got it.
        family: the SQL without values.
        site: the place in the user's code.
        task: the name of the asyncio task.
        rows: how many rows came; None while none have.
        batch: how many sets of values an ``execute_many`` had.
        seconds: how long it took, waiting for others included.
        error: the class of the error that it failed with.
    """

    sql: str
    family: str
    site: CallSite | None
    task: str
    rows: int | None = None
    batch: int | None = None
    seconds: float = 0.0
    error: type[BaseException] | None = None

    @property
    def place(self) -> str:
        """Where it was called, as ``file:line``."""
        if self.site is None:
            return ""
        return f"{self.site.path}:{self.site.line}"


@dataclass(slots=True)
class Ran:
    """What ran on a database within the block of ``expect``."""

    steps: list[Step] = field(default_factory=list)
    """All steps, in their order."""
    queries: list[Query] = field(default_factory=list)
    """The queries among them, in the order in which they were sent."""
    _by_operation: dict[int, Query] = field(default_factory=dict)

    def __call__(self, step: Step, bound: Bound | None) -> None:
        """Take note of a step."""
        self.steps.append(step)
        number = step.operation.number
        if step.kind is Kind.QUERY and number not in self._by_operation:
            query = Query(step.sql or "", step.family or "", step.site, step.task)
            query.batch, query.seconds = step.batch, step.queue
            self.queries.append(query)
            self._by_operation[number] = query
        elif step.kind is Kind.ROWS and (known := self._by_operation.get(number)) is not None:
            known.seconds += step.duration
            known.error = None if step.error is None else type(step.error)
            if step.rows is not None:
                # A cursor's come piece by piece.
                known.rows = (known.rows or 0) + step.rows

    def table(self) -> str:
        """The queries as a table, for people."""
        lines = [("#", "query", "place", "rows", "ms")]
        for number, query in enumerate(self.queries, 1):
            lines.append(_line(number, query))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if name in ("#", "rows", "ms") else cell.ljust(width)
                for name, cell, width in zip(lines[0], line, widths, strict=True)
            ).rstrip()
            for line in lines
        )


def _line(number: int, query: Query) -> tuple[str, str, str, str, str]:
    sql = shortened(query.family)
    if len(sql) > _WIDEST:
        sql = sql[: _WIDEST - 1] + "…"
    if query.batch is not None:
        sql += f" ({query.batch} sets of values)"
    if query.error is not None:
        sql += f" ({query.error.__name__})"
    rows = "" if query.rows is None else str(query.rows)
    return str(number), sql, query.place, rows, f"{query.seconds * 1000:.2f}"


@contextlib.contextmanager
def expect(
    database: Database,
    *,
    queries: int | None = None,
    max_queries: int | None = None,
    max_repeats: int | None = None,
    allow_dropped: bool = False,
) -> Iterator[Ran]:
    """Fail unless the queries within the block are as expected: ``Database.expect``.

    Args:
        database: the database, connected or not.
        queries: how many queries there are.
        max_queries: how many there are at most.
        max_repeats: how many times the same query (whatever its values) may run from one place in
            the code. More is a query in a loop, an N+1: with ``max_repeats=1`` there is none.
        allow_dropped: whether it is all right that a result was never awaited.

    Raises:
        AssertionError: at the end of the block, with a table of what ran, where it differs.

    Example:
        >>> import asyncio, databases
        >>> from databases.testing import expect
        >>> async def main():
        ...     async with databases.Database("sqlite://") as database:
        ...         with expect(database, queries=2) as ran:
        ...             await database.execute("CREATE TABLE users (name TEXT)")
        ...             await database.fetch_all("SELECT name FROM users")
        ...         return [query.family for query in ran.queries]
        >>> asyncio.run(main())
        ['CREATE TABLE users (name TEXT)', 'SELECT name FROM users']
    """
    __tracebackhide__ = True
    ran = Ran()
    leave = database.steps.subscribe(ran)
    try:
        collected = contextlib.nullcontext() if allow_dropped else _collected()
        with _held_ones_observed(database), collected:
            yield ran
    finally:
        leave()
    problems = list(_problems(ran, queries, max_queries, max_repeats, allow_dropped))
    if problems:
        raise AssertionError("\n".join([*problems, "", ran.table()]))


def _problems(
    ran: Ran,
    queries: int | None,
    max_queries: int | None,
    max_repeats: int | None,
    allow_dropped: bool,
) -> Iterator[str]:
    count = len(ran.queries)
    if queries is not None and count != queries:
        yield f"Expected {_queries(queries)}, and {count} ran."
    if max_queries is not None and count > max_queries:
        yield f"Expected at most {_queries(max_queries)}, and {count} ran."
    if max_repeats is not None:
        same = Counter((query.family, query.place) for query in ran.queries)
        for (family, place), times in same.items():
            if times > max_repeats:
                yield (
                    f"The same query ran {times} times from {place} (max_repeats={max_repeats}): "
                    f"{shortened(family)}"
                )
    if not allow_dropped:
        for step in ran.steps:
            if step.kind is Kind.DROPPED:
                yield f"{step.detail} was never awaited, so it did not run.\n  {step.site}"


def _queries(count: int) -> str:
    return "1 query" if count == 1 else f"{count} queries"


@contextlib.contextmanager
def _collected() -> Iterator[None]:
    """Have the garbage collector find what is dropped in the block, and nothing from before.

    Most is found as it is dropped; what is in a cycle would be found at any time later. To look at
    all that a program has takes long, so what is there before is set aside.
    """
    sets_aside = not gc.get_freeze_count()
    if sets_aside:
        gc.freeze()
    try:
        yield
        gc.collect()
    finally:
        if sets_aside:
            gc.unfreeze()


@contextlib.contextmanager
def _held_ones_observed(database: Database) -> Iterator[None]:
    """Have the connections observed that were acquired before anybody watched.

    Under ``force_rollback`` and inside a transaction all queries of a test go to such a one.
    """
    shared = [] if database._shared is None else [database._shared]
    before: list[tuple[Connection, BackendConnection, ObservedConnection]] = []
    for connection in (*shared, *database._connections.values()):
        held = connection._held
        if held is not None and not isinstance(held, ObservedConnection):
            lease = database.steps.lease(connection._site)
            connection._held = observed = ObservedConnection(held, database.steps, lease)
            before.append((connection, held, observed))
    try:
        yield
    finally:
        for connection, held, observed in before:
            if connection._held is observed:
                connection._held = held
