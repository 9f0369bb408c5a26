"""The end of a SQLite database's threads, whatever they are doing."""

from __future__ import annotations

import asyncio

from databases.stopping import CLOSING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from databases.backends.sqlite.worker import ConnectionThread

_INTERRUPT_AGAIN = 0.005
"""Seconds after which what has not stopped yet is interrupted again."""


async def end(threads: Collection[ConnectionThread]) -> None:
    """Close connections and end their threads, whose work was cut short.

    One that does not come to an end, in a user's function or on a disk that hangs, is left behind.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + CLOSING
    left = {thread.close(): thread for thread in threads}
    while left and loop.time() < give_up:
        for thread in left.values():
            thread.interrupt_all()
        await asyncio.wait(left, timeout=_INTERRUPT_AGAIN)
        left = {closed: thread for closed, thread in left.items() if not closed.done()}
    for thread in left.values():
        thread.leave_behind()
