"""What all servers have in common: they start, stop and never outlive the session."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from tests.servers.processes import PATIENCE, children_of, free_port, make_folder, spawn

Mode = Literal["fast", "immediate"]

# Ends when it is told to. Told nothing until its input is closed, it outlived the session, which a
# signal must have ended: it stops the server and removes the folder in its place.
GUARD = """
read -r _ && exit
kill -s "$1" "$2"
for _ in $(seq 100); do
    kill -0 "$2" 2>/dev/null || break
    sleep 0.1
done
exec rm -rf "$3"
"""


class PortTaken(Exception):
    """Somebody else took a server's port before the server could."""


class Running(ABC):
    """What runs as long as a ``with`` block."""

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it is ready."""

    @abstractmethod
    def close(self) -> None:
        """Stop it and remove its data."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Running):
    """A server with a folder and a port of its own. Its data stay until it is closed."""

    name: ClassVar[str]
    ready: ClassVar[str]  # what it writes to its log once clients may come
    signals: ClassVar[Mapping[Mode, signal.Signals]]

    def __init__(self) -> None:
        self.folder = make_folder(self.name)
        self.log = self.folder / "log"
        self.port = free_port()
        self._is_new = True
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    def initialize(self) -> None:
        """Make the data: once, before the first start."""

    def command(self) -> list[str]:
        """The program, to stay in the foreground, with its arguments."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it is ready; on another port only if it never had this one."""
        if self._is_new:
            self.initialize()
        for attempts_left in reversed(range(5)):
            try:
                self._start()
                break
            except PortTaken:
                if not self._is_new or not attempts_left:
                    raise
                self.port = free_port()
        self._is_new = False

    def _start(self) -> None:
        assert self._process is None, f"{self.name} is running already"
        written = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = spawn(*self.command(), stdout=log, stderr=log)
        by = self.signals["immediate"].name.removeprefix("SIG")
        guarded = (by, str(self._process.pid), str(self.folder))
        self._guard = spawn("sh", "-c", GUARD, "guard", *guarded, stdin=subprocess.PIPE)
        deadline = time.monotonic() + PATIENCE
        while True:
            is_over = self._process.poll() is not None or time.monotonic() > deadline
            said = self.log.read_bytes()[written:].decode(errors="replace")
            # Not all of them end when they did not get every address that they were to listen on.
            if "Address already in use" in said:
                self.stop("immediate")
                raise PortTaken(f"{self.name}: port {self.port} is taken")
            if self.ready in said:
                return
            if is_over:
                self.stop("immediate")
                raise RuntimeError(f"{self.name} did not start:\n{said}")
            time.sleep(0.01)

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it: in order, or ("immediate") as if it had crashed."""
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if process is not None:
            try:
                process.send_signal(self.signals[mode])
                process.wait(PATIENCE)
            finally:
                process.kill()
                process.wait()
                if guard is not None:
                    guard.communicate(b"\n")

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def kill(self) -> None:
        """End it and its children with SIGKILL, as if its machine had lost power."""
        children = children_of(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.stop("immediate")

    def restart(self, mode: Mode = "fast") -> None:
        self.stop(mode)
        self.start()

    def close(self) -> None:
        """Stop it and remove its data."""
        atexit.unregister(self.close)
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
