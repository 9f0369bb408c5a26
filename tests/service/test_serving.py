"""A service while it serves, and how it stops."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from starlette.testclient import TestClient

from tests.service.outside import locked
from users_service.app import create_app
from users_service.settings import Settings

if TYPE_CHECKING:
    from tests.service.conftest import Running, Start


def accesses(running: "Running") -> list[dict[str, Any]]:
    """The access log, which is everything after the first line."""
    return [json.loads(line) for line in running.lines()[1:]]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_ends_the_service_cleanly(
    serve: "Start", by: signal.Signals, workers: str
) -> None:
    running = serve("--workers", workers)
    with running.client() as client:
        assert client.get("/health/ready").status_code == 200
    assert running.stop(by) == 0
    assert running.errors.read_text() == ""


def test_a_request_in_flight_is_finished_before_the_service_ends(
    serve: "Start",
    migrated_url: str,
    patience: Callable[[Callable[[], object]], None],
) -> None:
    running = serve("--database-url", migrated_url)
    answers = []

    def post() -> None:
        answers.append(client.post("/users", json={"name": "Ada"}))

    def refuses() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(running.address.split(":")[2][:-1]))) != 0

    client, bystander = running.client(), running.client()
    assert client.get("/health/live").status_code == 200
    # It is in use only once it is connected: a file that is in use cannot be put into WAL mode.
    patience(lambda: bystander.get("/health/ready").status_code == 200)
    with locked(migrated_url):
        posting = threading.Thread(target=post)
        posting.start()
        # There is no telling from here when the POST waits for the lock. Several questions
        # that were asked later, and have been answered, come near enough.
        for _ in range(20):
            assert bystander.get("/health/ready").status_code == 200
        running.process.send_signal(signal.SIGTERM)
        patience(refuses)
        time.sleep(0.5)  # Long enough for a service that would not wait to end.
        assert not answers
    posting.join()
    assert [answer.status_code for answer in answers] == [201]
    assert running.stop() == 0
    assert running.errors.read_text() == ""
    with TestClient(create_app(Settings(database_url=migrated_url))) as later:
        assert [user["name"] for user in later.get("/users").json()["users"]] == ["Ada"]


IMPATIENT = """
from users_service import __main__
__main__._SECONDS_TO_FINISH = 1
__main__.main()
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_transaction_that_waits_for_a_lock_does_not_keep_the_service_from_ending(
    serve: "Start",
    migrated_url: str,
    patience: Callable[[Callable[[], object]], None],
) -> None:
    running = serve("--database-url", migrated_url, program=("-c", IMPATIENT))
    client = running.client()
    patience(lambda: client.get("/health/ready").status_code == 200)
    failed = threading.Event()

    def post() -> None:
        try:
            running.client().post("/users", json={"name": "Ada"}).raise_for_status()
        except httpx2.HTTPError:
            failed.set()

    with locked(migrated_url):
        posting = threading.Thread(target=post)
        posting.start()
        for _ in range(20):
            assert client.get("/health/ready").status_code == 200
        assert running.stop() == 0
        posting.join()
    assert failed.is_set()
    with TestClient(create_app(Settings(database_url=migrated_url))) as later:
        assert later.get("/users").json()["users"] == []


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_several_workers_share_the_work_and_the_database(serve: "Start", migrated_url: str) -> None:
    running = serve("--workers", "2", "--database-url", migrated_url)
    for number in range(10):
        with running.client() as client:
            assert client.post("/users", json={"name": f"user {number}"}).status_code == 201
            assert len(client.get("/users").json()["users"]) == number + 1
    assert running.stop() == 0
    assert len(accesses(running)) == 20


def test_every_request_is_logged_as_a_line_of_json(
    serve: "Start", patience: Callable[[Callable[[], object]], None]
) -> None:
    running = serve()
    with running.client() as client:
        client.get("/users?q=secret")
        client.get('/%0A"nowhere"')
        client.post("/users", json={"name": ""})
    patience(lambda: len(running.lines()) == 4)
    log = accesses(running)
    assert [(line["method"], line["path"], line["status"]) for line in log] == [
        ("GET", "/users", 200),
        ("GET", '/\n"nowhere"', 404),
        ("POST", "/users", 422),
    ]
    for line in log:
        assert line.keys() == {
            *("time", "level", "method", "path", "status", "duration_ms", "client", "request_id")
        }
        assert datetime.fromisoformat(line["time"]).tzinfo
        assert line["level"] == "INFO"
        assert line["duration_ms"] >= 0
        assert line["client"] == "127.0.0.1"
    assert "secret" not in running.output.read_text()


def test_a_request_has_an_id_in_the_answer_and_in_the_log(
    serve: "Start", patience: Callable[[Callable[[], object]], None]
) -> None:
    running = serve()
    with running.client() as client:
        ids = [client.get("/health/live").headers["x-request-id"] for _ in range(2)]
    patience(lambda: len(running.lines()) == 3)
    assert [line["request_id"] for line in accesses(running)] == ids
    assert len(set(ids)) == 2


@pytest.mark.parametrize("kind", ["sqlite"])
@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [
        ("abc-123_4.5", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("a b", False),
        ('"}', False),
    ],
)
def test_an_id_from_outside_is_kept_if_it_is_sane(client: Any, sent: str, is_kept: bool) -> None:
    answered = client.get("/health/live", headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert (answered == sent) is is_kept
    assert is_kept or re.fullmatch("[0-9a-f]{16}", answered)
