"""Every query of the service. No other module knows that there is SQL."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa

from databases import Database
from databases.exceptions import CommitUnknown, DatabaseError, IntegrityError, TooManyRequests
from users_service import names
from users_service.models import Page, User
from users_service.tables import users

T = TypeVar("T")

# Put together once: to build a query anew takes longer than SQLite takes to run it.
_LISTED = sa.select(users.c.id, users.c.name, users.c.created_at)
_BY_ID = _LISTED.where(users.c.id == sa.bindparam("user_id"))
# Nobody else can change this user until the transaction ends.
_BY_ID_LOCKED = _BY_ID.with_for_update()

# What any query may fail with, whatever the database,
Unavailable = DatabaseError
# more often than can be served: it tells when to come again,
Overloaded = TooManyRequests
# and without anybody knowing whether it was done.
InDoubt = CommitUnknown

_SECONDS_TO_BE_READY = 5

# For who was in another's way, and for most failovers.
_SECONDS_TO_TRY_AGAIN = 2

# Whoever asked has left by then; a server that is frozen would keep him for ever.
_SECONDS_TO_ANSWER = 30


class NameTaken(Exception):
    """Another user has this name."""


class NotReady(Exception):
    """No user can be read; the message says why, in words that are fit for anybody."""


class UserRepository:
    """The users in one database.

    Plain SQLAlchemy Core that means the same on every database: nothing relies on RETURNING or
    on counts of changed rows, which not all of them give.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def check(self) -> None:
        """Raise NotReady if requests would fail for want of a database or of its table."""
        try:
            await self._database.fetch_one(_LISTED.limit(1), timeout=_SECONDS_TO_BE_READY)
        except (TimeoutError, TooManyRequests) as error:
            raise NotReady("The database does not answer in time.") from error
        except DatabaseError as error:
            raise NotReady(await self._why()) from error

    async def get(self, user_id: int) -> User | None:
        """One user, or None."""
        row = await self._database.fetch_one(
            _BY_ID.params(user_id=user_id), timeout=_SECONDS_TO_ANSWER
        )
        return None if row is None else User.model_validate(row)

    async def page(self, *, after: int, limit: int, search: str) -> Page:
        """The first users after an id whose names contain the text searched for."""
        # One more than asked for tells whether there is a next page.
        query = _LISTED.where(users.c.id > after).order_by(users.c.id).limit(limit + 1)
        if search:
            query = query.where(users.c.name_key.like(_containing(search), escape="/"))
        rows = await self._database.fetch_all(query, timeout=_SECONDS_TO_ANSWER)
        found = [User.model_validate(row) for row in rows]
        listed = found[:limit]
        return Page(users=listed, next_after=listed[-1].id if len(found) > limit else None)

    async def add(self, name: str) -> User:
        """A new user of this name; NameTaken if there is one."""
        # To the second, which every database stores exactly: what is answered now is what
        # will be read later.
        created_at = datetime.now(UTC).replace(microsecond=0)
        try:
            user_id = await self._database.execute(
                users.insert().values(name=name, name_key=names.key(name), created_at=created_at),
                timeout=_SECONDS_TO_ANSWER,
            )
        except IntegrityError as error:
            raise NameTaken from error
        return User(id=user_id, name=name, created_at=created_at)

    async def rename(self, user_id: int, name: str) -> User | None:
        """The user under a new name, or None; NameTaken if another user has it."""

        async def rename() -> User | None:
            row = await self._database.fetch_one(_BY_ID_LOCKED.params(user_id=user_id))
            if row is None:
                return None
            try:
                await self._database.execute(
                    users.update()
                    .where(users.c.id == user_id)
                    .values(name=name, name_key=names.key(name))
                )
            except IntegrityError as error:
                raise NameTaken from error
            return User.model_validate(row).model_copy(update={"name": name})

        return await self._in_transaction(rename)

    async def delete(self, user_id: int) -> bool:
        """Forget a user; False if there is none."""

        async def delete() -> bool:
            if await self._database.fetch_one(_BY_ID_LOCKED.params(user_id=user_id)) is None:
                return False
            await self._database.execute(users.delete().where(users.c.id == user_id))
            return True

        return await self._in_transaction(delete)

    async def _in_transaction(self, function: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run it as a whole, again where another was in the way, and not for ever."""
        limit = asyncio.timeout(_SECONDS_TO_ANSWER)
        try:
            async with limit:
                return await self._database.run_in_transaction(
                    function, retry=_SECONDS_TO_TRY_AGAIN
                )
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise Unavailable(f"There was no answer in {_SECONDS_TO_ANSWER} s.") from error

    async def _why(self) -> str:
        try:
            await self._database.fetch_one("SELECT 1", timeout=_SECONDS_TO_BE_READY)
        except DatabaseError:
            return "The database cannot be reached."
        return (
            "The table of users cannot be read. Where the schema is missing, "
            "python -m users_service migrate creates it."
        )


def _containing(text: str) -> str:
    """A LIKE pattern for keys that contain a text, taken literally."""
    literal = names.fold(text)
    for special in "/%_":
        literal = literal.replace(special, "/" + special)
    return f"%{literal}%"
