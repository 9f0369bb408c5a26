"""A SQLite connection with a thread of its own, kept open.

SQLite blocks, so its connections live in threads. Handing work to a thread and its answer back to
the event loop costs more than a short query does; so the thread takes everything that waits each
time it wakes up, and answers all of it with one call to the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import queue
import random
import sqlite3
import threading
import time
from itertools import chain
from typing import Any, TypeVar

from databases.backends.sqlite import group_commit, work
from databases.backends.sqlite.faults import (
    adopted,
    is_busy,
    is_interrupted,
    locked_by_others,
    of_each,
)
from databases.backends.sqlite.jobs import STOP, Answer, Job, Kind, send
from databases.backends.sqlite.opening import has_moved, open_connection
from databases.exceptions import disconnected
from databases.operations import present_task, under_way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.backends.sqlite.crew import Crew
    from databases.backends.sqlite.inserts import EngineConnection
    from databases.backends.sqlite.jobs import Inbox, Work
    from databases.backends.sqlite.options import SQLiteOptions
    from databases.forking import Forked
    from databases.stopping import Stop

T = TypeVar("T")

_ANSWER_AFTER = 0.001
"""Seconds of work after which finished answers are sent although more work waits."""

_POLL = 0.001
"""Seconds between two tries where another process is in the way, on average. SQLite's own grow to
a tenth of a second, so that whoever has waited long would be the last to get in."""

_INTERRUPT_AGAIN = 0.005
"""Seconds after which work that has not stopped yet is interrupted again."""

_MOST_TOGETHER = 500
"""Statements at most that are committed together."""

_COUNTER = itertools.count(1)


class ConnectionThread:
    """One SQLite connection and its thread. Work is done in the order in which it is given.

    Args:
        options: how the connection is opened.
        crew: the threads that it belongs to.
        inbox: where its work is, if it shares that with others.
        idle: the seconds without work after which it ends; None for never.
        lent: whether it is somebody's own for a while. If not it opens the database anew where
            another file has taken its place.
        name: tells it from the others of the database.
    """

    def __init__(
        self,
        options: SQLiteOptions,
        crew: Crew,
        inbox: Inbox | None = None,
        *,
        idle: float | None = None,
        lent: bool = False,
        name: str,
    ) -> None:
        self.name = name
        self._options = options
        self._crew = crew
        self._inbox: Inbox = queue.SimpleQueue() if inbox is None else inbox
        self._idle = idle
        self._lent = lent
        self._connection: EngineConnection | None = None
        self.closing = False
        self.ended = False
        self._closed: asyncio.Future[None] | None = None
        # How many pieces of work it was given, and has done.
        self.given = self.done = 0
        self._busy_since = math.inf
        self._current: Job | None = None
        self._in_hand: list[Job] = []
        self._stop: Stop | Forked | None = None
        # The garbage collector gives work too, at any moment, also while this thread has the lock.
        self.lock = threading.RLock()
        """No work is given to it while somebody has this."""
        # A daemon: a program that ends without disconnect() must not wait for this thread.
        self._thread = threading.Thread(
            target=self._work, name=f"databases-sqlite-{next(_COUNTER)}", daemon=True
        )

    def start(self) -> None:
        """Start the thread; the connection is opened for the first work."""
        self._thread.start()

    async def connect(self) -> None:
        """Start the thread and open the connection.

        Raises:
            DriverError: where SQLite cannot open it; the thread has ended then.
        """
        self.start()
        try:
            await self.submit(lambda connection: None)
        except BaseException:
            self.stop()
            raise

    async def run(self, work: Callable[[EngineConnection], T], kind: Kind = Kind.ALONE) -> T:
        """Have work done in the thread. Cancelled, it is interrupted inside SQLite.

        Args:
            work: called with the connection.
            kind: how it is to be done.

        Raises:
            NotConnectedError: where the connection was closed meanwhile.
        """
        future = self.submit(work, kind)
        try:
            return await future
        except asyncio.CancelledError:
            self.interrupt(future)
            raise
        finally:
            # Its error's traceback leads to this frame: no cycle for the collector.
            del future

    def submit(
        self, work: Callable[[EngineConnection], T], kind: Kind = Kind.ALONE
    ) -> asyncio.Future[T]:
        """The same for work that is done to its end: returns the future of its result."""
        if self.closing:
            raise disconnected() if self._stop is None else self._stop.error()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        operation = under_way.get(present_task()) if under_way else None
        if operation is not None:
            operation.sent(self.name)
        self._give(Job(work, future, kind, operation))
        return future

    def post(self, work: Work) -> None:
        """Have work done that nobody waits for; allowed without a running event loop."""
        if not self.closing:
            self._give(Job(work, None, Kind.ESSENTIAL))

    def _give(self, job: Job) -> None:
        with self.lock:
            self.given += 1
        self._inbox.put(job)

    def stop(self) -> None:
        """Close the connection and end the thread, without waiting; needs no event loop."""
        self.closing = True
        self._inbox.put(STOP)

    def close(self) -> asyncio.Future[None]:
        """Close the connection and end the thread, once the work given so far is done."""
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self.lock:
            if self.ended:
                closed.set_result(None)
            else:
                self._closed = closed
        self.stop()
        return closed

    def interrupt(self, future: asyncio.Future[Any]) -> None:
        """Stop the work of one future inside SQLite, if that is what is being done now."""
        with self.lock:
            job = self._current
            if job is None or job.future is not future or self._connection is None:
                return
            if job.kind is Kind.BESIDE:
                return  # it looks for itself whether it is wanted
            self._connection.interrupt()
        # Work of many statements does not notice between two of them.
        with contextlib.suppress(RuntimeError):  # the loop is closed
            future.get_loop().call_later(_INTERRUPT_AGAIN, self.interrupt, future)

    def cut_short(self, stop: Stop | Forked) -> None:
        """Answer all that is not done yet with an error, but for what is essential."""
        self._stop = stop

    def interrupt_all(self) -> None:
        """Stop inside SQLite whatever is being done now."""
        with self.lock:
            if self._current is not None and self._connection is not None:
                self._connection.interrupt()

    def leave_behind(self) -> None:
        """Answer whoever waits for it still, although it does not come to an end."""
        assert self._stop is not None
        answers = [Answer(job.future, None, self._stop.unknown()) for job in self._in_hand]
        while (job := self._next()) is not None:
            answers.append(Answer(job.future, None, self._stop.error()))
        self._inbox.put(STOP)
        send(answers)

    @property
    def if_idle(self) -> EngineConnection | None:
        """The connection, for something short that the caller's own thread does with it now.

        None while this thread has work, and where it shares its work with others.
        """
        return None if self.given != self.done or self.closing else self._connection

    @property
    def busy_for(self) -> float:
        """Seconds for which the present piece of work has been going on; 0 where there is none."""
        return max(0.0, time.perf_counter() - self._busy_since)

    @property
    def current(self) -> Job | None:
        """The piece of work that it is doing."""
        return self._current

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open on the connection at this moment."""
        connection = self._connection
        try:
            return connection is not None and not self.closing and connection.in_transaction
        except sqlite3.ProgrammingError:  # a user has closed it
            return False

    @property
    def is_wal(self) -> bool:
        """Whether readers and writers of its file are in nobody's way."""
        return self._connection is not None and self._connection.is_wal

    @property
    def has_moved(self) -> bool:
        """Whether the file that it has open is no longer the one at the database's path."""
        return self._connection is not None and has_moved(self._connection)

    def _work(self) -> None:
        try:
            while self._take_turn():
                pass
        finally:
            self.close_connection()
            with self.lock:
                self.closing = self.ended = True
            self._crew.free_name(self.name)
            if self._closed is not None:
                send([Answer(self._closed, None, None)])

    def _take_turn(self) -> bool:
        """Wait for work, do all there is, and answer it. False once the thread shall end."""
        job: Job | None
        try:
            job = self._inbox.get(timeout=self._idle)
        except queue.Empty:
            return False
        if not self._lent and self.has_moved:
            self.close_connection()
            self._crew.reopened += 1
        answers: list[Answer] = []
        self._busy_since = time.perf_counter()
        answer_at = self._busy_since + _ANSWER_AFTER
        try:
            while job is not None and job is not STOP:
                jobs, following = self._together(job)
                self._in_hand = jobs
                if job.kind is Kind.ONCE:
                    # Nobody knows how long it takes.
                    send(answers)
                    answers = []
                if job.kind is not Kind.GROUPED:
                    self._crew.at_work.add(self)
                answers += self._patiently(jobs)
                self.done += len(jobs)
                job = following or self._next()
                now = self._busy_since = time.perf_counter()
                if now > answer_at:
                    send(answers)
                    answers = []
                    answer_at = now + _ANSWER_AFTER
            return job is None
        finally:
            self._busy_since = math.inf
            self._in_hand = []
            self._crew.at_work.discard(self)
            send(answers)

    def _together(self, job: Job) -> tuple[list[Job], Job | None]:
        """What is done together with a job, and what was found behind that, if anything was."""
        jobs = [job]
        following = None
        # Others may share the inbox: nothing is taken from it before it can be begun.
        while job.kind is Kind.GROUPED and len(jobs) < _MOST_TOGETHER:
            following = self._next()
            if following is None or following.kind is not Kind.GROUPED:
                break
            jobs.append(following)
            following = None
        return jobs, following

    def _next(self) -> Job | None:
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _patiently(self, jobs: list[Job]) -> list[Answer]:
        """Do what is wanted still; again and again while another process is in the way."""
        answers: list[Answer] = []
        groups = [jobs]
        give_up = time.monotonic() + self._options.timeout
        while groups:
            group = [job for job in groups.pop(0) if job.is_wanted]
            try:
                if len(group) > 1 and self._connection is not None:
                    done, groups[:0] = group_commit.run(
                        self._connection, group, self._attempt, self._failed
                    )
                    answers += done
                elif group:
                    answers.append(self._attempt(group[0]))
                    groups.insert(0, group[1:])
                continue
            except BaseException as error:
                if not is_busy(error):
                    # Not a statement failed but the connection: it could not even roll back.
                    answers += [self._failed(job, of_each(error)) for job in group]
                    if not self._lent:
                        self.close_connection()
                    continue
                groups.insert(0, group)
                for job in group:
                    if job.operation is not None:
                        job.operation.repeated += 1
            if self._stop is not None or time.monotonic() > give_up:
                locked = locked_by_others(self._options)
                answers += [self._failed(job, of_each(locked)) for job in chain(*groups)]
                break
            time.sleep(_POLL * random.uniform(0.5, 1.5))
        return answers

    def _attempt(self, job: Job) -> Answer:
        """Do one piece of work.

        Raises:
            sqlite3.OperationalError: where another process is in the way, and nothing was done.
        """
        self._current = job
        if job.operation is not None:
            job.operation.runs(self.name)
        try:
            if self._stop is not None and job.kind is not Kind.ESSENTIAL:
                raise self._stop.error()
            connection = self._opened()
            # From here on an interrupt finds it; one that came before must not have been in vain.
            if not job.is_wanted:
                return Answer(job.future, None, None)
            if job.kind is Kind.BESIDE:
                result = work.unless(connection, job.work, lambda: not job.is_wanted)
            else:
                result = job.work(connection)
            return Answer(job.future, result, None)
        except BaseException as error:
            if is_busy(error) and job.kind is not Kind.ONCE:
                raise
            if job.kind is not Kind.ONCE:
                # It leads to frames that know the future, which will know the error: a cycle for
                # the collector. Only a user's own code is worth one.
                error.__traceback__ = None
            return self._failed(job, error)
        finally:
            with self.lock:
                self._current = None

    def _failed(self, job: Job, error: BaseException) -> Answer:
        if isinstance(error, StopIteration):
            # A future takes any error but this one.
            error = RuntimeError(f"{error!r} was raised in the connection's thread")
        elif self._stop is not None and (is_busy(error) or is_interrupted(error)):
            error = self._stop.error()
        return Answer(job.future, None, adopted(error, self._options))

    def _opened(self) -> EngineConnection:
        if self._connection is None:
            self._connection = open_connection(self._options)
            self._options = self._options.once_connected()
        return self._connection

    def close_connection(self) -> None:
        """Close the connection, which is opened again for the next work, if there is any."""
        with self.lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
