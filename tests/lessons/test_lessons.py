"""The lessons' applications, unchanged, on this library and on the original one.

Each runs under uvicorn in a process of its own: on ours with this interpreter, on databases 0.9.0
in a virtual environment of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers.processes import free_port

APPLICATIONS = Path(__file__).parent / "applications"
ROOT = Path(__file__).parents[2]

FETCH_USERS = """
import asyncio, json, mini_project

async def main():
    async with mini_project.app.router.lifespan_context(mini_project.app):
        return [dict(row) for row in await mini_project.fetch_users()]

print(json.dumps(asyncio.run(main())))
"""


@pytest.fixture(scope="session")
def original() -> str:
    """The interpreter of an environment with databases 0.9.0."""
    made = subprocess.run(
        [ROOT / "scripts" / "_env", "peer-databases-0.9"],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return made.stdout.strip()


@pytest.fixture(params=["ours", "databases 0.9.0"])
def python(request: pytest.FixtureRequest) -> str:
    if request.param == "ours":
        return sys.executable
    return str(request.getfixturevalue("original"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's directory with the lessons' files and a database of users."""
    for file in APPLICATIONS.glob("*.py"):
        shutil.copy(file, tmp_path)
    connection = sqlite3.connect(tmp_path / "test.db")
    connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO users (name) VALUES ('Ada'), ('Grace')")
    connection.commit()
    connection.close()
    return tmp_path


def environment(python: str) -> dict[str, str]:
    """Only our own interpreter finds this library; only the original's finds the original."""
    paths = {"PYTHONPATH": str(ROOT)} if python == sys.executable else {}
    return {**{k: v for k, v in os.environ.items() if k != "PYTHONPATH"}, **paths}


@contextmanager
def serving(python: str, project: Path, module: str) -> Iterator[tuple[str, Path]]:
    """Run a lesson's application; yields its address and the file with what it prints."""
    port = free_port()
    log = project / "output.txt"
    with log.open("w") as output:
        server = subprocess.Popen(
            [python, "-m", "uvicorn", f"{module}:app", "--port", str(port)],
            cwd=project,
            env=environment(python),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            address = f"http://127.0.0.1:{port}/"
            until = time.monotonic() + 30
            while True:
                try:
                    urllib.request.urlopen(address + "openapi.json", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, log.read_text()
                    assert time.monotonic() < until, log.read_text()
                    time.sleep(0.05)
            yield address, log
        finally:
            server.terminate()
            server.wait(20)


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_fetch_users_of_the_mini_project_returns_all_users(python: str, project: Path) -> None:
    ran = subprocess.run(
        [python, "-c", FETCH_USERS],
        cwd=project,
        env=environment(python),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert json.loads(ran.stdout) == [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}]


def test_the_endpoint_of_the_lesson_answers_1(python: str, project: Path) -> None:
    with serving(python, project, "step_by_step") as (address, log):
        assert get(address) == (200, '{"number":1}')
    assert "\n1\n" in log.read_text()


def test_the_applications_start_and_stop_cleanly(python: str, project: Path) -> None:
    with serving(python, project, "mini_project") as (_, log):
        pass
    assert "Application shutdown complete" in log.read_text()
    assert "Error" not in log.read_text()


def test_the_forgotten_await_is_an_error_on_both(python: str, project: Path) -> None:
    with serving(python, project, "forgotten_await") as (address, log):
        assert get(address)[0] == 500
    assert "TypeError" in log.read_text() or "ForgottenAwaitError" in log.read_text()


def test_ours_names_the_line_of_the_forgotten_await_and_corrects_it(project: Path) -> None:
    with serving(sys.executable, project, "forgotten_await") as (address, log):
        get(address)
    shown = log.read_text()
    assert "database.fetch_one() was not awaited." in shown
    assert 'File "forgotten_await.py", line 20, in read_data' in shown
    assert "wrong:  result = database.fetch_one(query)" in shown
    assert "right:  result = await database.fetch_one(query)" in shown


def test_ours_names_the_connect_that_was_never_awaited(project: Path) -> None:
    with serving(sys.executable, project, "forgotten_connect") as (address, log):
        assert get(address)[0] == 500
    shown = log.read_text()
    assert "NotConnectedError" in shown
    assert "database.connect() was called but not awaited" in shown
    assert 'File "forgotten_connect.py", line 11, in startup' in shown
    assert "right:  await database.connect()" in shown
