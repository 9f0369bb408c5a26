"""The lines of this library that tell of steps, and the library without them.

The methods are compiled again without these lines. Where one of them is not found any more, this
fails: a baseline that has silently become the library itself would show that hooks cost nothing.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any, NamedTuple, cast

from databases.backends.sqlite.backend import SQLiteBackend
from databases.backends.sqlite.connection import SQLiteConnection
from databases.backends.sqlite.readers import Readers
from databases.backends.sqlite.turns import Turns
from databases.backends.sqlite.worker import ConnectionThread
from databases.holding import Holding

TOLD_TO_THREAD = """\
operation = under_way.get(present_task()) if under_way else None
    if operation is not None:
        operation.sent(self.name)
"""
TOLD_BY_THREAD = """\
if job.operation is not None:
        job.operation.runs(self.name)
"""

HOOKS: list[tuple[Callable[..., Any], str, str]] = [
    (SQLiteBackend.fetch, "sent(LANE)", "pass"),
    (SQLiteConnection.fetch, "sent(thread.name)", "pass"),
    (SQLiteConnection.begin, "sent(thread.name)", "pass"),
    (ConnectionThread.submit, TOLD_TO_THREAD, "pass\n"),
    (ConnectionThread.submit, "Job(work, future, kind, operation)", "Job(work, future, kind)"),
    (ConnectionThread._attempt, TOLD_BY_THREAD, "pass\n"),
    (Turns.wait_for, "waits(WRITER, lambda: [] if holder is None else [holder])", "pass"),
    (Readers.read, "Asked(site, sql, time.monotonic(), present_request.get())", "None"),
    (Holding.__init__, "self.request = present_request.get()", "self.request = None"),
]
"""All that a query and a transaction come by on SQLite: the method, the lines, what is instead."""


class Bodies(NamedTuple):
    """A function, its code, and the same without hooks."""

    function: FunctionType
    code: CodeType
    without: CodeType


def bodies() -> list[Bodies]:
    """Compile the functions that have hooks without them.

    Raises:
        LookupError: for a line that is not there any more, or more than once.
    """
    sources: dict[FunctionType, str] = {}
    for method, lines, instead in HOOKS:
        function = cast("FunctionType", method)
        source = sources.get(function) or textwrap.dedent(inspect.getsource(function))
        if source.count(lines) != 1:
            raise LookupError(f"{function.__qualname__} should have this once:\n{lines}")
        sources[function] = source.replace(lines, instead)
    return [Bodies(each, each.__code__, _code(each, source)) for each, source in sources.items()]


def take_out(found: list[Bodies]) -> None:
    """Go on without hooks."""
    for function, _, without in found:
        function.__code__ = without


def put_back(found: list[Bodies]) -> None:
    """Go on as it is."""
    for function, code, _ in found:
        function.__code__ = code


def _code(function: FunctionType, source: str) -> CodeType:
    made: dict[str, FunctionType] = {}
    text = f"from __future__ import annotations\n{source}"
    compiled = compile(text, f"<{function.__qualname__} without hooks>", "exec")
    exec(compiled, function.__globals__, made)
    return made[function.__name__].__code__
