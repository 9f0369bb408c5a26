"""The log of what is slow, and of connections that are held for too long, through ``logging``."""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from functools import partial
from typing import Any

from databases.exceptions import shortened
from databases.sql_summary import sanitized
from databases.statements import Kept
from databases.steps import Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.database import Database
    from databases.statements import Bound
    from databases.steps import Step

_UNDER_WAY = 10_000
"""Queries of which it is remembered at most how long they waited."""


def watch(
    database: Database,
    *,
    slow: float | None = 0.5,
    held: float | None = 30.0,
    logger: logging.Logger | None = None,
) -> Callable[[], None]:
    """Log a warning for each slow query, and for each connection that somebody keeps.

    A message is one line and has no values: literals in the SQL are written as ``?``. A connection
    that is held for too long is told of while it is held, because one that leaks never comes back;
    if it does, that is told too. Those that are held already when this is called are not
    looked at, nor the one that all tasks share under ``force_rollback``.

    What the message says is in the record as well, for logs that are read by machines:
    ``db_event`` (``"slow query"``, ``"connection held"``, ``"connection returned"``),
    ``db_seconds``, ``db_sql``, ``db_place``, ``db_task``, ``db_request``, ``db_connection``; of a
    query also ``db_queue``, ``db_query`` and ``db_decode`` (seconds), ``db_rows``, ``db_error``.

    Args:
        database: the database, connected or not.
        slow: seconds from which on a query is slow, waiting for others included; None for never.
        held: seconds from which on a connection is held for too long; None for never.
        logger: where to log; None for ``logging.getLogger("databases.slow_log")``.

    Returns:
        A function that ends it.

    Example:
        >>> import asyncio, databases, logging
        >>> from databases import slow_log
        >>> database = databases.Database("sqlite://")
        >>> logger = logging.getLogger("example")
        >>> logger.addFilter(lambda record: print(record.db_event, record.db_sql))
        >>> end = slow_log.watch(database, slow=0.0, logger=logger)
        >>> async def main():
        ...     async with database:
        ...         await database.fetch_val("SELECT 1")
        >>> asyncio.run(main())
        slow query SELECT ?
        >>> end()
    """
    log = _Log(weakref.ref(database), slow, held, logger or logging.getLogger("databases.slow_log"))
    leave = database.steps.subscribe(log)

    def end() -> None:
        leave()
        log.forget()

    return end


class _Held:
    """A connection that is held.

    Args:
        acquired: the step with which that began.
        watch: starts a timer that ends when it has been held for too long.
    """

    def __init__(self, acquired: Step, watch: Callable[[], asyncio.TimerHandle]) -> None:
        self.acquired = acquired
        self.timer = watch()
        self.told = False
        self.on: str | None = None
        self.began = time.perf_counter()
        self._watch = watch
        self.does(acquired)

    @property
    def is_ground(self) -> bool:
        """Whether it is held for as long as the database is connected, by all."""
        lease = self.acquired.operation.lease
        return lease is not None and lease.is_ground

    def does(self, step: Step) -> None:
        """It does something else now.

        The step itself is not kept: the frames of its error may hold the connection, and would
        never let it go.
        """
        # Not the time of day, which somebody may set.
        self.since = time.perf_counter()
        self.kind, self.sql = step.kind, step.sql
        if self.on is None and step.connection is not None:
            # Until now it was waited for: SQLite's is taken when a statement needs it.
            self.on = step.connection
            if not self.told:
                self.timer.cancel()
                self.began, self.timer = self.since, self._watch()


class _Log:
    """Looks for what is slow among the steps of a database.

    Args:
        database: it; weak, because its steps lead here.
        slow: seconds from which on a query is slow.
        longest: seconds for which a connection may be held.
        logger: where to log.
    """

    def __init__(
        self,
        database: weakref.ref[Database],
        slow: float | None,
        longest: float | None,
        logger: logging.Logger,
    ) -> None:
        self._database = database
        self._slow = slow
        self._longest = longest
        self._logger = logger
        # How long each query under way has waited, by the number of its operation.
        self._queued: Kept[int, float] = Kept(_UNDER_WAY)
        # By the numbers of their leases.
        self._held: dict[int, _Held] = {}

    def __call__(self, step: Step, bound: Bound | None) -> None:
        kind = step.kind
        if kind is Kind.QUERY:
            self._queued[step.operation.number] = step.queue
        elif kind is Kind.ROWS:
            self._query_ended(step)
        elif kind is Kind.ACQUIRE:
            self._acquired(step)
        elif kind is Kind.RELEASE:
            self._released(step)
        elif kind is Kind.DISCONNECT:
            self.forget()
        if step.lease is not None and (held := self._held.get(step.lease)) is not None:
            held.does(step)

    def _query_ended(self, step: Step) -> None:
        queue = step.queue + self._queued.pop(step.operation.number, 0.0)
        seconds = queue + step.query + step.decode
        if self._slow is None or seconds < self._slow:
            return
        rows = "" if step.rows is None else f", {step.rows} rows"
        error = None if step.error is None else type(step.error).__name__
        failed = "" if error is None else f", {error}"
        self._warn(
            "slow query",
            f"Slow query: {seconds:.3f} s (queue {queue:.3f}, query {step.query:.3f}, "
            f"decode {step.decode:.3f}{rows}{failed})",
            step,
            self._shown(step.sql),
            db_seconds=seconds,
            db_queue=queue,
            db_query=step.query,
            db_decode=step.decode,
            db_rows=step.rows,
            db_error=error,
        )

    def _acquired(self, step: Step) -> None:
        if self._longest is not None and step.lease is not None and step.error is None:
            later = asyncio.get_running_loop().call_later
            watch = partial(later, self._longest, self._still_held, step.lease)
            self._held[step.lease] = _Held(step, watch)

    def _still_held(self, lease: int) -> None:
        held = self._held.get(lease)
        if held is None or self._database() is None or held.is_ground:
            return
        held.told = True
        now = time.perf_counter()
        seconds, activity = now - held.began, _ACTIVITY.get(held.kind, "idle")
        self._warn(
            "connection held",
            f"Connection held for {seconds:.1f} s and not given back "
            f"({activity} for {now - held.since:.1f} s)",
            held.acquired,
            self._last(held),
            connection=held.on,
            db_seconds=seconds,
        )

    def _released(self, step: Step) -> None:
        held = None if step.lease is None else self._held.pop(step.lease, None)
        if held is None:
            return
        held.timer.cancel()
        if held.told:
            seconds = step.lasted or 0.0
            self._warn(
                "connection returned",
                f"Connection given back after {seconds:.1f} s",
                held.acquired,
                self._last(held),
                connection=held.on,
                db_seconds=seconds,
            )

    def forget(self) -> None:
        """Forget all connections that are held, and let no timer run on."""
        for held in self._held.values():
            held.timer.cancel()
        self._held.clear()

    def _last(self, held: _Held) -> str | None:
        """What was done last on a connection; None where nothing was."""
        if held.sql is None:
            return None if held.kind is Kind.ACQUIRE else held.kind.value.upper()
        return self._shown(held.sql)

    def _shown(self, sql: str | None) -> str | None:
        """SQL on one line, without values."""
        database = self._database()
        backend = None if database is None else database._engine._backend
        if sql is None or backend is None:
            return None
        return shortened(sanitized(sql, backend.dialect))

    def _warn(
        self,
        event: str,
        what: str,
        step: Step,
        sql: str | None,
        connection: str | None = None,
        **fields: float | str | None,
    ) -> None:
        site, request = step.site, None if step.request is None else str(step.request)
        connection = connection or step.connection
        about = [str(site), step.task, request, connection]
        said = ", ".join(_line(each) for each in about if each)
        extra: dict[str, Any] = {
            "db_event": event,
            "db_sql": sql,
            "db_place": None if site is None else f"{site.filename}:{site.line}",
            "db_task": step.task,
            "db_request": request,
            "db_connection": connection,
            **fields,
        }
        sql = "" if sql is None else f": {_line(sql)}"
        self._logger.warning("%s%s [%s]", what, sql, said, extra=extra)


_ACTIVITY = {Kind.QUERY: "busy", Kind.WAIT: "waiting"}
"""What somebody is at who holds a connection, by the last step on it."""


def _line(text: str) -> str:
    """A text of anybody's as part of one line: a path can have line breaks and escapes in it."""
    return "".join(each if each.isprintable() else " " for each in text)
