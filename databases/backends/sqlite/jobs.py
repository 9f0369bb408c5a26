"""Jobs: what a connection's thread is given to do, and how the event loop gets the answers."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import queue
from typing import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.backends.sqlite.inserts import EngineConnection
    from databases.operations import Operation

    Work = Callable[[EngineConnection], Any]

    Inbox = queue.SimpleQueue["Job"]


class Kind(enum.Enum):
    """How a piece of work is to be done."""

    ALONE = "by itself"
    GROUPED = "a single statement that may be committed together with others"
    ESSENTIAL = "even if whoever waits for it is cancelled before its turn comes"
    ONCE = "by itself, and never again where another process is in the way: a user's own code"
    BESIDE = "by itself, beside cursors that are open: an interrupt would stop those too"


class Job(NamedTuple):
    """Work for the connection, and the future that waits for it."""

    work: Work
    future: asyncio.Future[Any] | None
    kind: Kind
    operation: Operation | None = None
    """What it is a part of, if somebody watches."""

    @property
    def is_wanted(self) -> bool:
        """Whether anybody waits for it still."""
        return self.future is None or not self.future.done() or self.kind is Kind.ESSENTIAL


class Answer(NamedTuple):
    """What became of a job."""

    future: asyncio.Future[Any] | None
    result: Any
    error: BaseException | None


STOP = Job(lambda connection: None, None, Kind.ESSENTIAL)
"""The last job of a thread."""


def send(answers: list[Answer]) -> None:
    """Hand answers over to the event loop that waits for them; nearly always there is one."""
    waited_for = [answer for answer in answers if answer.future is not None]
    while waited_for:
        loop = _loop_of(waited_for[0])
        mine = [answer for answer in waited_for if _loop_of(answer) is loop]
        waited_for = [answer for answer in waited_for if _loop_of(answer) is not loop]
        # A loop that was closed without disconnect() waits for nothing any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, mine)


def _loop_of(answer: Answer) -> asyncio.AbstractEventLoop:
    assert answer.future is not None
    return answer.future.get_loop()


def _settle(answers: list[Answer]) -> None:
    for future, result, error in answers:
        if future is None or future.done():
            pass
        elif error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
