"""Pending: the awaitable that every method of the library returns.

It behaves like the coroutine that it stands for, and knows where it was made. So a forgotten
``await`` is told with the line to write instead of ``'coroutine' object is not subscriptable``.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import linecache
import math
import os
import sys
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

from databases.exceptions import ForgottenAwaitError, QueryTimeoutError, shortened
from databases.holding import present_deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import CodeType, FrameType, TracebackType
    from typing import NoReturn

T = TypeVar("T")


class CallSite(tuple["CodeType", int]):
    """A place in the user's code: a code object and the instruction in it.

    What line that is gets worked out only when somebody asks. A tuple, because every query makes
    one; and not the frame itself, which would keep the local variables of the caller alive.
    """

    __slots__ = ()

    @classmethod
    def of(cls, frame: FrameType) -> CallSite:
        """The place that a frame has come to."""
        return cls((frame.f_code, frame.f_lasti))

    def __hash__(self) -> int:
        # Not of the code object, whose hash goes through all of it.
        return id(self[0]) ^ self[1]

    @property
    def code(self) -> CodeType:
        """The code object of the function."""
        return self[0]

    @property
    def filename(self) -> str:
        """The path of the source file."""
        return self.code.co_filename

    @property
    def path(self) -> str:
        """The same as people write it: relative, where it is below the working directory."""
        path = self.filename
        try:
            near = os.path.relpath(path)
        except (ValueError, OSError):
            # Another drive, or there is no working directory any more.
            return path
        return path if near.startswith("..") else near

    @property
    def line(self) -> int:
        """The line number, counted from 1."""
        return self._span()[0] or self.code.co_firstlineno

    def __str__(self) -> str:
        return f'File "{self.path}", line {self.line}, in {self.code.co_qualname}'

    def source(self) -> str | None:
        """The line of code as written, or None where the source cannot be read."""
        return linecache.getline(self.filename, self.line).strip() or None

    def awaited_source(self) -> str | None:
        """The same with ``await`` in front of the call, or None where that is unknown."""
        line, end_line, start, end = self._span()
        if line is None or end_line is None or start is None or end is None:
            return None
        lines = [linecache.getline(self.filename, number) for number in range(line, end_line + 1)]
        if not all(lines):
            return None
        # Positions count UTF-8 bytes, in the first line and in the last.
        text = "".join(lines).encode()
        end += len("".join(lines[:-1]).encode())
        call, rest = text[start:end], text[end:]
        # `await f(x)["name"]` would await the item: what follows binds more tightly.
        tight = rest.lstrip()[:1] in (b"[", b".", b"(")
        fixed = b"(await " + call + b")" if tight else b"await " + call
        return (text[:start] + fixed + rest).decode().strip()

    def _span(self) -> tuple[int | None, int | None, int | None, int | None]:
        instruction = self[1] // 2
        spans = itertools.islice(self.code.co_positions(), instruction, instruction + 1)
        return next(spans, (None, None, None, None))


class Pending(Coroutine[Any, Any, T]):
    """What a method of the library returns: await it for the result of type ``T``.

    It can be given to ``asyncio.create_task``, ``gather``, ``wait_for`` and ``shield``. Nothing
    runs before it is awaited, and it can be awaited once.

    Used without ``await`` (a subscript, an attribute, a loop) it raises
    ``ForgottenAwaitError``, a ``TypeError`` that names the place and the line to write. Never
    awaited at all, it gives a ``RuntimeWarning`` with the same.
    """

    __slots__ = ("__weakref__", "_arguments", "_coroutine", "_function", "_told", "method", "site")

    def __init__(
        self,
        method: str,
        frame: FrameType,
        function: Callable[..., Coroutine[Any, Any, T]],
        *arguments: Any,
        timeout: float | None = None,
    ) -> None:
        if timeout is not None:
            function = functools.partial(limited, timeout, method, function)
        self.method = method
        self.site = CallSite((frame.f_code, frame.f_lasti))
        self._function: Callable[..., Coroutine[Any, Any, T]] | None = function
        self._arguments = arguments
        self._coroutine: Coroutine[Any, Any, T] | None = None
        self._told = False

    def _begin(self) -> Coroutine[Any, Any, T]:
        function = self._function
        if function is None:
            raise self._awaited_twice()
        self._function = None
        return function(self.site, *self._arguments)

    def _awaited_twice(self) -> RuntimeError:
        return RuntimeError(
            f"{self.method} was awaited twice: {self.site}. "
            "Keep the result of the first await, or call the method again."
        )

    @property
    def query(self) -> object:
        """The query that waits to be run, or None for a method that takes none."""
        return self._arguments[0] if self._arguments else None

    # The coroutine protocol (PEP 492).

    def __await__(self) -> Generator[Any, Any, T]:
        function = self._function
        if function is None:
            raise self._awaited_twice()
        self._function = None
        return function(self.site, *self._arguments).__await__()

    def send(self, value: Any) -> Any:
        """Run up to the next suspension; asyncio's tasks call this."""
        if self._coroutine is None:
            self._coroutine = self._begin()
        return self._coroutine.send(value)

    def throw(
        self,
        typ: Any,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        """Raise an exception where the coroutine is suspended; asyncio's tasks call this."""
        if self._coroutine is None:
            self._coroutine = self._begin()
        error: Any = typ if val is None else val
        try:
            return self._coroutine.throw(error)
        finally:
            # Its traceback leads to this frame: together they would wait for the collector.
            del error, typ, val

    def close(self) -> None:
        """Give the call up without running it."""
        self._function = None
        if self._coroutine is not None:
            self._coroutine.close()

    # What asyncio shows of a task's coroutine.

    @property
    def __name__(self) -> str:
        return self.method

    @property
    def cr_code(self) -> CodeType:
        """The code that called the method."""
        return self.site.code

    @property
    def cr_frame(self) -> FrameType | None:
        """The frame that runs, once it does."""
        return getattr(self._coroutine, "cr_frame", None)

    @property
    def cr_running(self) -> bool:
        """Whether it runs at this moment."""
        return bool(getattr(self._coroutine, "cr_running", False))

    @property
    def cr_await(self) -> Any:
        """What it waits for."""
        return getattr(self._coroutine, "cr_await", None)

    # What a forgotten await runs into.

    def __bool__(self) -> bool:
        # asyncio asks for the truth of a task's coroutine when it shows the task.
        return True

    if not TYPE_CHECKING:
        # Hidden from type checkers, which shall go on to report all of this before it runs.

        def __getitem__(self, key: object) -> NoReturn:
            self._forgotten()

        def __iter__(self) -> NoReturn:
            self._forgotten()

        def __len__(self) -> NoReturn:
            self._forgotten()

        def __contains__(self, item: object) -> NoReturn:
            self._forgotten()

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith(("_", "cr_", "gi_", "ag_")):
                raise AttributeError(name)
            self._forgotten()

    def _forgotten(self) -> NoReturn:
        # The error says it all; a warning about the same would follow it otherwise.
        self._told = True
        raise ForgottenAwaitError(f"{self.method}() was not awaited.\n{self.advice()}")

    def advice(self) -> str:
        """The place of the call, the line as written and the line to write instead."""
        lines = [f"  {self.site}"]
        wrong, right = self.site.source(), self.site.awaited_source()
        if wrong and right:
            lines += [f"  wrong:  {wrong}", f"  right:  {right}"]
        else:
            lines.append(f"  Write `await` in front of the call of {self.method}().")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Pending {self.method}() at {self.site}>"

    def __del__(self) -> None:
        function = self._function
        if function is None or self._told or sys.is_finalizing() or sys.meta_path is None:
            return
        query = self.query
        while isinstance(function, functools.partial):
            function = function.args[-1] if function.func is limited else function.func
        dropped = getattr(getattr(function, "__self__", None), "_dropped", None)
        if dropped is not None:
            dropped(self)
        sql = "" if query is None else f"\n  SQL:    {shortened(query)}"
        warnings.warn_explicit(
            f"{self.method}() was never awaited, so it did not run.{sql}\n{self.advice()}",
            RuntimeWarning,
            self.site.filename,
            self.site.line,
        )


async def limited(
    seconds: float,
    method: str,
    function: Callable[..., Coroutine[Any, Any, T]],
    site: CallSite,
    *arguments: Any,
) -> T:
    """Run the work of a method within a time limit."""
    import asyncio

    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            # Whoever has it wait for others can tell at once that it would be in vain.
            before = present_deadline.set(limit.when() or math.inf)
            try:
                return await function(site, *arguments)
            finally:
                # The garbage collector ends abandoned tasks from within others.
                with contextlib.suppress(ValueError):
                    present_deadline.reset(before)
    except TimeoutError as error:
        if not limit.expired():
            raise
        # What it waited for is noted on the cancellation, where that is known.
        known = getattr(error.__cause__, "__notes__", ())
        lines = [f"{method}() took longer than its timeout of {seconds:g} s.", f"  {site}", *known]
        late = QueryTimeoutError("\n".join(lines))
        if arguments:
            late.add_note(f"SQL: {shortened(arguments[0])}")
        raise late from None


def mark_as_coroutine_functions(*methods: Callable[..., Any]) -> None:
    """Make ``iscoroutinefunction`` say True for methods that return a ``Pending``.

    Starlette, FastAPI and others ask it to know whether they must await what a handler such as
    ``add_event_handler("startup", database.connect)`` returns. Called when the first ``Database``
    is made, not at import: on Python 3.11 the mark is asyncio's own, and asyncio is slow to import.
    """
    if sys.version_info >= (3, 12):
        import inspect

        for method in methods:
            inspect.markcoroutinefunction(method)
    else:
        from asyncio import coroutines

        for method in methods:
            method._is_coroutine = coroutines._is_coroutine  # type: ignore[attr-defined]
