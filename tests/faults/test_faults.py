"""The program behind scripts/faults."""

from __future__ import annotations

import subprocess
import sys


def faults(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "faults", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_without_a_name_it_says_what_there_is() -> None:
    ran = faults()
    assert ran.returncode == 0, ran.stderr
    assert {"bank", "galera"} <= {line.split()[0] for line in ran.stdout.splitlines()}


def test_a_name_that_is_not_there_is_told() -> None:
    ran = faults("earthquake")
    assert ran.returncode == 2
    assert "There is no experiment earthquake; there are: bank " in ran.stderr
