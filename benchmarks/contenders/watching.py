"""The ways in which the steps of a database are watched, to be begun and ended again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contenders import asgi, hooks
from databases import Database
from databases.inspector import Inspector
from databases.steps import Step

AS_IT_IS = "nobody watches"
AGAIN = "the same again"
WITHOUT_HOOKS = "no hooks"
SUBSCRIBER = "a subscriber"
INSPECTOR = "inspector"
PAGE = "its page open"


class Watching:
    """Begins and ends each way of watching a database.

    An inspector is made once and keeps what it has recorded, as it would in an application: one
    that is new has nothing to forget yet.

    Args:
        database: the database.
    """

    def __init__(self, database: Database) -> None:
        self._steps = database.steps
        self._bodies = hooks.bodies()
        self._subscriptions: list[tuple[Any, Any]] = []
        self._leave: list[Callable[[], None]] = []
        self.inspector = self._made(database)

    def _made(self, database: Database) -> Inspector:
        """Make the inspector, noting how it subscribes so that it can be done again."""
        steps: Any = self._steps
        subscribe = steps.subscribe

        def noted(subscriber: Any, **options: Any) -> Callable[[], None]:
            self._subscriptions.append((subscriber, options))
            leave: Callable[[], None] = subscribe(subscriber, **options)
            return leave

        steps.subscribe = noted
        try:
            inspector = Inspector(database)
        finally:
            del steps.subscribe
        inspector.close()
        return inspector

    def begin(self, way: str) -> None:
        """Watch in one of the ways."""
        # Always, so that each way has the same done before it.
        hooks.put_back(self._bodies)
        if way == WITHOUT_HOOKS:
            hooks.take_out(self._bodies)
        elif way == SUBSCRIBER:
            self._leave = [self._steps.subscribe(_nothing)]
        elif way in (INSPECTOR, PAGE):
            self._leave = [
                self._steps.subscribe(subscriber, **options)
                for subscriber, options in self._subscriptions
            ]

    def end(self) -> None:
        """Watch no more; what the inspector has put off is done now."""
        if self._leave:
            self.inspector._recorder.file()
        for leave in self._leave:
            leave()
        self._leave = []

    async def read_page(self) -> None:
        """Read the inspector's stream for ever, as a page does that shows all that is done here."""
        while True:
            answered = await asgi.get(self.inspector, "/events", "view=requests&request=0")
            if answered.status != 200 or not answered.bytes:
                raise RuntimeError(f"The inspector answered {answered}")


def _nothing(step: Step, bound: object) -> None:
    """Do nothing with a step."""
