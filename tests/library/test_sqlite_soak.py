"""A few seconds of the mixed load of ``scripts/bench soak``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import databases

ROOT = Path(databases.__file__).parents[1]


def test_nothing_is_lost_and_nothing_grows_under_a_mixed_load() -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "benchmarks" / "soak.py", "--minutes", "0.1"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
