"""Steps: the stream of all that a database does, and the only place that tells of it.

Whoever wants to know subscribes (``database.steps.subscribe``): the inspector, the telemetry, the
log of slow queries, tests. While nobody does, queries do not come by here.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable
from typing import Any

from databases.exceptions import shortened
from databases.holding import present_request
from databases.operations import Lease, Operation, under_way
from databases.statistics import Holder
from databases.step import Kind, Request, Step, make_step

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from databases.holding import Holding
    from databases.pending import CallSite, Pending
    from databases.statements import Bound, Dialect

__all__ = ["Kind", "QuerySubscriber", "Request", "Responding", "Step", "Steps", "Subscriber"]

logger = logging.getLogger("databases.steps")

_requests = itertools.count(1)
"""The numbers of requests, whichever databases they use."""

_HOLDERS = 10
"""Those who are named, of whom hold what somebody waits for."""

_FAILED = "A subscriber to the steps of a database failed"


# Looking a member up takes a while, and these two are looked up for each query.
_QUERY, _ROWS = Kind.QUERY, Kind.ROWS


Subscriber = Callable[[Step, "Bound | None"], None]
"""Called with each step and, for a query, its statement and values, which are not in the step."""

QuerySubscriber = Callable[[Operation], None]
"""Called with each query that is over."""


class Steps:
    """The stream of one database's steps.

    Args:
        changed: called when somebody has subscribed or left.
    """

    dialect: Dialect
    """The backend's SQL, from the time when that is known."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._epoch = time.time() - time.perf_counter()
        self._numbers = itertools.count(1)
        self.operations = itertools.count(1)
        """The numbers of the operations to come."""
        self._leases = itertools.count(1)
        self._subscriptions = itertools.count(1)
        self._requests = 0
        self._subscribers: dict[int, tuple[Subscriber, QuerySubscriber | None]] = {}
        self._to_all: tuple[Subscriber, ...] = ()
        self._to_each_step: tuple[Subscriber, ...] = ()
        self._to_queries: tuple[QuerySubscriber, ...] = ()

    def now(self) -> float:
        """The time of day by the clock of the steps, in seconds since the epoch.

        It runs evenly: whoever sets the computer's clock lets nothing last for hours, or for less
        than no time.
        """
        return self._epoch + time.perf_counter()

    def _set_clock(self) -> None:
        now = time.perf_counter()
        if abs(time.time() - now - self._epoch) > 0.1:
            self._epoch = time.time() - now

    @property
    def is_watched(self) -> bool:
        """Whether anybody subscribes."""
        return bool(self._subscribers)

    def subscribe(
        self, subscriber: Subscriber, *, queries: QuerySubscriber | None = None
    ) -> Callable[[], None]:
        """Have a function called with each step from now on.

        It is called at once, in the task whose step it is, so it must not take long; an error in it
        is logged and harms no query.

        Args:
            subscriber: called with each step and, if it is one of a query, the ``Bound`` that holds
                the statement and its values: keep that only where values may be kept.
            queries: called once for each query that is over, with its ``Operation``, in place of
                the subscriber with the two steps of it. That costs a third, and
                ``query_steps(operation)`` makes the steps of it whenever they are wanted.

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
        number = next(self._subscriptions)
        self._subscribers[number] = (subscriber, queries)
        self._sort_subscribers()

        def leave() -> None:
            if self._subscribers.pop(number, None) is not None:
                self._sort_subscribers()

        return leave

    def _sort_subscribers(self) -> None:
        both = tuple(self._subscribers.values())
        self._to_all = tuple(subscriber for subscriber, _ in both)
        self._to_each_step = tuple(subscriber for subscriber, queries in both if queries is None)
        self._to_queries = tuple(queries for _, queries in both if queries is not None)
        self._changed()

    def under_way(self) -> list[Operation]:
        """The operations that are not over."""
        found = []
        for task, operation in list(under_way.items()):
            if task is not None and task.get_loop().is_closed():
                under_way.pop(task, None)  # nobody will ever end it
            elif operation.steps is self:
                found.append(operation)
        return found

    def lease(self, site: CallSite) -> Lease:
        """What there is to know of a connection that is held from now on."""
        return Lease(next(self._leases), site)

    def query_steps(self, operation: Operation) -> list[Step]:
        """The steps of a query: that it was sent, and once it is over what came of it."""
        steps = [self._sent_step(operation)] if operation.sent_number else []
        return [*steps, self._ended_step(operation)] if operation.ended_number else steps

    def _sent_step(self, operation: Operation) -> Step:
        sent = operation.sent_at or operation.began
        return make_step(
            operation.sent_number,
            _QUERY,
            operation,
            self._epoch + sent,
            operation.at_rest,
            "in flight",
            sent - operation.began,
        )

    def _ended_step(self, operation: Operation) -> Step:
        sent, runs, ended = operation.sent_at, operation.runs_since, operation.ended_at
        answered = operation.answered or ended
        if sent is None or runs is None:
            # It waited in vain, or was never fit to be sent.
            before, sent, runs = "waiting", operation.began, answered
        else:
            before, runs = "in flight", min(runs, answered)
        return make_step(
            operation.ended_number,
            _ROWS,
            operation,
            self._epoch + ended,
            before,
            operation.at_rest,
            runs - sent,
            answered - runs,
            ended - answered,
            operation.rows,
            operation.error,
        )

    def _tell(
        self,
        kind: Kind,
        operation: Operation,
        now: float,
        before: str,
        after: str,
        queue: float = 0.0,
        query: float = 0.0,
        error: BaseException | None = None,
        detail: str | None = None,
        lasted: float | None = None,
        holders: tuple[Holder, ...] = (),
    ) -> None:
        """Tell all subscribers of a step that is not one of a query."""
        step = make_step(
            next(self._numbers),
            kind,
            operation,
            self._epoch + now,
            before,
            after,
            queue,
            query,
            0.0,
            None,
            error,
            detail,
            lasted,
            holders,
        )
        _call(self._to_all, step, operation.bound)

    # What there is to tell, by the one who knows of it.

    def query_sent(self, operation: Operation) -> None:
        """A statement is handed to its connection."""
        operation.sent_number = next(self._numbers)
        if self._to_each_step:
            _call(self._to_each_step, self._sent_step(operation), operation.bound)

    def ended(self, operation: Operation, error: BaseException | None) -> None:
        """An operation is over."""
        operation.ended_at = now = time.perf_counter()
        operation.failed = error is not None
        lease = operation.lease
        if lease is not None and (error is not None or not operation.goes_on):
            lease.busy += now - operation.ran_from
        if operation.repeated:
            others = f"{operation.repeated} times: another process was in the way"
            self.retrying(operation, others, None)
        if operation.states is not None:
            self._control_ended(operation, error)
        elif error is not None or not operation.goes_on:
            if operation.sent_at is None and error is None:
                # By a backend of somebody else's, which does not tell.
                operation.sent_at = operation.runs_since = operation.began
                self.query_sent(operation)
            operation.error = error
            operation.ended_number = next(self._numbers)
            if self._to_each_step:
                _call(self._to_each_step, self._ended_step(operation), operation.bound)
            for subscriber in self._to_queries:
                try:
                    subscriber(operation)
                except Exception:
                    logger.exception(_FAILED)

    def _control_ended(self, operation: Operation, error: BaseException | None) -> None:
        assert operation.states is not None
        before, after = operation.states
        began, now, ran_from = operation.began, operation.ended_at, operation.ran_from
        after = after if error is None else "failed"
        queue, query = ran_from - began, now - ran_from
        self._tell(operation.kind, operation, now, before, after, queue, query, error)

    def released(self, lease: Lease) -> None:
        """A connection is given back."""
        operation = Operation(self, Kind.RELEASE, lease.site, None, lease)
        now = operation.began
        operation.forget()
        # The garbage collector may do it, in the midst of somebody else's request.
        operation.request, operation.task = lease.request, lease.task
        self._tell(
            Kind.RELEASE, operation, now, "held", "idle", query=lease.busy, lasted=now - lease.since
        )

    def waiting(self, operation: Operation, what: str, holders: Iterable[Holding]) -> None:
        """An operation begins to wait for something that others hold."""
        # A large pool has many holders, and a thousand may begin to wait for it at the same time.
        found = tuple(Holder.of(holding) for holding in itertools.islice(holders, _HOLDERS))
        now = time.perf_counter()
        self._tell(Kind.WAIT, operation, now, "ready", "waiting", detail=what, holders=found)

    def retrying(self, operation: Operation, why: str, error: BaseException | None) -> None:
        """An operation was not done, and is tried again."""
        now = time.perf_counter()
        self._tell(Kind.RETRY, operation, now, "failed", "in flight", error=error, detail=why)

    def again(self, site: CallSite, why: str, error: BaseException) -> None:
        """The block of a transaction failed, and is run again."""
        operation = Operation(self, Kind.RETRY, site)
        operation.forget()
        self.retrying(operation, why, error)

    def dropped(self, pending: Pending[Any]) -> None:
        """The result of a method was never awaited."""
        operation = Operation(self, Kind.DROPPED, pending.site)
        operation.forget()
        query = "" if pending.query is None else shortened(pending.query)
        detail = f"{pending.method}({query})"
        self._tell(
            Kind.DROPPED, operation, operation.began, "not awaited", "dropped", detail=detail
        )

    @contextlib.contextmanager
    def request(
        self, method: str, path: str, request: Request | None = None
    ) -> Iterator[Responding]:
        """A request of the web application is answered within the block.

        What is done in the block, and in tasks that are started from it, is part of the request.

        Args:
            method: such as ``"GET"``.
            path: the path, without the query string.
            request: the request, where another database is told of it already.
        """
        if not self._requests:
            # Between two of them, so that the steps of one follow each other.
            self._set_clock()
        self._requests += 1
        request = request or Request(next(_requests), method, path, self.now())
        token = present_request.set(request)
        operation = Operation(self, Kind.RESPONSE, None)
        operation.forget()
        responding = Responding(request)
        error: BaseException | None = None
        self._tell(Kind.REQUEST, operation, operation.began, "listening", "answering")
        try:
            yield responding
        except BaseException as raised:
            error = raised
            raise
        finally:
            with contextlib.suppress(ValueError):  # abandoned, and collected in another context
                present_request.reset(token)
            now, status = time.perf_counter(), responding.status
            self._tell(
                Kind.RESPONSE,
                operation,
                now,
                "answering",
                "no answer" if status is None else f"answered {status}",
                error=error,
                detail=None if status is None else str(status),
                lasted=now - operation.began,
            )
            self._requests -= 1


class Responding:
    """A request that is being answered.

    Args:
        request: the request.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.status: int | None = None
        """The status of the response, once it is known."""


def _call(subscribers: tuple[Subscriber, ...], step: Step, bound: Bound | None) -> None:
    for subscriber in subscribers:
        try:
            subscriber(step, bound)
        except Exception:
            logger.exception(_FAILED)
