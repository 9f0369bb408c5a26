"""The description of the API, and that the API is as described."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import positive_data_acceptance
from starlette.testclient import TestClient

from users_service import migrations
from users_service.app import create_app
from users_service.settings import Settings

Operation = tuple[str, str, dict[str, Any]]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """A service that has been started."""
    url = f"sqlite:///{tmp_path_factory.mktemp('openapi') / 'users.db'}"
    migrations.upgrade(url)
    app = create_app(Settings(database_url=url))
    with TestClient(app):
        yield app


@pytest.fixture(scope="module")
def operations(app: FastAPI) -> list[Operation]:
    return [
        (method, path, operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_is_described(operations: list[Operation]) -> None:
    assert len(operations) == 7
    for _, path, operation in operations:
        for part in ("summary", "description", "tags"):
            assert operation[part], (path, part)
        for status, response in operation["responses"].items():
            assert response["description"] not in ("", "Successful Response"), (path, status)


def test_everything_that_goes_in_or_out_has_an_example(
    app: FastAPI, operations: list[Operation]
) -> None:
    schemas = app.openapi()["components"]["schemas"]

    def has_example(media: dict[str, Any]) -> bool:
        schema = schemas[media["schema"]["$ref"].rsplit("/", 1)[1]]
        fields = schema.get("properties", {}).values()
        return bool(
            "example" in media
            or schema.get("examples")
            or all(field.get("examples") for field in fields)
        )

    for method, path, operation in operations:
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (method, path, parameter)
            assert "examples" in parameter or "examples" in parameter["schema"], parameter
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for holder in [*bodies, *operation["responses"].values()]:
            for media in holder.get("content", {}).values():
                assert has_example(media), (method, path, media)


def test_every_error_is_a_problem(operations: list[Operation]) -> None:
    for _, path, operation in operations:
        errors = {status: r for status, r in operation["responses"].items() if status >= "400"}
        assert errors or path == "/health/live"
        for response in errors.values():
            assert list(response["content"]) == ["application/problem+json"]
            (media,) = response["content"].values()
            assert media["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_a_database_that_cannot_be_used_is_a_problem_that_passes(
    operations: list[Operation],
) -> None:
    for _, path, operation in operations:
        if path != "/health/live":
            assert list(operation["responses"]["503"]["headers"]) == ["Retry-After"]


def test_the_description_is_served_as_it_is_held(app: FastAPI) -> None:
    served = TestClient(app).get("/openapi.json").json()
    assert served == app.openapi()
    assert served["openapi"].startswith("3.1")
    assert {"Problem", "InvalidField"} <= served["components"]["schemas"].keys()


OPERATIONS = [
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/users"),
    ("POST", "/users"),
    ("GET", "/users/{user_id}"),
    ("PATCH", "/users/{user_id}"),
    ("DELETE", "/users/{user_id}"),
]


def test_every_operation_is_tried_below(operations: list[Operation]) -> None:
    assert sorted((method.upper(), path) for method, path, _ in operations) == sorted(OPERATIONS)


@pytest.mark.parametrize(
    ("method", "path", "mode"),
    [
        pytest.param(method, path, mode, id=f"{method} {path} {mode.name}")
        for mode in GenerationMode
        for method, path in OPERATIONS
        # A question about health has no parts that could be wrong.
        if mode is GenerationMode.POSITIVE or "health" not in path
    ],
)
def test_whatever_is_sent_the_answer_is_as_described(
    app: FastAPI, method: str, path: str, mode: GenerationMode
) -> None:
    operation = schemathesis.openapi.from_asgi("/openapi.json", app)[path][method]
    # JSON Schema cannot say everything that a name must be: "visible", for one.
    excluded = [positive_data_acceptance] if operation.body else []

    @given(operation.as_strategy(generation_mode=mode))
    @hypothesis_settings(
        max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def answers_as_described(case: Case[Any]) -> None:
        case.call_and_validate(excluded_checks=excluded)

    answers_as_described()
