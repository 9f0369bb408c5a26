"""A contender of a benchmark: a process in an environment of its own that measures on demand."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[2]

LONGEST = 90.0
"""Seconds beyond the time of a measurement after which a contender counts as hanging."""


class ContenderError(Exception):
    """A contender died or hangs."""


@dataclass(frozen=True)
class Kind:
    """What a contender runs.

    Args:
        environment: the pins in requirements/ that it runs on.
        module: its module, found in benchmarks/.
        address: how it is told of its database; {} stands for what the benchmark has to say.
        ours: whether it finds the repository, for our own library.
    """

    environment: str
    module: str
    address: str = "{}"
    ours: bool = False


@dataclass
class Contender:
    """A process that answers each JSON line with a JSON line; started again after it died.

    Args:
        kind: what it runs.
        address: of the database that it works on.
    """

    kind: Kind
    address: str
    introduction: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None
    _log: TextIO = field(default_factory=lambda: tempfile.TemporaryFile("w+"))  # noqa: SIM115

    def start(self) -> None:
        """Start it, and wait until it has introduced itself.

        Raises:
            ContenderError: where it cannot, for want of a driver or a connection.
        """
        found = [ROOT / "benchmarks"]
        if self.kind.ours:
            found.insert(0, ROOT)
        # -P: the original must not find this repository's `databases` in the working directory.
        self._process = subprocess.Popen(
            [python_of(self.kind.environment), "-P", "-m", self.kind.module, self.address],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, found))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.introduction = self._answer(LONGEST)

    def ask(self, operation: str, tasks: int, seconds: float, patience: float) -> dict[str, Any]:
        """Have it measure an operation.

        Args:
            operation: its name.
            tasks: how many repeat it.
            seconds: for how long.
            patience: how much longer it may take until each task has had an answer.

        Raises:
            ContenderError: where it died, or did not answer in time and was killed.
        """
        if self._process is None:
            self.start()
        assert self._process is not None
        assert self._process.stdin is not None
        asked = {
            "operation": operation,
            "tasks": tasks,
            "seconds": seconds,
            "patience": patience,
        }
        try:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died while nothing was asked: the missing answer will say so
        return self._answer(seconds + LONGEST)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _answer(self, longest: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        limit = threading.Timer(longest, self._process.kill)
        limit.start()
        line = self._process.stdout.readline()
        in_time = limit.is_alive()
        limit.cancel()
        if line:
            return json.loads(line)
        process = self._process
        self.stop()
        if not in_time:
            raise ContenderError(f"did not answer in {longest:.0f} seconds")
        self._log.seek(0)
        said = self._log.read().strip().splitlines()
        raise ContenderError(f"died with {process.returncode}: {said[-1] if said else 'no word'}")


@contextmanager
def running(
    kinds: Mapping[str, Kind], prepare: Callable[[str], str]
) -> Iterator[dict[str, Contender]]:
    """Start contenders, each on a database of its own; those that cannot are left out.

    Args:
        kinds: what each of them runs.
        prepare: makes the database of the contender of a name; what its address is made from.
    """
    contenders: dict[str, Contender] = {}
    try:
        for name, kind in kinds.items():
            contenders[name] = Contender(kind, kind.address.format(prepare(name)))
            try:
                contenders[name].start()
            except ContenderError as error:
                print(f"! {name} is left out, because it {error}", flush=True)
                del contenders[name]
        yield contenders
    finally:
        for contender in contenders.values():
            contender.stop()


def python_of(environment: str) -> str:
    """The interpreter of an environment, which is made where it is missing."""
    made = subprocess.run(
        [ROOT / "scripts" / "_env", environment], stdout=subprocess.PIPE, text=True, check=True
    )
    return made.stdout.strip()
