"""The recorder: the latest steps of a database, by request, in bounded memory."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict, deque
from typing import Any, NamedTuple

from databases.inspector.families import Families
from databases.inspector.moments import Moments
from databases.inspector.values import error_text, kept_values
from databases.steps import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from databases.database import Database
    from databases.inspector.moments import Moment
    from databases.operations import Operation
    from databases.statements import Bound
    from databases.steps import Request, Step

_DELAY = 0.1
"""Seconds after which steps are filed at the latest: together, which is cheaper than one by one."""

_TOGETHER = 1_000
"""Steps that wait to be filed at most."""


class Entry(NamedTuple):
    """A step that is not one of a query."""

    step: Step
    error: str | None


class QueryEntry(NamedTuple):
    """A query that is over, which is two steps: it was sent, and what came of it."""

    operation: Operation
    values: Any
    """Its values, as the driver got them or described."""
    error: str | None


class Record:
    """What a request did.

    Args:
        request: the request; None for all that is done outside of requests.
    """

    def __init__(self, request: Request | None) -> None:
        self.request = request
        self.number = 0 if request is None else request.number
        self.entries: deque[Entry | QueryEntry] = deque()
        self.filed = 0
        """How many entries it has had."""
        self.steps = 0
        """How many steps it has had."""
        self.cut = 0
        """How many of them are no longer kept."""
        self.queries = 0
        self.in_database = 0.0
        """Seconds for which it was in the database."""
        self.waited = 0.0
        self.response: Step | None = None
        self.error: str | None = None
        """What it failed with."""
        self.moments: dict[object, Moment] = {}
        self.version = 0
        """Of the recorder, when this was last changed."""

    @property
    def is_open(self) -> bool:
        """Whether it is being answered still."""
        return self.request is not None and self.response is None


class Recorder:
    """Keeps the latest steps of a database.

    Steps are put where they belong ten times a second, or when somebody looks: many at a time
    take a third of what they would take one by one.

    Args:
        database: the database.
        steps: how many steps are kept at most.
        requests: how many requests are kept at most.
        show_values: whether the values of queries are shown.
        slow: seconds from which on a query counts as slow.
    """

    def __init__(
        self,
        database: Database,
        *,
        steps: int = 20_000,
        requests: int = 2_000,
        show_values: bool = False,
        slow: float = 0.1,
    ) -> None:
        self.database = database
        self.show_values = show_values
        self.app_name = "application"
        """What the application is an instance of, once that is known."""
        self.started = time.time()
        self.total = 0
        """How many steps there were."""
        self.count = 0
        """How many requests there were."""
        self.version = 0
        """Grows with each change."""
        self.cleared_at = 0
        """The version at which everything was last forgotten."""
        self.families = Families()
        self.moments = Moments(slow, database.steps)
        self.prologue: deque[Entry] = deque(maxlen=10)
        """The latest connects and disconnects."""
        self.kept = 0
        """How many steps are kept."""
        self._most_steps = steps
        self._most_requests = requests
        self._fresh: list[Step | tuple[Operation, Bound | None, BaseException | None]] = []
        self._filing: asyncio.TimerHandle | None = None
        self._outside = Record(None)
        self._records: OrderedDict[int, Record] = OrderedDict({0: self._outside})
        # Whose the entries are, in the order in which they came, and how many at a time.
        self._order: deque[tuple[Record, int]] = deque()
        self.close = database.steps.subscribe(self._take, queries=self._take_query)

    def _take(self, step: Step, bound: Bound | None) -> None:
        self._fresh.append(step)
        if self._filing is None:
            self._plan()

    def _take_query(self, operation: Operation) -> None:
        fresh = self._fresh
        fresh.append((operation, operation.bound, operation.error))
        if self._filing is None:
            self._plan()
        elif len(fresh) >= _TOGETHER:
            self.file()

    def _plan(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # something was collected after the end of the loop; whoever looks files it
        self._filing = loop.call_later(_DELAY, self._due)

    def _due(self) -> None:
        self._filing = None
        self.file()

    def records(self, since: int = 0) -> list[Record]:
        """The requests that have changed since a version; the oldest first."""
        self.file()
        return [record for record in self._records.values() if record.version > since]

    def record(self, number: int) -> Record | None:
        """A request by its number, if it is kept still."""
        self.file()
        return self._records.get(number)

    def clear(self) -> None:
        """Forget everything but how the database was connected."""
        self.file()
        self.version += 1
        self.cleared_at = self.version
        kept = [record for record in self._records.values() if record.is_open]
        self._outside = Record(None)
        self._records = OrderedDict((record.number, record) for record in [self._outside, *kept])
        for record in self._records.values():
            record.entries.clear()
            record.version = self.version
        self._order.clear()
        self.kept = 0
        self.families.clear()
        self.moments.clear()

    def file(self) -> None:
        """Put what has come to where it belongs."""
        fresh, self._fresh = self._fresh, []
        if fresh:
            self.version += 1
            at = 0
            for is_query, some in itertools.groupby(fresh, _is_query):
                together = list(some)
                at += self._file_queries(together) if is_query else self._file_steps(together)
            self.total += at
            self.kept += at
            self._forget_steps()
            self._forget_requests()
        self.moments.look_at_waiting()

    def _file_steps(self, steps: Iterable[Any]) -> int:
        count = 0
        for step in steps:
            error = None
            if step.error is not None:
                error = error_text(step.error, (), show=self.show_values)
                # Its traceback keeps whole requests alive, and the values in them.
                step = step.without_error()
            entry = Entry(step, error)
            record = self._record_of(step.operation.request, is_new=step.kind is Kind.REQUEST)
            if step.kind is Kind.RESPONSE:
                record.response, record.error = step, error
            elif step.kind is Kind.CONNECT or step.kind is Kind.DISCONNECT:
                self.prologue.append(entry)
            record.in_database += step.query if step.kind is not Kind.RELEASE else 0.0
            record.waited += step.queue
            record.entries.append(entry)
            record.filed += 1
            record.steps += 1
            self._order.append((record, 1))
            record.version = self.version
            self.moments.look_at(step, record)
            count += 1
        return count

    def _file_queries(self, queries: list[Any]) -> int:
        """File queries that came one after the other: those of a kind together."""
        groups: dict[object, list[Any]] = {}
        for query in queries:
            operation = query[0]
            code, instruction = operation.site or (None, 0)
            # Not the place itself, whose hash goes through all of its code.
            key = (operation.family, id(code), instruction, id(operation.request))
            if key in groups:
                groups[key].append(query)
            else:
                groups[key] = [query]
        for group in groups.values():
            operations = [query[0] for query in group]
            first = operations[0]
            record = self._record_of(first.request)
            self.families.add(first, operations, group[-1][1])
            record.queries += len(group)
            record.steps += 2 * len(group)
            record.in_database += sum(map(_seconds, operations))
            record.waited += sum(map(_queued, operations))
            record.version = self.version
        for operation, _, _ in queries:
            if operation.request is not None or operation.lease is not None:
                self.moments.look_at_query(operation, self._record_of(operation.request))
        slow = self.moments.slow
        for operation, _, _ in queries:
            if _seconds(operation) >= slow:
                self.moments.add_slow(operation, self._record_of(operation.request))
        entries = map(self._query_entry, queries)
        for request, some in itertools.groupby(entries, _request_of):
            record = self._record_of(request)
            before = len(record.entries)
            record.entries.extend(some)
            added = len(record.entries) - before
            record.filed += added
            self._order.append((record, added))
        return 2 * len(queries)

    def _query_entry(
        self, query: tuple[Operation, Bound | None, BaseException | None]
    ) -> QueryEntry:
        operation, bound, error = query
        values = () if bound is None else kept_values(bound.arguments, show=self.show_values)
        text = None
        if error is not None:
            text = error_text(error, bound.arguments if bound else (), show=self.show_values)
        return QueryEntry(operation, values, text)

    def _record_of(self, request: Request | None, *, is_new: bool = False) -> Record:
        if request is None:
            return self._outside
        record = self._records.get(request.number)
        if record is None:
            if not is_new:
                return self._outside  # it came long after its response
            record = self._records[request.number] = Record(request)
            self.count += 1
        return record

    def _forget_steps(self) -> None:
        """Forget the oldest, until no more are kept than shall be."""
        while self.kept > self._most_steps:
            record, count = self._order.popleft()
            gone = min(count, self.kept - self._most_steps)
            if gone < count:
                self._order.appendleft((record, count - gone))
            for _ in range(gone):
                entry = record.entries.popleft()
                steps = 2 if isinstance(entry, QueryEntry) else 1
                self.kept -= steps
                record.cut += steps

    def _forget_requests(self) -> None:
        """Forget the oldest requests that are answered; their steps are forgotten in their turn."""
        many = len(self._records) - self._most_requests
        if many > 0:
            answered = [each for each in self._records.values() if each.response is not None]
            for record in answered[:many]:
                del self._records[record.number]


def _is_query(fresh: object) -> bool:
    return type(fresh) is tuple


def _request_of(entry: QueryEntry) -> Request | None:
    return entry.operation.request


def _seconds(operation: Operation) -> float:
    return operation.ended_at - (operation.runs_since or operation.ended_at)


def _queued(operation: Operation) -> float:
    return (operation.runs_since or operation.ended_at) - operation.began
