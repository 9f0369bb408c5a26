"""Programs beside the tests, as an unprivileged user; places and ports for them."""

from __future__ import annotations

import fcntl
import functools
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 120
"""Seconds after which something hangs, and is not just slow: of a busy machine too."""


class Unavailable(Exception):
    """A server cannot be had here: what there is to install."""


def spawn(*command: str, **options: Any) -> subprocess.Popen[bytes]:
    """Start a program, out of reach of the terminal's Ctrl-C, which is for the tests."""
    options = {"stdin": subprocess.DEVNULL, "start_new_session": True} | options
    return subprocess.Popen(command, **_surroundings(), **options)


def run(*command: str) -> str:
    """What a program prints."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        **_surroundings(),
    )
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name}: {done.stderr or done.stdout}")
    return done.stdout


def _surroundings() -> dict[str, Any]:
    """Options of subprocess: as nobody where we are root, and with no settings from outside."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGCLIENTENCODING": "UTF8"}
    surroundings: dict[str, Any] = {"cwd": "/", "env": environment}
    if os.geteuid() == 0:
        surroundings |= {"user": "nobody", "group": _nobody().pw_gid, "extra_groups": []}
    return surroundings


def children_of(pid: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may have blanks in it; the parent is the second after it.
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            continue  # it has just ended
        if int(parent) == pid:
            found.append(int(stat.parent.name))
    return found


def _nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def give_away(path: Path) -> Path:
    """Let the programs have a file or a folder that we made."""
    if os.geteuid() == 0:
        os.chown(path, _nobody().pw_uid, _nobody().pw_gid)
    return path


def is_readable(path: Path) -> bool:
    """Whether the programs can read it, for which all folders above it have to let them pass."""
    try:
        run("test", "-r", str(path))
    except RuntimeError:
        return False
    return True


@functools.cache
def _place() -> str | None:
    """Where folders are made: usually None, the system's choice, unless it is only for root."""
    return None if is_readable(Path(tempfile.gettempdir())) else "/tmp"


def make_folder(name: str) -> Path:
    return give_away(Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_place())))


def find_program(name: str, package: str, path: str | None = None) -> str:
    # Users other than root have no sbin in their PATH.
    found = shutil.which(name, path=path or f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")
    if found is None:
        raise Unavailable(f"There is no {name}: apt install {package}")
    return found


def loopback() -> list[str]:
    """The addresses of this machine that only itself can reach."""
    return [address for address in ("127.0.0.1", "::1") if _can_listen(address, 0)]


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what nothing else tells."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, below those that the system itself gives to clients.

    It stays this process's own until the process ends, so that a server can be started again on it:
    no other run of the tests takes it meanwhile.
    """
    while True:
        port = random.randrange(20_000, 32_768)
        if port in _own_ports or not all(_can_listen(address, port) for address in loopback()):
            continue
        try:
            fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except OSError:
            continue  # somebody else's
        _own_ports.add(port)
        return port


_own_ports: set[int] = set()


@functools.cache
def _claims() -> int:
    """An open file of which whoever has a port has locked the byte of that number."""
    place = Path(_place() or tempfile.gettempdir()) / f"test-ports-{os.getuid()}"
    return os.open(place, os.O_RDWR | os.O_CREAT, 0o600)


def _can_listen(address: str, port: int) -> bool:
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.bind((address, port))
    except OSError:
        return False
    return True
