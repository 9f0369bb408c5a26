"""Retrying: a block of statements is run again where its errors say that nothing of it was kept.

Others were in the way (``TransactionConflictError``), or the server went away before it had the
COMMIT (``ConnectionFailureError``). Everything else is the caller's: above all ``CommitUnknown``.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

from databases.exceptions import (
    ConnectionFailureError,
    TransactionConflictError,
    UnknownOptionError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Protocol

    from databases.pending import CallSite

    class Attempt(Protocol):
        """A transaction that has not begun."""

        async def __aenter__(self) -> object: ...

        async def __aexit__(
            self,
            exc_type: type[BaseException] | None,
            exc_value: BaseException | None,
            traceback: TracebackType | None,
        ) -> None: ...

        def can_run_again(self, error: BaseException) -> bool: ...

        def runs_again(self, why: str, error: BaseException) -> None: ...


T = TypeVar("T")

_USUAL = 10.0
"""Seconds that ``retry=True`` stands for."""

_FIRST = 0.01
_LONGEST = 1.0
"""Seconds of the first pause and of later ones at most. Each is drawn at random from 0 on, or those
who were in each other's way would meet again."""

_DOUBLED = 7
"""How often the longest pause is doubled before it is as long as it gets."""


def seconds_of(retry: Any) -> float:
    """Read the option ``retry``: for how many seconds a block is run again; 0 for never.

    Raises:
        UnknownOptionError: where it is neither a truth value nor a number of seconds.

    Example:
        >>> seconds_of(True), seconds_of(2.5), seconds_of(None)
        (10.0, 2.5, 0.0)
    """
    if retry is True:
        return _USUAL
    if retry is None or retry is False:
        return 0.0
    if not isinstance(retry, int | float) or not 0 <= retry < math.inf:
        raise UnknownOptionError(
            f"The option retry is True ({_USUAL:g} seconds), False, or the seconds for which a "
            f"transaction is tried again, not {retry!r}: @database.transaction(retry=30)"
        )
    return float(retry)


def refused(site: CallSite) -> UnknownOptionError:
    """The error for ``retry`` on a block that cannot be run again.

    Args:
        site: where the transaction was made.
    """
    wrong = site.source() or "async with database.transaction(retry=True): ..."
    return UnknownOptionError(
        "The option retry needs a function, which can be called again. The statements in an `async "
        "with` block, or between start() and commit(), Python runs once.\n"
        f"  {site}\n"
        f"  wrong:  {wrong}\n"
        "  right:  @database.transaction(retry=True)\n"
        "          async def transfer(amount): ...\n"
        "          await transfer(5)\n"
        "  or:     await database.run_in_transaction(transfer, 5)"
    )


async def retried(
    seconds: float, begin: Callable[[], Attempt], function: Callable[[], Awaitable[T]]
) -> T:
    """Run a function in a transaction, again and again until it is kept or the time is over.

    An attempt that is under way is not cut short.

    Args:
        seconds: the time from the beginning after which there is no further attempt.
        begin: makes the transaction of an attempt.
        function: what is run in it.

    Raises:
        TransactionConflictError: the last one, with a note on how often it was tried.
        ConnectionFailureError: the same.
    """
    import asyncio

    now = asyncio.get_running_loop().time
    began = now()
    attempts = 0
    while True:
        transaction = begin()
        try:
            async with transaction:
                return await function()
        except (TransactionConflictError, ConnectionFailureError) as error:
            if not transaction.can_run_again(error):
                raise
            attempts += 1
            passed = now() - began
            if passed >= seconds:
                times = "once" if attempts == 1 else f"{attempts} times"
                error.add_note(f"It was tried {times} in {passed:.1f} s, and retry={seconds:g}.")
                raise
            pause = min(seconds - passed, _pause(attempts))
            transaction.runs_again(f"attempt {attempts} of its transaction failed", error)
        await asyncio.sleep(pause)


def _pause(attempts: int) -> float:
    """Seconds to wait after so many attempts."""
    import random  # slow to import, and rarely needed

    return random.uniform(0.0, min(_LONGEST, _FIRST * 2 ** min(attempts - 1, _DOUBLED)))
