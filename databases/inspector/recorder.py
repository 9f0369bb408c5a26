"""The recorder: the latest steps of a database, by request, in bounded memory."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import OrderedDict, defaultdict, deque
from typing import Any, NamedTuple

from databases.exceptions import shortened
from databases.inspector.families import Families
from databases.inspector.moments import Moments
from databases.inspector.values import are_small, error_text, kept_values
from databases.operations import running_loop
from databases.statements import LONGEST_KEPT, Bound, Statement
from databases.steps import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.database import Database
    from databases.inspector.moments import Moment
    from databases.operations import Operation
    from databases.steps import Request, Step

_DELAY = 0.1
"""Seconds after which steps are filed at the latest: together, which is cheaper than one by one."""

_TOGETHER = 1_000
"""Entries that wait to be counted at most."""


class Entry(NamedTuple):
    """A step that is not one of a query."""

    step: Step
    error: str | None

    @property
    def request(self) -> Request | None:
        """The request that it belongs to."""
        return self.step.operation.request


class Record:
    """What is known of a request, beside its steps.

    Args:
        request: the request; None for all that is done outside of requests.
    """

    def __init__(self, request: Request | None) -> None:
        self.request = request
        self.number = 0 if request is None else request.number
        self.since = time.time() if request is None else request.time
        self.steps = 0
        """How many steps it has had."""
        self.queries = 0
        self.in_database = 0.0
        """Seconds for which it was in the database."""
        self.waited = 0.0
        self.response: Step | None = None
        self.error: str | None = None
        """What it failed with."""
        self.moments: dict[object, Moment] = {}
        self.repeated: dict[object, list[Operation]] = {}
        """The queries that ran once or twice from one place."""
        self.reads: list[Operation] = []
        """The reads that came one after the other."""
        self.version = 0
        """Of the recorder, when this was last changed."""

    @property
    def is_open(self) -> bool:
        """Whether it is being answered still."""
        return self.request is not None and self.response is None


class Recorder:
    """Keeps the latest steps of a database, and what they come to.

    Each step is put into a ring, which forgets the oldest in the same moment: what is kept never
    grows, so the garbage collector has nothing to look after. A query is kept as one operation, of
    which the two steps are made when somebody looks. Ten times a second, or when somebody looks,
    the new ones are counted, many at a time.

    Args:
        database: the database.
        steps: how many steps are kept, about.
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
        self.moments = Moments(slow, database._engine.steps)
        self.prologue: deque[Entry] = deque(maxlen=10)
        """The latest connects and disconnects."""
        # A query is two steps.
        self._ring: deque[Entry | Operation] = deque(maxlen=max(1, steps // 2))
        self._most_requests = requests
        self.position = 0
        """How many entries there were."""
        self._counted = self._due = 0
        # Before the ring forgets any of them.
        self._together = min(_TOGETHER, max(1, steps // 2))
        self._filing: asyncio.TimerHandle | None = None
        self._outside = Record(None)
        self._records: OrderedDict[int, Record] = OrderedDict({0: self._outside})
        self.close = database._engine.steps.subscribe(self._take, queries=self._take_query)

    def _take(self, step: Step, bound: Bound | None) -> None:
        error = None
        if step.error is not None:
            # That of a response is the application's own: whatever may stand in it.
            is_ours = step.kind is not Kind.RESPONSE
            error = error_text(step.error, (), show=self.show_values, is_ours=is_ours)
            # Its traceback keeps whole requests alive, and the values in them.
            step = step.without_error()
        self._ring.append(Entry(step, error))
        self.position += 1
        # What was planned in an event loop before may have ended with it.
        if self.position >= self._due or step.kind is Kind.CONNECT:
            self._file_or_plan()

    def _take_query(self, operation: Operation) -> None:
        bound = operation.bound
        if bound is not None:
            # What must not be kept of them is taken away when they are counted, many at a time.
            operation.values = bound.arguments
            if operation.error is not None:
                show = self.show_values
                operation.error_text = error_text(operation.error, bound.arguments, show=show)
        self._ring.append(operation)
        self.position += 1
        if self.position >= self._due:
            self._file_or_plan()

    def _file_or_plan(self) -> None:
        """File what has come since, if that is much, and the rest in a moment."""
        if self._filing is not None:
            # It may have been planned in an event loop that has ended since.
            self._filing.cancel()
            self._filing = None
            self.file()
        self._due = self._counted + self._together
        loop = running_loop()
        # Where none runs, something was collected after its end: whoever looks files it.
        if loop is not None:
            self._filing = loop.call_later(_DELAY, self._file_in_time)

    def _file_in_time(self) -> None:
        self._filing = None
        self.file()
        self._due = 0

    @property
    def kept(self) -> int:
        """How many steps are kept."""
        return sum(1 if type(entry) is Entry else 2 for entry in self._ring)

    def entries(self, request: Request | None, since: int = 0) -> list[Entry | Operation]:
        """The entries of a request that are kept.

        Args:
            request: the request; None for what is done outside of requests.
            since: the position before those that are wanted.
        """
        return [entry for entry in self._latest(since) if entry.request is request]

    def by_request(self) -> defaultdict[Request | None, list[Entry | Operation]]:
        """All entries that are kept, by their requests."""
        found: defaultdict[Request | None, list[Entry | Operation]] = defaultdict(list)
        for entry in self._ring:
            found[entry.request].append(entry)
        return found

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
            record.version = self.version
        self._ring.clear()
        self.families.clear()
        self.moments.clear()

    def file(self) -> None:
        """Count what has come since the last time."""
        new = self._latest(self._counted)
        self._counted = self.position
        if new:
            self.version += 1
            for is_step, together in _runs(new):
                if is_step:
                    self._file_steps(together)
                else:
                    self._file_queries(together)
            self._forget_requests()
        self.moments.look_at_what_lasts()

    def _latest(self, since: int) -> list[Entry | Operation]:
        """What has come since a position, as far as it is kept; from the end, where it is short."""
        latest = list(itertools.islice(reversed(self._ring), self.position - since))
        latest.reverse()
        return latest

    def _file_steps(self, entries: list[Entry]) -> None:
        self.total += len(entries)
        for entry in entries:
            step = entry.step
            record = self._record_of(entry.request, is_new=step.kind is Kind.REQUEST)
            if step.kind is Kind.RESPONSE:
                record.response, record.error = step, entry.error
            elif step.kind is Kind.CONNECT or step.kind is Kind.DISCONNECT:
                self.prologue.append(entry)
            record.steps += 1
            record.in_database += step.query if step.kind is not Kind.RELEASE else 0.0
            record.waited += step.queue
            record.version = self.version
            self.moments.look_at(step, record)

    def _file_queries(self, operations: list[Operation]) -> None:
        """Count queries that came one after the other: those of a kind together."""
        groups: defaultdict[object, list[Operation]] = defaultdict(list)
        for operation in operations:
            groups[operation.statement, id(operation.request)].append(operation)
        for group in groups.values():
            self._file_group(group, self._record_of(group[0].request))
        all_of_them = self.moments.anybody_waits
        for operation in operations:
            if all_of_them or operation.request is not None or operation.lease is not None:
                self.moments.look_at_query(operation, self._record_of(operation.request))

    def _file_group(self, group: list[Operation], record: Record) -> None:
        """Count queries with one statement, all of one request or outside of requests."""
        seconds = [each.ended_at - (each.runs_since or each.ended_at) for each in group]
        in_database = sum(seconds)
        # The further pieces of an iteration were not sent by themselves.
        sent = sum([each.sent_number > 0 for each in group])
        record.queries += sent
        record.steps += sent + len(group)
        self.total += sent + len(group)
        record.in_database += in_database
        record.waited += sum([each.ended_at - each.began for each in group]) - in_database
        record.version = self.version
        self.families.add(group, seconds, sent)
        self._strip(group)
        if max(seconds) >= self.moments.slow:
            for operation, took in zip(group, seconds, strict=True):
                if took >= self.moments.slow:
                    self.moments.add_slow(operation, record)

    def _strip(self, operations: list[Operation]) -> None:
        """Take away what must not be kept of queries with one statement, and keep an example."""
        first = operations[0]
        statement, families = first.statement, self.families
        if statement is None:
            return
        family = first.family or ""
        if family not in families.examples:
            families.remember(family, Bound(statement, first.values))
        if len(statement.sql) > LONGEST_KEPT:
            # It was generated, for once.
            statement = Statement(shortened(statement.sql))
            statement.family = family
            for operation in operations:
                operation.statement = statement
        if self.show_values or not are_small([each.values for each in operations]):
            for operation in operations:
                operation.values = kept_values(operation.values, show=self.show_values)

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

    def _forget_requests(self) -> None:
        """Forget the oldest requests that are answered."""
        many = len(self._records) - self._most_requests
        if many > 0:
            answered = [each for each in self._records.values() if each.response is not None]
            for record in answered[:many]:
                del self._records[record.number]


def _runs(entries: list[Any]) -> list[tuple[bool, list[Any]]]:
    """Steps and queries that came one after the other."""
    if Entry not in set(map(type, entries)):
        # Mostly: taking it apart would take as long as half of the rest.
        return [(False, entries)]
    return [(is_step, list(some)) for is_step, some in itertools.groupby(entries, _is_step)]


def _is_step(entry: object) -> bool:
    return type(entry) is Entry
