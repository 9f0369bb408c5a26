"""Everything that can be set, by environment (USERS_...) or by flag; the flag wins."""

from pkgutil import resolve_name
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator
from pydantic_settings import BaseSettings, CliImplicitFlag, CliSubCommand, SettingsConfigDict

from databases import Database, DatabaseURL
from databases.exceptions import ConfigurationError

MAX_PAGE_SIZE = 200


def _usable_database_url(text: str) -> str:
    """Refuse at once, and without repeating a password, what could only fail later."""
    url = DatabaseURL(text)
    if url.scheme not in Database.SUPPORTED_BACKENDS:
        known = ", ".join(sorted(Database.SUPPORTED_BACKENDS))
        raise ValueError(
            f"the address of a database begins with one of {known}, followed by ://, "
            "e.g. sqlite:///./users.db"
        )
    if url.dialect == "sqlite" and url.database in ("", ":memory:"):
        raise ValueError(
            "a database in memory would be empty at every start: name a file, "
            "e.g. sqlite:///./users.db"
        )
    try:
        # As the first connect() would make it: an option is misspelt, a driver not installed.
        resolve_name(Database.SUPPORTED_BACKENDS[url.scheme])(url)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return text


# A field of this type needs repr=False: there may be a password in it.
DatabaseAddress = Annotated[str, AfterValidator(_usable_database_url)]


class Settings(BaseSettings):
    """The settings of one service."""

    model_config = SettingsConfigDict(env_prefix="USERS_", hide_input_in_errors=True)

    database_url: DatabaseAddress = Field(
        default="sqlite:///./users.db",
        repr=False,
        description="Where the users are kept.",
    )
    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="The address to listen on; 0.0.0.0 lets other computers in.",
    )
    port: int = Field(
        default=8000,
        ge=0,
        le=65535,
        description="The port to listen on; 0 lets the system choose one.",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="How many processes answer requests.",
    )
    page_size: int = Field(
        default=50,
        ge=1,
        le=MAX_PAGE_SIZE,
        description="How many users one page of the list holds unless the request says otherwise.",
    )
    inspector: CliImplicitFlag[bool] = Field(
        default=False,
        description="Show at /inspector what the service does with its database, to this machine.",
    )
    inspector_token: Annotated[str, Field(min_length=8)] | None = Field(
        default=None,
        repr=False,
        description="Show it to whoever knows this, from other machines too.",
    )

    @model_validator(mode="after")
    def _one_process_is_inspected(self) -> Self:
        if self.inspector and self.workers > 1:
            raise ValueError("the inspector shows what one process does: use it with one worker")
        return self


class Migrate(BaseModel):
    """Bring the schema of the database up to date, then stop."""

    database_url: DatabaseAddress | None = Field(
        default=None,
        repr=False,
        description="The database, if it is not the one that is set for the service.",
    )


class CommandLine(Settings):
    """Serve a list of users: an API, and a page at / that uses it.

    Every flag can be given by the environment instead. A SQLite database gets its schema by
    itself; any other gets it from the command migrate.
    """

    model_config = SettingsConfigDict(
        cli_prog_name="users_service",
        cli_kebab_case=True,
        cli_avoid_json=True,
        cli_show_env_vars=True,
        cli_hide_none_type=True,
    )

    migrate: CliSubCommand[Migrate]
