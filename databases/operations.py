"""Operations: what the library does for its callers at this moment, while somebody watches.

While somebody subscribes to the steps of a database, ``observed`` makes one of each query, BEGIN
and so on. Whoever works on it further down notes here what only he knows: on which connection it
runs, for whom it waits. Where nobody watches there is none, and that is found out at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from asyncio import current_task
from time import perf_counter
from typing import Any

from databases.exceptions import QueryCancelledError, shortened
from databases.holding import present_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from databases.holding import Holding
    from databases.pending import CallSite
    from databases.statements import Bound
    from databases.steps import Kind, Steps


def present_task() -> asyncio.Task[Any] | None:
    """The task that runs, if one does."""
    try:
        return current_task()
    except RuntimeError:  # no event loop runs: something is collected after its end
        return None


under_way: dict[asyncio.Task[Any] | None, Operation] = {}
"""The operation that each task is in. A child task is not in that of its parent."""


def sent(connection: str) -> None:
    """The present operation, if there is one, is handed to a connection."""
    # In a task, always: present_task() would be one call more for each query.
    if under_way and (operation := under_way.get(current_task())) is not None:
        operation.sent(connection)


def waits(what: str, holders: Callable[[], Iterable[Holding]]) -> None:
    """The present operation, if there is one, begins to wait for something that others hold."""
    if under_way and (operation := under_way.get(present_task())) is not None:
        operation.steps.waiting(operation, what, holders())


def repeats(why: str, error: BaseException | None) -> None:
    """The present operation, if there is one, was not done and is tried again."""
    if under_way and (operation := under_way.get(present_task())) is not None:
        operation.steps.retrying(operation, why, error)


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """What is done in the block is no part of the present operation.

    The garbage collector gives connections back in the midst of anything.
    """
    task = present_task()
    operation = under_way.pop(task, None)
    try:
        yield
    finally:
        if operation is not None:
            under_way[task] = operation


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class Lease:
    """A connection, held by one user of the core.

    Args:
        number: tells it from others.
        site: where in the user's code it was asked for.
    """

    __slots__ = (
        "busy",
        "connection",
        "is_ground",
        "number",
        "request",
        "since",
        "site",
        "task",
        "transaction",
    )

    def __init__(self, number: int, site: CallSite) -> None:
        self.number = number
        self.site = site
        task = present_task()
        self.task = "" if task is None else task.get_name()
        self.request = present_request.get()
        self.connection: str | None = None
        self.since = perf_counter()
        self.busy = 0.0
        """Seconds of the time since then in which something ran on it."""
        self.transaction: CallSite | None = None
        """Where the transaction that is open on it was begun."""
        self.is_ground = False
        """Whether that transaction lasts for as long as the database is connected."""


class Operation:
    """One thing that the library does for a caller; a context manager around the doing.

    Its steps share it. It is not changed any more when it is over, and has no values of a query.

    Args:
        steps: where it is told.
        kind: the step that it ends with.
        site: where in the user's code it was asked for.
        bound: its statement and the values, if it has one.
        lease: the connection that is held for it, if one is.
        states: the states before and after it, where it is no statement.
    """

    __slots__ = (
        "_before",
        "_number",
        "_outer",
        "_was_stopped",
        "answered",
        "at_rest",
        "batch",
        "began",
        "bound",
        "connection",
        "ended_at",
        "ended_number",
        "error",
        "error_text",
        "failed",
        "goes_on",
        "kind",
        "lease",
        "repeated",
        "request",
        "rows",
        "runs_since",
        "sent_at",
        "sent_number",
        "site",
        "statement",
        "states",
        "steps",
        "task",
        "task_object",
        "values",
    )

    def __init__(
        self,
        steps: Steps,
        kind: Kind,
        site: CallSite | None,
        bound: Bound | None = None,
        lease: Lease | None = None,
        states: tuple[str, ...] | None = None,
    ) -> None:
        self.steps = steps
        self._before = self._number = 0
        self.kind = kind
        self.site = site
        try:
            # Not by present_task(), which would be one call more for each query.
            task = current_task()
        except RuntimeError:
            task = None
        self.task_object = task
        self.task = "" if task is None else task.get_name()
        """The name of the task."""
        self.request = present_request.get()
        self.bound = bound
        self.statement = None if bound is None else bound.statement
        self.lease = lease
        self.connection: str | None = None
        """The name of the connection that it runs on, once that is known."""
        self.at_rest = "idle"
        """The state of the connection before and after a statement."""
        if lease is not None:
            self.connection = lease.connection
            self.at_rest = "held" if lease.transaction is None else "in transaction"
        self.states = states
        self.sent_number = 0
        self.sent_at: float | None = None
        """When it was handed to a connection, by ``time.perf_counter`` as all times here."""
        self.runs_since: float | None = None
        """When a connection began to work on it; None while it waits."""
        self.answered: float | None = None
        """When the answer was there; what comes after it is decoding."""
        self.ended_number = 0
        self.ended_at = 0.0
        self.error: BaseException | None = None
        """What it failed with, while its end is told."""
        self.failed = False
        self.values: Any = ()
        self.error_text: str | None = None
        """What may be kept of its values and its error: left to whoever keeps it."""
        self.rows: int | None = None
        self.batch: int | None = None
        """How many sets of values it has, where it is an ``execute_many``."""
        self.goes_on = False
        """Whether other operations bring its rows: it opens a cursor."""
        self.repeated = 0
        """How often another process was in the way, so that it had to be tried again."""
        self._was_stopped = False
        self._outer: Operation | None = None
        self.began = perf_counter()

    @property
    def number(self) -> int:
        """The same in all steps of it; counted when somebody asks for it first."""
        if not self._number:
            self._number = next(self.steps.operations)
        return self._number

    def continues(self, opening: Operation) -> None:
        """It brings further rows of the cursor that another one has opened."""
        self._number = opening.number

    @property
    def sql(self) -> str | None:
        """The SQL as the driver gets it."""
        return None if self.statement is None else self.statement.sql

    @property
    def family(self) -> str | None:
        """The SQL without values: see ``family_of``."""
        statement = self.statement
        if statement is None:
            return None
        return statement.family or statement.find_family(self.steps.dialect)

    def begin(self) -> None:
        """The present task is in it from now on."""
        task = self.task_object
        # One that has swallowed a cancellation goes on, and may be stopped again.
        self._before = 0 if task is None else task.cancelling()
        outer = under_way.setdefault(task, self)
        if outer is not self:
            self._outer = outer
            under_way[task] = self

    def end(self, error: BaseException | None = None) -> None:
        """It is over.

        Raises:
            QueryCancelledError: where it was stopped by hand.
        """
        if self._outer is None:
            under_way.pop(self.task_object, None)
        else:
            under_way[self.task_object] = self._outer
        stopped = None
        if self._was_stopped and self._takes_cancellation(error):
            stopped = self._stopped()
        self.steps.ended(self, stopped or error)
        self.forget()
        if stopped is not None:
            try:
                raise stopped from None
            finally:
                # Its traceback leads to this frame: no cycle for the collector.
                del stopped, error

    def forget(self) -> None:
        """Let go of what must not be kept by those who keep its steps: values, tasks, frames."""
        self.bound = self.task_object = self.error = self._outer = None

    def __enter__(self) -> Operation:
        self.begin()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(error)

    def sent(self, connection: str) -> None:
        """It is handed to a connection now: by the task, in its event loop."""
        self.connection = connection
        self.runs_since = now = perf_counter()
        lease = self.lease
        if lease is not None:
            if lease.connection is None:
                # Until now it was waited for.
                lease.since = now
            lease.connection = connection
        if self.sent_at is None:
            self.sent_at = now
            if self.bound is not None:
                self.steps.query_sent(self)

    def runs(self, connection: str) -> None:
        """A connection begins to work on it, in whatever thread."""
        if not self.ended_number:  # it may have been cancelled meanwhile
            self.connection = connection
            self.runs_since = perf_counter()

    @property
    def ran_from(self) -> float:
        """From when on a connection worked on it, once it is over; what was before is waiting."""
        if self.runs_since is not None:
            # A thread may begin to work on it after it was cancelled.
            return min(self.runs_since, self.ended_at)
        # On no connection: it failed before, or asked for one that is taken when it is needed.
        in_vain = self.failed or self.kind.value == "acquire"
        return self.ended_at if in_vain else self.began

    def __repr__(self) -> str:
        return f"<Operation {self.number}: {self.sql or self.kind.value}>"

    @property
    def can_be_stopped(self) -> bool:
        """Whether ``cancel()`` stops it: nobody would know what became of a COMMIT."""
        return self.states is None or self.kind.value in ("acquire", "begin")

    def cancel(self) -> None:
        """Stop it in the database; its caller gets a ``QueryCancelledError``."""
        task = self.task_object
        if task is None or not self.can_be_stopped:
            return
        loop = task.get_loop()
        if loop is running_loop():
            self._cancel_task()
        else:
            # That one is in another thread, or closed.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._cancel_task)

    def _cancel_task(self) -> None:
        if self.task_object is not None and not self._was_stopped:
            self._was_stopped = True
            self.task_object.cancel()

    def _takes_cancellation(self, error: BaseException | None) -> bool:
        """Whether an error is what came of ``cancel()``, and of nobody else's.

        Where somebody else cancels the task as well, it is cancelled: a time limit, a group.
        """
        task = self.task_object
        return (
            task is not None
            and task.uncancel() <= self._before
            and isinstance(error, asyncio.CancelledError)
        )

    def _stopped(self) -> QueryCancelledError:
        lines = [f"This query was stopped by hand after {perf_counter() - self.began:.1f} s."]
        if self.site is not None:
            lines.append(f"  {self.site}")
        stopped = QueryCancelledError("\n".join(lines))
        if self.sql is not None:
            stopped.add_note(f"SQL: {shortened(self.sql)}")
        return stopped
