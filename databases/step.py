"""Step: one thing that a database has done, and the words in which it is told."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.operations import Operation
    from databases.pending import CallSite
    from databases.statistics import Holder


class Kind(enum.Enum):
    """What a step is."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    ACQUIRE = "acquire"
    WAIT = "wait"
    RELEASE = "release"
    BEGIN = "begin"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    SAVEPOINT = "savepoint"
    QUERY = "query"
    ROWS = "rows"
    RETRY = "retry"
    REQUEST = "request"
    RESPONSE = "response"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Request:
    """A request of the web application.

    Args:
        number: counts the requests, from 1.
        method: such as ``"GET"``.
        path: the path, without the query string.
        time: when it came, in seconds since the epoch.
    """

    number: int
    method: str
    path: str
    time: float

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Unfrozen:
    """A step while it is filled in: a frozen dataclass would take six times as long."""

    __slots__ = (
        "after",
        "before",
        "connection",
        "decode",
        "detail",
        "error",
        "holders",
        "kind",
        "lasted",
        "number",
        "operation",
        "query",
        "queue",
        "rows",
        "time",
    )


@dataclass(frozen=True, init=False)
class Step(_Unfrozen):
    """One thing that has happened. The values of queries are never in it."""

    __slots__ = ()

    number: int
    """Counts the steps of the database, from 1."""
    kind: Kind
    time: float
    """When it happened (where it took time: when it was over), in seconds since the epoch."""
    operation: Operation
    """The call that it is a part of; all steps of a call share it."""
    connection: str | None
    before: str
    """The state before the step: of the connection, the database or the request."""
    after: str
    queue: float
    """Seconds spent waiting for a connection or a lock of ours."""
    query: float
    """Seconds spent in the driver and the database."""
    decode: float
    """Seconds spent making records of the rows."""
    rows: int | None
    """How many rows came."""
    error: BaseException | None
    detail: str | None
    """What else there is to say: what is waited for, the status of a response."""
    lasted: float | None
    """Of a release: seconds for which the connection was held (``query``: those in use); of a
    response: seconds that the request took."""
    holders: tuple[Holder, ...]
    """Of a wait: who holds what is waited for."""

    def __copy__(self) -> Step:
        return self

    def __deepcopy__(self, memo: object) -> Step:
        return self

    @property
    def duration(self) -> float:
        """Seconds that it took."""
        return self.queue + self.query + self.decode

    def without_error(self) -> Step:
        """The same without the error, for those who keep it: a traceback keeps frames alive."""
        copied: Any = _Unfrozen()
        for name in _Unfrozen.__slots__:
            setattr(copied, name, getattr(self, name))
        copied.error = None
        copied.__class__ = Step
        return copied  # type: ignore[no-any-return]

    @property
    def request(self) -> Request | None:
        """The request of the web application that the task answers."""
        return self.operation.request

    @property
    def task(self) -> str:
        """The name of the asyncio task."""
        return self.operation.task

    @property
    def site(self) -> CallSite | None:
        """The place in the user's code."""
        return self.operation.site

    @property
    def sql(self) -> str | None:
        """The SQL as the driver gets it."""
        return self.operation.sql

    @property
    def family(self) -> str | None:
        """The SQL without values: see ``family_of``."""
        return self.operation.family

    @property
    def batch(self) -> int | None:
        """How many sets of values it has, where it is an ``execute_many``."""
        return self.operation.batch

    @property
    def lease(self) -> int | None:
        """The same for all steps of one connection from its being acquired to its release."""
        return None if self.operation.lease is None else self.operation.lease.number


def make_step(
    number: int,
    kind: Kind,
    operation: Operation,
    time: float,
    before: str,
    after: str,
    queue: float = 0.0,
    query: float = 0.0,
    decode: float = 0.0,
    rows: int | None = None,
    error: BaseException | None = None,
    detail: str | None = None,
    lasted: float | None = None,
    holders: tuple[Holder, ...] = (),
) -> Step:
    """Make a step; the arguments are its fields."""
    step: Any = _Unfrozen()
    step.number = number
    step.kind = kind
    step.time = time
    step.operation = operation
    step.connection = operation.connection
    step.before = before
    step.after = after
    step.queue = queue
    step.query = query
    step.decode = decode
    step.rows = rows
    step.error = error
    step.detail = detail
    step.lasted = lasted
    step.holders = holders
    step.__class__ = Step
    return step  # type: ignore[no-any-return]
