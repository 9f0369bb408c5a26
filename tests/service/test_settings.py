"""Settings, by environment and by flag."""

import re

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from databases import Database
from users_service.settings import CommandLine, Settings


def test_without_any_setting_the_service_is_embedded_and_local() -> None:
    settings = Settings()
    assert settings.database_url == "sqlite:///./users.db"
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)
    assert settings.page_size == 50


def test_the_environment_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERS_DATABASE_URL", "sqlite:///other.db")
    monkeypatch.setenv("USERS_PORT", "8001")
    monkeypatch.setenv("USERS_PAGE_SIZE", "200")
    settings = Settings()
    assert settings.database_url == "sqlite:///other.db"
    assert (settings.port, settings.page_size) == (8001, 200)


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERS_PORT", "8001")
    monkeypatch.setenv("USERS_WORKERS", "2")
    settings = CliApp.run(CommandLine, cli_args=["--port", "8002", "--page-size", "7"])
    assert (settings.port, settings.workers, settings.page_size) == (8002, 2, 7)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "-1"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("WORKERS", "0"),
        ("PAGE_SIZE", "0"),
        ("PAGE_SIZE", "201"),
        ("HOST", ""),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "users.db"),
        ("DATABASE_URL", "oracle://host/users"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
    ],
)
def test_a_value_out_of_bounds_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"USERS_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    "scheme", sorted(Database.SUPPORTED_BACKENDS.keys() - {"postgresql+aiopg"})
)
def test_every_database_that_the_library_knows_can_be_set(scheme: str) -> None:
    place = "" if scheme.startswith("sqlite") else "ada:secret@localhost"
    Settings(database_url=f"{scheme}://{place}/users")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("sqlite:///users.db?tiemout=5", "timeout"),
        ("postgresql://ada:secret@localhost/users?max_size=many", "max_size"),
        ("mysql://ada:secret@localhost/users?max_siez=5", "max_size"),
        ("postgresql+aiopg://ada:secret@localhost/users", "postgresql+psycopg://ada"),
    ],
)
def test_an_address_that_could_only_fail_later_is_refused_with_advice(
    url: str, advice: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(advice)) as refused:
        Settings(database_url=url)
    assert "secret" not in repr(refused.value) + str(refused.value)


@pytest.mark.parametrize("url", ["mysql://ada:secret@localhost/users", "x://ada:secret@y/z"])
def test_a_password_is_in_no_repr_and_in_no_error(url: str) -> None:
    try:
        shown = repr(Settings(database_url=url)) + str(Settings(database_url=url))
    except ValidationError as error:
        shown = repr(error) + str(error)
    assert "secret" not in shown
