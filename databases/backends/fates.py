"""Fates: what is known of a statement whose connection broke, and what its user is told.

What a server has not done for good may be run again. Where a statement that keeps what it does was
with the server when the connection broke, nobody knows, and that has an error of its own.
"""

from __future__ import annotations

from databases.exceptions import (
    CommitUnknown,
    ConnectionFailureError,
    DriverError,
    OperationalError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from databases.backends.link import Driver, Link

RUN_AGAIN = (
    "To have it run again by itself:\n"
    "  @database.transaction(retry=True)\n"
    "  async def function(): ...\n"
    "or await database.run_in_transaction(function)"
)
"""For errors after which a whole transaction can be run again."""

UNKNOWN_COMMIT = (
    "The connection broke while the server had the COMMIT: whether the transaction was kept is not "
    "known."
)
UNKNOWN = (
    "The connection broke while the server had the statement: whether it was done is not known."
)
_LOOK = (
    "Look before you run it again, or write it so that doing it twice does no harm, with a key of "
    "the operation's own:\n"
    "  INSERT INTO transfers (key, amount) VALUES (:key, :amount) ON CONFLICT (key) DO NOTHING\n"
    "(on MySQL INSERT IGNORE), and SET n = 5 instead of n = n + 1."
)

BROKEN = (
    "The connection broke, and the server rolls back what was not committed on it. The next "
    "connection() or transaction() gets another one. " + RUN_AGAIN
)
CLOSED = (
    "The connection was closed when a statement on it was cancelled or took too long, and the "
    "server rolls back what was not committed on it. Let the error of that statement leave the "
    "block: the next connection() or transaction() gets another one."
)
NOT_DONE = "The connection broke before the statement was done: it can be run again."


def told(
    driver: Driver,
    link: Link,
    error: BaseException,
    unknown: str | None,
    broken: str,
    *,
    readonly: bool = False,
) -> BaseException:
    """Make the error of a statement ours as well, and note on it what became of the statement.

    Args:
        driver: knows its errors.
        link: what the statement was run on.
        error: what was raised.
        unknown: what to say where nobody knows; None for a statement of which nothing is kept
            before a later COMMIT.
        broken: what to say where nothing can have been kept, if the connection broke.
        readonly: whether the user asked for a transaction, or a server, that only reads.
    """
    if not isinstance(error, Exception):
        return error
    lost: type[DriverError] = OperationalError
    if unknown is not None and link.sent:
        lost = CommitUnknown
    elif link.is_closed():
        lost = ConnectionFailureError
    error = driver.adopted(error, lost, readonly=readonly)
    if isinstance(error, CommitUnknown):
        error.add_note(f"{unknown} {_LOOK}")
    elif isinstance(error, DriverError) and link.is_closed():
        error.add_note(broken)
    return error
