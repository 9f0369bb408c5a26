"""The application, put together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from databases import Database
from databases.inspector import Inspector
from users_service import __version__, page, problems
from users_service.access_log import AccessLog
from users_service.body_limit import BodyLimit
from users_service.repository import NotReady, UserRepository
from users_service.routes import health_api, users_api
from users_service.settings import Settings

_DESCRIPTION = """
Keeps a list of users, each with a name that nobody else has.

Every error is a problem in the sense of RFC 9457: `application/problem+json`, with a `detail`
that says in a sentence what went wrong.
"""
_TAGS = [
    {"name": "users", "description": "Add, find, rename and delete users."},
    {"name": "health", "description": "For what watches over the service."},
]
_SECONDS_TO_CONNECT = 1
_SECONDS_BETWEEN_ATTEMPTS = 1

logger = logging.getLogger(__name__)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service, with the settings of the environment unless others are given."""
    settings = settings or Settings()
    database = Database(settings.database_url)
    users = UserRepository(database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            async with asyncio.TaskGroup() as tasks:
                connecting = tasks.create_task(_connect(database, users))
                await asyncio.wait([connecting], timeout=_SECONDS_TO_CONNECT)
                yield
                connecting.cancel()
        finally:
            await database.disconnect()

    app = _UsersService(
        title="Users service",
        summary="Stores and retrieves user names.",
        description=_DESCRIPTION,
        version=__version__,
        openapi_tags=_TAGS,
        redoc_url=None,
        lifespan=lifespan,
        exception_handlers=problems.HANDLERS,
        middleware=[Middleware(BodyLimit)],
    )
    app.state.users = users
    app.state.page_size = settings.page_size
    app.include_router(users_api)
    app.include_router(health_api)
    app.routes.extend(page.routes())
    if settings.inspector:
        app.mount("/inspector", Inspector(database, token=settings.inspector_token))
    return app


class _UsersService(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        """Log from the very outside: what fails anywhere within is answered and logged too."""
        return AccessLog(super().build_middleware_stack())

    def openapi(self) -> dict[str, Any]:
        """Describe problems as well, which FastAPI does not know about."""
        openapi = super().openapi()
        problems.add_schemas(openapi)
        return openapi


async def _connect(database: Database, users: UserRepository) -> None:
    """Try until it succeeds. The service starts without a database: it can say what is wrong."""
    while not database.is_connected:
        try:
            await database.connect()
        except Exception as error:
            logger.warning("The database cannot be reached: %r", error)
            await asyncio.sleep(_SECONDS_BETWEEN_ATTEMPTS)
    try:
        await users.check()
    except NotReady as error:
        logger.warning("%s (%r)", error, error.__cause__)
