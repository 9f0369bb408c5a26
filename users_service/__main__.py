"""The command line: ``python -m users_service`` serves, ``python -m users_service migrate``."""

import errno
import logging
import signal
import socket
import sys
from functools import partial
from types import FrameType
from typing import NoReturn

import uvicorn
from alembic.util import CommandError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import CliApp
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from uvicorn.supervisors import Multiprocess

from databases import DatabaseURL
from databases.exceptions import DatabaseError
from users_service import migrations
from users_service.access_log import LOGGING
from users_service.app import create_app
from users_service.settings import CommandLine, Settings

_SECONDS_TO_FINISH = 10
_BACKLOG = 2048


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; whatever goes wrong is told in one line."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _stop)
    try:
        settings = CliApp.run(CommandLine, cli_args=arguments)
    except ValidationError as error:
        _fail("; ".join(map(_setting_error, error.errors())), status=2)
    if settings.migrate:
        _migrate(settings.migrate.database_url or settings.database_url)
    else:
        _serve(settings)


def _serve(settings: Settings) -> None:
    with _listening_socket(settings.host, settings.port) as listener:
        if DatabaseURL(settings.database_url).dialect == "sqlite":
            _migrate(settings.database_url)
        config = uvicorn.Config(
            # Workers are handed what they need: no detour by the environment.
            partial(create_app, settings),
            factory=True,
            workers=settings.workers,
            lifespan="on",
            ws="none",
            log_config=LOGGING,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        )
        # What no line of the log shows need not be found out for each.
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        print(f"Users service: {_address(listener)}", flush=True)
        if settings.workers > 1:
            Multiprocess(config, [listener]).run()
        else:
            uvicorn.Server(config).run([listener])


def _migrate(database_url: str) -> None:
    try:
        migrations.upgrade(database_url)
    except (DatabaseError, SQLAlchemyError, CommandError) as error:
        _fail(
            f"The database {DatabaseURL(database_url).obscure_password} cannot be used: "
            f"{_on_one_line(_cause(error))}. "
            "Check that it exists and can be written, or name another with --database-url."
        )


def _cause(error: Exception) -> BaseException:
    """What the driver said: SQLAlchemy puts its own words around it, twice where it is async."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def _listening_socket(host: str, port: int) -> socket.socket:
    """Take the port before anything else happens, and so that connections can queue already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            _fail(
                f"Port {port} on {host} is in use: stop the other program, or choose another "
                f"port, e.g. --port {port % 65535 + 1}"
            )
        _fail(f"Cannot listen on {host}, port {port}: {error.strerror}. See --host and --port.")


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _setting_error(error: ErrorDetails) -> str:
    if not error["loc"]:
        # About several settings together.
        return _on_one_line(error["msg"]).removeprefix("Value error, ")
    name = str(error["loc"][-1])
    return f"--{name.replace('_', '-')} (USERS_{name.upper()}): {_on_one_line(error['msg'])}"


def _on_one_line(text: object) -> str:
    return " ".join(str(text).split())


def _fail(message: str, *, status: int = 1) -> NoReturn:
    print(f"users_service: {message}", file=sys.stderr)
    raise SystemExit(status)


def _stop(signum: int, frame: FrameType | None) -> NoReturn:
    """Leave quietly.

    While it serves, uvicorn has a handler of its own in place of this one: it finishes the
    requests in flight, and then passes the signal on to here.
    """
    raise SystemExit(0)


if __name__ == "__main__":
    main()
