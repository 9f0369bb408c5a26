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
import sqlite3
import threading
import time
from typing import Any, NamedTuple, TypeVar

from databases import exceptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.backends.sqlite.inserts import EngineConnection

    Work = Callable[[EngineConnection], Any]

    Inbox = queue.SimpleQueue["Job | None"]

T = TypeVar("T")

_ANSWER_AFTER = 0.001
"""Seconds of work after which finished answers are sent although more work waits."""

_COUNTER = itertools.count(1)

_ADOPTED = {
    sqlite3.IntegrityError: exceptions.IntegrityError,
    sqlite3.OperationalError: exceptions.OperationalError,
    sqlite3.ProgrammingError: exceptions.ProgrammingError,
    sqlite3.DataError: exceptions.DataError,
    sqlite3.InternalError: exceptions.InternalError,
    sqlite3.NotSupportedError: exceptions.NotSupportedError,
    sqlite3.InterfaceError: exceptions.InterfaceError,
    # SQLite's own words for a broken file come as plain DatabaseError.
    sqlite3.DatabaseError: exceptions.OperationalError,
    # Values that SQLite cannot store: an int over 64 bits, half of a surrogate pair.
    OverflowError: exceptions.DataError,
    UnicodeEncodeError: exceptions.DataError,
}


class Job(NamedTuple):
    """Work for the connection, and the future that waits for it."""

    work: Work
    future: asyncio.Future[Any] | None
    essential: bool


class Answer(NamedTuple):
    """What became of a job."""

    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None


class ConnectionThread:
    """One SQLite connection and its thread. Work is done in the order in which it is given.

    Args:
        open_connection: called in the thread to open the connection.
        inbox: where its work is, if it shares that with others.
        idle: the seconds without work after which it ends; None for never.
    """

    def __init__(
        self,
        open_connection: Callable[[], EngineConnection],
        inbox: Inbox | None = None,
        idle: float | None = None,
    ) -> None:
        self._open = open_connection
        self._inbox: Inbox = queue.SimpleQueue() if inbox is None else inbox
        self._idle = idle
        self._connection: EngineConnection | None = None
        self.closing = False
        self.ended = False
        self._closed: asyncio.Future[None] | None = None
        self._busy_since = math.inf
        self._current: object = None
        self._lock = threading.Lock()
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

    def submit(
        self, work: Callable[[EngineConnection], T], *, essential: bool = False
    ) -> asyncio.Future[T]:
        """Have work done in the thread.

        Args:
            work: called with the connection.
            essential: do it even if whoever waits for it is cancelled before its turn comes.

        Returns:
            The future of its result.

        Raises:
            NotConnectedError: where the connection was closed meanwhile.
        """
        if self.closing:
            raise exceptions.NotConnectedError(
                "The database was disconnected while this was under way: "
                "let queries finish before `await database.disconnect()`"
            )
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._inbox.put(Job(work, future, essential))
        return future

    def post(self, work: Work) -> None:
        """Have work done that nobody waits for; allowed without a running event loop."""
        if not self.closing:
            self._inbox.put(Job(work, None, essential=True))

    def stop(self) -> None:
        """Close the connection and end the thread, without waiting; needs no event loop."""
        self.closing = True
        self._inbox.put(None)

    def close(self) -> asyncio.Future[None]:
        """Close the connection and end the thread, once the work given so far is done."""
        closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self.ended:
                closed.set_result(None)
            else:
                self._closed = closed
        self.stop()
        return closed

    def interrupt(self, future: object) -> None:
        """Stop the work of one future inside SQLite, if that is what is being done now."""
        with self._lock:
            if self._current is future and self._connection is not None:
                self._connection.interrupt()

    @property
    def busy_for(self) -> float:
        """Seconds for which the present piece of work has been going on; 0 where there is none."""
        return max(0.0, time.perf_counter() - self._busy_since)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open on the connection at this moment."""
        return self._connection is not None and not self.closing and self._connection.in_transaction

    def _work(self) -> None:
        try:
            while self._take_turn():
                pass
        finally:
            with self._lock:
                self.ended = True
                connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()
            if self._closed is not None:
                _send([Answer(self._closed, None, None)])

    def _take_turn(self) -> bool:
        """Wait for work, do all there is, and answer it. False once the thread shall end."""
        try:
            job = self._inbox.get(timeout=self._idle)
        except queue.Empty:
            return False
        answers: list[Answer] = []
        self._busy_since = time.perf_counter()
        answer_at = self._busy_since + _ANSWER_AFTER
        try:
            while job is not None:
                if job.future is None:
                    self._do(job.work)
                elif job.essential or not job.future.cancelled():
                    answers.append(Answer(job.future, *self._do(job.work, job.future)))
                    now = self._busy_since = time.perf_counter()
                    if now > answer_at:
                        _send(answers)
                        answers = []
                        answer_at = now + _ANSWER_AFTER
                job = self._inbox.get_nowait()
        except queue.Empty:
            return True
        finally:
            self._busy_since = math.inf
            _send(answers)
            # An error's traceback leads to this frame, which must not lead back to the error.
            del answers, job
        return False

    def _do(self, work: Work, future: object = None) -> tuple[Any, BaseException | None]:
        """Do one piece of work; return its result, or its error."""
        self._current = future
        # An error's traceback leads to this frame, and the future will lead to the error.
        del future
        try:
            return work(self._opened()), None
        except StopIteration as error:
            # A future takes any error but this one.
            stopped = RuntimeError("StopIteration was raised in the connection's thread")
            stopped.__cause__ = error
            return None, stopped
        except BaseException as error:
            ours = _ADOPTED.get(type(error))
            return None, exceptions.adopt(error, ours) if ours else error
        finally:
            with self._lock:
                self._current = None

    def _opened(self) -> EngineConnection:
        if self._connection is None:
            self._connection = self._open()
        return self._connection


def _send(answers: list[Answer]) -> None:
    """Hand answers over to the event loop that waits for them; nearly always there is one."""
    while answers:
        loop = answers[0].future.get_loop()
        mine = [answer for answer in answers if answer.future.get_loop() is loop]
        answers = [answer for answer in answers if answer.future.get_loop() is not loop]
        # A loop that was closed without disconnect() waits for nothing any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, mine)


def _settle(answers: list[Answer]) -> None:
    for future, result, error in answers:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
