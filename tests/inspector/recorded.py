"""A database, and what the inspector's recorder keeps of it, without a page."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from databases import Database
from databases.inspector import views
from databases.inspector.moments import Moment
from databases.inspector.recorder import Recorder
from tests.library.kinds import ON_POSTGRESQL, ON_SQLITE, Kind
from tests.library.places import of_driver
from tests.library.users import USERS

_numbers = itertools.count(1)


def new_url(kind: Kind, request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty database of a kind, which is the test's own."""
    if kind in ON_SQLITE:
        return f"sqlite:///{folder}/test.db" if str(kind) == "file" else "sqlite://"
    name = "postgresql_server" if kind in ON_POSTGRESQL else "mariadb_server"
    server = request.getfixturevalue(name)
    return of_driver(server.create_database(f"recorded_{next(_numbers)}"), kind.scheme)


def is_at(moment: Moment, file: str, line: str) -> bool:
    """Whether a moment tells the line of a file that it comes from."""
    site = moment.site
    return site is not None and site.filename == file and site.source() == line


class Recorded(Recorder):
    """A recorder, and what tests ask of it."""

    def found(self, kind: str | None = None) -> list[Moment]:
        """The moments of a kind."""
        self.file()
        return [each for each in self.moments.latest() if kind is None or each.kind == kind]

    def the(self, kind: str) -> Moment:
        """The only moment of a kind."""
        [moment] = self.found(kind)
        return moment

    def kinds(self) -> list[str]:
        """The kinds of the moments there are."""
        return sorted(moment.kind for moment in self.found())

    def exported(self) -> Any:
        """The file that can be taken away, as others read it."""
        return json.loads("".join(views.everything(self)))

    def requests(self) -> list[Any]:
        """The requests in it."""
        found: list[Any] = self.exported()["requests"]
        return found


@asynccontextmanager
async def recorded(
    kind: Kind, url: str, options: dict[str, Any] | None = None, **of_recorder: Any
) -> AsyncIterator[tuple[Database, Recorded]]:
    """A database with a table of users, connected, and the recorder of all that follows."""
    async with Database(url, **(options or {})) as database:
        await database.execute(USERS.format(kind.key))
        recorder = Recorded(database, **of_recorder)
        yield database, recorder
        recorder.close()
