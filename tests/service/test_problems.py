"""Errors, as the API tells them."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response
from starlette.testclient import TestClient

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


def test_a_bug_is_a_problem_that_tells_nothing_of_the_inside(client: TestClient) -> None:
    class Broken:
        async def get(self, user_id: int) -> Response:
            raise ZeroDivisionError("secret")

    client.app.state.users = Broken()  # type: ignore[attr-defined]
    response = client.get("/users/1")
    assert "secret" not in str(problem(response, 500))
    assert response.headers["x-request-id"]
