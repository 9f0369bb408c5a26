"""Group commit: what waits at the same time is committed together.

A durable COMMIT waits for the disk, and takes as long for a hundred statements as for one. Each
statement stays what it is on its own: SQLite undoes one that fails and nothing else, and nobody
is answered before COMMIT has returned.
"""

from __future__ import annotations

import sqlite3
from itertools import zip_longest
from typing import NamedTuple

from databases.backends.sqlite.faults import is_busy, of_each

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from databases.backends.sqlite.jobs import Answer, Job


class Outcome(NamedTuple):
    """What came of a group: who can be answered, and what has to be done anew."""

    answers: list[Answer]
    again: list[list[Job]]


def run(
    connection: sqlite3.Connection,
    jobs: list[Job],
    attempt: Callable[[Job], Answer],
    failed: Callable[[Job, BaseException], Answer],
) -> Outcome:
    """Do several single statements in one transaction.

    Args:
        connection: where; no transaction is open on it.
        jobs: the statements.
        attempt: does one of them.
        failed: makes the answer for one that failed.

    Raises:
        sqlite3.OperationalError: where another process is in the way; nothing was done then.
    """
    answers: list[Answer] = []
    try:
        connection.execute("BEGIN IMMEDIATE").close()
        for number, job in enumerate(jobs):
            answers.append(attempt(job))
            if not connection.in_transaction:
                # OR ROLLBACK, RAISE(ROLLBACK), a full disk or an interrupt undid those before it.
                # It may have failed because of them, and they are not certain to come back.
                return Outcome([], [jobs[:number], [job], jobs[number + 1 :]])
        connection.execute("COMMIT").close()
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK").close()
        if is_busy(error):
            raise
        if isinstance(error, sqlite3.IntegrityError):
            # A deferred constraint, which is checked now: alone, only its own statement fails.
            return Outcome([], [[job] for job in jobs])
        # These frames know the jobs, whose futures will know the error: no cycle.
        error = error.with_traceback(None)
        return Outcome(
            [
                answer if answer and answer.error else failed(job, of_each(error))
                for job, answer in zip_longest(jobs, answers)
            ],
            [],
        )
    return Outcome(answers, [])
