"""Forked processes: a child leaves the connections that it has from its parent alone.

Both have the same sockets and files. What one of them writes, closes or unlocks there is written,
closed or unlocked for the other.
"""

from __future__ import annotations

import os
import weakref
from typing import Any, Protocol

from databases.exceptions import NotConnectedError


class Inherited(Protocol):
    """What a child inherits."""

    def _forked(self) -> object:
        """In a child: forget all connections without touching them.

        Returns:
            What must never be freed, because that would touch them.
        """
        ...


_known: weakref.WeakSet[Any] = weakref.WeakSet()
_kept: list[object] = []
"""What belongs to the parent. Nothing of it is freed, not even when the interpreter ends."""


def watch(inherited: Inherited) -> None:
    """Have something told when it finds itself in a child: from when it connects."""
    _known.add(inherited)


class Forked:
    """Why nothing can be done with a connection: another process has it."""

    def error(self) -> NotConnectedError:
        """The error for who tries all the same."""
        return NotConnectedError(f"This needs a connected database. {OF_PARENT}")

    unknown = error


OF_PARENT = """\
It is connected in the process from which this one was forked, and two processes cannot share a
connection. Connect in this one as well, where it begins to work:
  multiprocessing:     def work(): asyncio.run(main()), and in main(): async with database: ...
  gunicorn, uvicorn:   app = FastAPI(lifespan=database.lifespan), which each worker runs"""


def _in_child() -> None:
    _kept.append([inherited._forked() for inherited in list(_known)])
    _known.clear()
    try:
        import ctypes
    except ImportError:
        return  # then it lasts until the interpreter ends
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_kept))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
