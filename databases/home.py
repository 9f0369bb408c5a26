"""Home: the event loop that connections belong to."""

from __future__ import annotations

import asyncio
import threading

from databases.exceptions import NotConnectedError
from databases.operations import running_loop


class Home:
    """The event loop that runs now, in which something is connected."""

    __slots__ = ("_thread", "loop")

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this one runs, and the caller is in another one."""
        return self.loop is not running_loop() and self.loop.is_running()

    def check(self) -> None:
        """Refuse to be used in another event loop while this one runs.

        Raises:
            NotConnectedError: it names the threads of both.
        """
        if self.is_elsewhere:
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            raise NotConnectedError(
                f"This was connected in the event loop of the thread {names.get(self._thread)!r}, "
                f"which runs still, and is used in that of {threading.current_thread().name!r}. "
                "Connections belong to one event loop: each needs a Database of its own, connected "
                "there:\n  database = Database(url)\n  await database.connect()\n"
                "or have the other loop do it: asyncio.run_coroutine_threadsafe(..., loop)"
            )
