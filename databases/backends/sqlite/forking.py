"""What SQLite remembers of its files when a process is forked.

Its library keeps one account of the locks of a whole process, by file. A child inherits the
account, but the locks stay with the parent: the child's own connections to such a file would count
on locks that nobody has. (With one in WAL mode, what the child committed after the parent had
closed the file was lost.) So files are closed for the moment of the fork, where nothing goes on in
them, and the child begins with a clean account. A file that could not be closed the child refuses
to open.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref

from databases.backends.sqlite.opening import identity, open_connection
from databases.exceptions import DatabaseError, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from databases.backends.sqlite.backend import SQLiteBackend
    from databases.backends.sqlite.lane import FastLane
    from databases.backends.sqlite.options import SQLiteOptions
    from databases.backends.sqlite.readers import Readers
    from databases.backends.sqlite.worker import ConnectionThread

_PATIENCE = 0.1
"""Seconds for which a fork waits for single statements that are under way."""

_PAUSE = 0.001
"""Seconds between two looks whether they are done."""

_connected: weakref.WeakSet[SQLiteBackend] = weakref.WeakSet()
_in_use: set[tuple[int, int] | None] = set()
"""Files that were open when this process was forked."""


class Rest:
    """A moment for which the file of a database is closed; with nothing to close by default.

    Args:
        lane: where short reads run.
        readers: where others do.
        threads: those of the other connections.
        ending: those that are being closed anyway.
        options: how the lane's connection is opened.
    """

    def __init__(
        self,
        lane: FastLane | None = None,
        readers: Readers | None = None,
        threads: Sequence[ConnectionThread] = (),
        ending: Sequence[ConnectionThread] = (),
        options: SQLiteOptions | None = None,
    ) -> None:
        self._lane = lane
        self._readers = readers
        self._threads = threads
        self._ending = ending
        self._options = options
        self._locked: list[ConnectionThread] = []
        self._lane_was_open = False

    def begin(self) -> bool:
        """Close everything; False where something goes on, and all stays as it is."""
        lane, give_up = self._lane, time.monotonic() + _PATIENCE
        assert lane is not None
        while not self._is_quiet():
            self._unlock()
            if lane.is_elsewhere or time.monotonic() > give_up:
                return False
            time.sleep(_PAUSE)
        self._lane_was_open = lane.is_open
        lane.close()
        for thread in reversed(self._locked):
            thread.close_connection()
        return True

    def _is_quiet(self) -> bool:
        """Whether no thread does anything, and none will before they are unlocked."""
        assert self._lane is not None
        assert self._readers is not None
        self._locked = [*self._threads, *self._readers.threads()]
        for thread in self._locked:
            thread.lock.acquire()
        return (
            not self._lane.is_elsewhere
            and self._readers.is_idle
            and all(thread.given == thread.done for thread in self._threads)
            and all(thread.ended for thread in self._ending)
        )

    def end(self) -> None:
        """Let everything go on. Connections are opened again when they are needed."""
        self._unlock()
        if self._lane is not None and self._options is not None and self._lane_was_open:
            # Without it the readers do what it did.
            with contextlib.suppress(DatabaseError):
                self._lane.use(open_connection(self._options))

    def _unlock(self) -> None:
        while self._locked:
            self._locked.pop().lock.release()


class _Fork(threading.local):
    """A fork that a thread is about to make."""

    resting: dict[SQLiteBackend, Rest] = {}  # noqa: RUF012
    """Those whose files are closed for it."""


_fork = _Fork()


def watch(backend: SQLiteBackend) -> None:
    """Have the file of a backend closed when this process is forked."""
    _connected.add(backend)


def check(options: SQLiteOptions) -> None:
    """Refuse to open a file that was in use when this process was forked.

    Raises:
        StateError: it says what to do instead.
    """
    if _in_use and options.path is not None and identity(options.path) in _in_use:
        raise StateError(
            f"{options.name} was in use in the process from which this one was forked, at the "
            "moment of the fork, and SQLite's locks would not work here. Fork while no "
            "connection(), transaction or iteration of it goes on, from the thread of its event "
            'loop; or start processes afresh: multiprocessing.get_context("spawn")'
        )


def _before() -> None:
    _fork.resting = {each: rest for each in list(_connected) if (rest := each.rest()) is not None}


def _in_parent() -> None:
    while _fork.resting:
        _fork.resting.popitem()[1].end()


def _in_child() -> None:
    for backend in list(_connected):
        if backend not in _fork.resting and backend.path is not None:
            _in_use.add(identity(backend.path))
    _connected.clear()
    _fork.resting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
