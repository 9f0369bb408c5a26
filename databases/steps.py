"""Steps: the stream of all that a database does, and the only place that tells of it.

Whoever wants to know subscribes (``database.steps.subscribe``): the inspector, the telemetry, the
log of slow queries, tests. While nobody does, queries do not come by here.
"""

from __future__ import annotations

import contextlib
import enum
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from databases.exceptions import shortened
from databases.holding import present_request
from databases.operations import Lease, Operation, under_way
from databases.statistics import Holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from databases.holding import Holding
    from databases.pending import CallSite, Pending
    from databases.statements import Bound

logger = logging.getLogger("databases.steps")


class Kind(enum.Enum):
    """What a step is."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    ACQUIRE = "acquire"
    WAIT = "wait"
    RELEASE = "release"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    QUERY = "query"
    ROWS = "rows"
    RETRY = "retry"
    REQUEST = "request"
    RESPONSE = "response"
    DROPPED = "dropped"


# Looking a member up takes a while, and these two are looked up for each query.
_QUERY, _ROWS = Kind.QUERY, Kind.ROWS


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the web application.

    Args:
        number: counts the requests, from 1.
        method: such as ``"GET"``.
        path: the path, without the query string.
        time: when it came, in seconds since the epoch.
    """

    number: int
    method: str
    path: str
    time: float

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Unfrozen:
    """A step while it is filled in: a frozen dataclass would take six times as long."""

    __slots__ = (
        "after",
        "before",
        "connection",
        "decode",
        "detail",
        "error",
        "holders",
        "kind",
        "lasted",
        "number",
        "operation",
        "query",
        "queue",
        "rows",
        "time",
    )


@dataclass(frozen=True, init=False)
class Step(_Unfrozen):
    """One thing that has happened. The values of queries are never in it."""

    __slots__ = ()

    number: int
    """Counts the steps of the database, from 1."""
    kind: Kind
    time: float
    """When it happened (where it took time: when it was over), in seconds since the epoch."""
    operation: Operation
    """The call that it is a part of; all steps of a call share it."""
    connection: str | None
    before: str
    """The state before the step: of the connection, the database or the request."""
    after: str
    queue: float
    """Seconds spent waiting for a connection or a lock of ours."""
    query: float
    """Seconds spent in the driver and the database."""
    decode: float
    """Seconds spent making records of the rows."""
    rows: int | None
    """How many rows came."""
    error: BaseException | None
    detail: str | None
    """What else there is to say: what is waited for, the status of a response."""
    lasted: float | None
    """Of a release: seconds for which the connection was held (``query``: those in use); of a
    response: seconds that the request took."""
    holders: tuple[Holder, ...]
    """Of a wait: who holds what is waited for."""

    @property
    def duration(self) -> float:
        """Seconds that it took."""
        return self.queue + self.query + self.decode

    @property
    def request(self) -> Request | None:
        """The request of the web application that the task answers."""
        return self.operation.request

    @property
    def task(self) -> str:
        """The name of the asyncio task."""
        return self.operation.task

    @property
    def site(self) -> CallSite | None:
        """The place in the user's code."""
        return self.operation.site

    @property
    def sql(self) -> str | None:
        """The SQL as the driver gets it."""
        return self.operation.sql

    @property
    def family(self) -> str | None:
        """The SQL without values: see ``family_of``."""
        return self.operation.family

    @property
    def batch(self) -> int | None:
        """How many sets of values it has, where it is an ``execute_many``."""
        return self.operation.batch

    @property
    def lease(self) -> int | None:
        """The same for all steps of one connection from its being acquired to its release."""
        return None if self.operation.lease is None else self.operation.lease.number


Subscriber = Callable[[Step, "Bound | None"], None]
"""Called with each step and, for a query, its statement and values, which are not in the step."""


class Steps:
    """The stream of one database's steps.

    Args:
        changed: called when the first one subscribes, and when the last one has left.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._epoch = time.time() - time.perf_counter()
        self._numbers = itertools.count(1)
        self.operations = itertools.count(1)
        """The numbers of the operations to come."""
        self._leases = itertools.count(1)
        self._requests = itertools.count(1)
        self.subscribers: tuple[Subscriber, ...] = ()

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Have a function called with each step from now on.

        It is called at once, in the task whose step it is, so it must not take long; an error in it
        is logged and harms no query. It gets the step and, for a query, the ``Bound`` that holds
        the statement and its values: keep that only where values may be kept.

        Returns:
            A function that ends the subscription.

        Example:
            >>> import asyncio, databases
            >>> async def main():
            ...     async with databases.Database("sqlite://") as database:
            ...         seen = []
            ...         leave = database.steps.subscribe(lambda step, bound: seen.append(step))
            ...         await database.fetch_one("SELECT 1 AS n")
            ...         leave()
            ...         return [(step.kind.value, step.rows) for step in seen]
            >>> asyncio.run(main())
            [('query', None), ('rows', 1)]
        """
        first, self.subscribers = not self.subscribers, (*self.subscribers, subscriber)
        if first:
            self._changed()

        def leave() -> None:
            before = self.subscribers
            self.subscribers = tuple(each for each in before if each is not subscriber)
            if before and not self.subscribers:
                self._changed()

        return leave

    def under_way(self) -> list[Operation]:
        """The operations that are not over."""
        return [each for each in list(under_way.values()) if each.steps is self]

    def lease(self, site: CallSite) -> Lease:
        """What there is to know of a connection that is held from now on."""
        return Lease(next(self._leases), site)

    def emit(
        self,
        kind: Kind,
        operation: Operation,
        now: float,
        before: str,
        after: str,
        queue: float = 0.0,
        query: float = 0.0,
        decode: float = 0.0,
        rows: int | None = None,
        error: BaseException | None = None,
        detail: str | None = None,
        lasted: float | None = None,
        holders: tuple[Holder, ...] = (),
    ) -> None:
        """Tell the subscribers of a step of an operation.

        Args:
            kind: what it is.
            operation: what it is a step of.
            now: the time, by ``time.perf_counter``.
            before: the state before it.
            after: the state after it.
            queue: seconds of waiting.
            query: seconds in the database.
            decode: seconds of making records.
            rows: how many came.
            error: what it failed with.
            detail: what else there is to say.
            lasted: seconds for which something was held or under way.
            holders: who holds what is waited for.
        """
        step: Any = _Unfrozen()
        step.number = next(self._numbers)
        step.kind = kind
        step.time = self._epoch + now
        step.operation = operation
        step.connection = operation.connection
        step.before = before
        step.after = after
        step.queue = queue
        step.query = query
        step.decode = decode
        step.rows = rows
        step.error = error
        step.detail = detail
        step.lasted = lasted
        step.holders = holders
        step.__class__ = Step
        for subscriber in self.subscribers:
            try:
                subscriber(step, operation.bound)
            except Exception:
                logger.exception("A subscriber to the steps of a database failed")

    # What there is to tell, by the one who knows of it.

    def query_sent(self, operation: Operation, now: float) -> None:
        """A statement is handed to its connection."""
        queue = now - operation.began
        self.emit(_QUERY, operation, now, _at_rest(operation.lease), "in flight", queue)

    def ended(self, operation: Operation, error: BaseException | None) -> None:
        """An operation is over."""
        now = time.perf_counter()
        lease, began = operation.lease, operation.began
        sent, runs = operation.sent_at, operation.runs_since
        if lease is not None:
            lease.busy += now - (runs or began)
        if operation.repeated:
            others = f"{operation.repeated} times: another process was in the way"
            self.retrying(operation, others, None)
        if operation.states is not None:
            before, after = operation.states
            runs = runs or (began if error is None else now)
            after = after if error is None else "failed"
            kind, queue, query = operation.kind, runs - began, now - runs
            self.emit(kind, operation, now, before, after, queue, query, error=error)
            return
        if operation.goes_on and error is None:
            return
        rest = _at_rest(lease)
        if sent is None or runs is None:
            if error is not None:
                # It waited in vain, or was never fit to be sent.
                self.emit(_ROWS, operation, now, "waiting", rest, now - began, error=error)
                return
            # A backend of somebody else's, which does not tell.
            self.query_sent(operation, began)
            sent = runs = began
        answered = operation.answered or now
        self.emit(
            _ROWS,
            operation,
            now,
            "in flight",
            rest,
            runs - sent,
            answered - runs,
            now - answered,
            operation.rows,
            error,
        )

    def released(self, lease: Lease) -> None:
        """A connection is given back."""
        operation = Operation(self, Kind.RELEASE, lease.site, None, lease)
        now = operation.began
        self.emit(
            Kind.RELEASE, operation, now, "held", "idle", query=lease.busy, lasted=now - lease.since
        )

    def waiting(self, operation: Operation, what: str, holders: Iterable[Holding]) -> None:
        """An operation begins to wait for something that others hold."""
        found = tuple(Holder.of(holding) for holding in holders)
        now = time.perf_counter()
        self.emit(Kind.WAIT, operation, now, "ready", "waiting", detail=what, holders=found)

    def retrying(self, operation: Operation, why: str, error: BaseException | None) -> None:
        """An operation was not done, and is tried again."""
        now = time.perf_counter()
        self.emit(Kind.RETRY, operation, now, "failed", "in flight", error=error, detail=why)

    def dropped(self, pending: Pending[Any]) -> None:
        """The result of a method was never awaited."""
        operation = Operation(self, Kind.DROPPED, pending.site)
        query = "" if pending.query is None else shortened(pending.query)
        detail = f"{pending.method}({query})"
        self.emit(Kind.DROPPED, operation, operation.began, "not awaited", "dropped", detail=detail)

    @contextlib.contextmanager
    def request(self, method: str, path: str) -> Iterator[Responding]:
        """A request of the web application is answered within the block.

        What is done in the block, and in tasks that are started from it, is part of the request.

        Args:
            method: such as ``"GET"``.
            path: the path, without the query string.
        """
        request = Request(next(self._requests), method, path, time.time())
        token = present_request.set(request)
        operation = Operation(self, Kind.RESPONSE, None)
        responding = Responding(request)
        error: BaseException | None = None
        self.emit(Kind.REQUEST, operation, operation.began, "listening", "answering")
        try:
            yield responding
        except BaseException as raised:
            error = raised
            raise
        finally:
            present_request.reset(token)
            now, status = time.perf_counter(), responding.status
            self.emit(
                Kind.RESPONSE,
                operation,
                now,
                "answering",
                "no answer" if status is None else f"answered {status}",
                error=error,
                detail=None if status is None else str(status),
                lasted=now - operation.began,
            )
            # An NTP server or a suspended machine may have set the clock.
            self._epoch = time.time() - now


class Responding:
    """A request that is being answered.

    Args:
        request: the request.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.status: int | None = None
        """The status of the response, once it is known."""


def _at_rest(lease: Lease | None) -> str:
    """The state of a connection before a statement, and after it."""
    if lease is None:
        return "idle"
    return "held" if lease.transaction is None else "in transaction"
