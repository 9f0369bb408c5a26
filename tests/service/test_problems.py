"""Errors, as the API tells them."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

from databases.exceptions import (
    CommitUnknown,
    ConnectionFailureError,
    PoolTimeout,
    TooManyRequests,
)
from users_service.body_limit import MAX_BODY_SIZE

# Nothing here is a matter of the database.
pytestmark = pytest.mark.parametrize("kind", ["sqlite"])

JSON = {"Content-Type": "application/json"}


def problem(response: Any, status: int) -> dict[str, Any]:
    """The problem that a response tells, after a look at its form."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = response.json()
    assert content["type"] == "about:blank"
    assert content["status"] == status
    assert content["title"]
    assert content["detail"]
    assert ("errors" in content) == (status == 422)
    return content


def test_an_unknown_address_is_a_problem(client: TestClient) -> None:
    assert problem(client.get("/nothing/here"), 404)["instance"] == "/nothing/here"


def test_an_instance_is_a_valid_reference_whatever_was_asked_for(client: TestClient) -> None:
    assert problem(client.get("/%E2%82%AC%20%22"), 404)["instance"] == "/%E2%82%AC%20%22"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/users", {"GET", "POST"}),
        ("PUT", "/users/1", {"GET", "PATCH", "DELETE"}),
        ("POST", "/health/live", {"GET"}),
        ("POST", "/", {"GET", "HEAD"}),
    ],
)
def test_an_unsupported_method_is_answered_with_all_that_are_supported(
    client: TestClient, method: str, path: str, allowed: set[str]
) -> None:
    response = client.request(method, path)
    problem(response, 405)
    assert set(response.headers["allow"].split(", ")) == allowed


def test_a_problem_with_a_field_names_it(client: TestClient) -> None:
    content = problem(client.post("/users", json={"name": " ", "age": 1}), 422)
    assert {(error["in"], error["field"]) for error in content["errors"]} == {
        ("body", "name"),
        ("body", "age"),
    }
    assert "name: must not be empty" in content["detail"]


@pytest.mark.parametrize(
    "body", [b'{"name": "\\ud800"}', b'{"\\udfff": 1}', b'{"name": "Ada", "\\ud800x": 1}']
)
def test_half_a_surrogate_pair_is_a_problem_not_a_failure(client: TestClient, body: bytes) -> None:
    problem(client.post("/users", content=body, headers=JSON), 422)
    problem(client.patch("/users/1", content=body, headers=JSON), 422)


@pytest.mark.parametrize("body", [b"", b"{", b'{"name": ', b"[]", b"null", b'"Ada"', b"{}"])
def test_a_body_of_the_wrong_form_is_a_problem(client: TestClient, body: bytes) -> None:
    problem(client.post("/users", content=body, headers=JSON), 422)


@pytest.mark.parametrize("body", [b"\xff\xfe\xfd", b"[" * 50_000, b"9" * 50_000])
def test_a_body_that_cannot_be_read_is_a_problem(client: TestClient, body: bytes) -> None:
    problem(client.post("/users", content=body, headers=JSON), 400)


def test_a_form_is_no_json(client: TestClient) -> None:
    # A page from elsewhere could send it without asking first.
    problem(
        client.post("/users", content='{"name": "Ada"}', headers={"Content-Type": "text/plain"}),
        422,
    )
    assert client.get("/users").json()["users"] == []


def test_too_large_a_body_is_a_problem_announced_or_not(client: TestClient) -> None:
    def in_pieces() -> Iterator[bytes]:
        for _ in range(MAX_BODY_SIZE // 1024 + 1):
            yield b" " * 1024

    problem(client.post("/users", content=b" " * (MAX_BODY_SIZE + 1), headers=JSON), 413)
    problem(client.post("/users", content=in_pieces(), headers=JSON), 413)


class Failing:
    """Users who cannot be had."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def get(self, user_id: int) -> Response:
        raise self.error

    async def add(self, name: str) -> Response:
        raise self.error


@pytest.mark.parametrize(("seconds", "said"), [(0.0, "1"), (0.02, "1"), (1.0, "1"), (24.1, "25")])
def test_a_request_too_many_is_told_when_to_come_again(
    client: TestClient, seconds: float, said: str
) -> None:
    error = TooManyRequests("80 others wait for one of 10 connections", seconds)
    client.app.state.users = Failing(error)  # type: ignore[attr-defined]
    response = client.get("/users/1")
    assert "more requests than can be served" in problem(response, 503)["detail"]
    assert "connections" not in response.text
    assert response.headers["retry-after"] == said


def test_of_requests_too_many_the_log_has_one_line_a_second(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic() + 1000
    monkeypatch.setattr("users_service.problems.time.monotonic", lambda: now)
    client.app.state.users = Failing(TooManyRequests("who\nholds them"))  # type: ignore[attr-defined]
    for _ in range(50):
        client.get("/users/1")
    now += 1.5
    client.get("/users/1")
    lines = [each for each in caplog.records if each.name == "users_service.problems"]
    assert [each.levelname for each in lines] == ["WARNING", "WARNING"]
    assert lines[-1].getMessage() == (
        "Too many requests, 50 more refused: TooManyRequests('who\\nholds them')"
    )


def test_so_it_has_of_requests_that_waited_in_vain_and_of_others_that_fail(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic() + 1000
    monkeypatch.setattr("users_service.problems.time.monotonic", lambda: now)
    for error in (PoolTimeout("in vain"), ConnectionFailureError("gone")):
        client.app.state.users = Failing(error)  # type: ignore[attr-defined]
        for _ in range(50):
            assert client.get("/users/1").headers["retry-after"] == "1"
    now += 1.5
    client.get("/users/1")
    lines = [each for each in caplog.records if each.name == "users_service.problems"]
    assert [each.getMessage() for each in lines] == [
        "GET /users/1: PoolTimeout('in vain')",
        "GET /users/1: ConnectionFailureError('gone')",
        "GET /users/1, and 49 more before: ConnectionFailureError('gone')",
    ]


def test_of_what_may_have_been_done_nobody_is_told_to_try_again(client: TestClient) -> None:
    client.app.state.users = Failing(CommitUnknown("gone"))  # type: ignore[attr-defined]
    response = client.post("/users", json={"name": "Ada"})
    assert "not known whether this was done" in problem(response, 503)["detail"]
    assert "retry-after" not in response.headers


def test_a_bug_is_a_problem_that_tells_nothing_of_the_inside(client: TestClient) -> None:
    class Broken:
        async def get(self, user_id: int) -> Response:
            raise ZeroDivisionError("secret")

    client.app.state.users = Broken()  # type: ignore[attr-defined]
    response = client.get("/users/1")
    assert "secret" not in str(problem(response, 500))
    assert response.headers["x-request-id"]
