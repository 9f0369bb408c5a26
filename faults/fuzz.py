"""Hostile URLs, options, SQL and values, for some minutes: no crash, no hang, no injection.

scripts/faults fuzz [--short] [--times N]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from faults.evidence.report import Report, options

_FUZZERS = {
    "hostile URLs and options": "tests/library/test_url_fuzz.py",
    "hostile SQL and values": "tests/library/test_bind_fuzz.py",
}


def main(arguments: Sequence[str]) -> None:
    """Run the fuzzers of the tests, longer."""
    parser = options("fuzz", __doc__ or "")
    parser.add_argument("--times", type=int, default=30, help="as many examples as in CI (30)")
    asked = parser.parse_args(arguments)
    times = 1 if asked.short else asked.times
    report = Report()
    for fault, tests in _FUZZERS.items():
        begun = time.monotonic()
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "--color=no", tests]
        ran = subprocess.run(
            command, env={**os.environ, "FUZZ": str(times)}, capture_output=True, text=True
        )
        *said, last = ran.stdout.strip().splitlines() or [ran.stderr]
        broken = [] if ran.returncode == 0 else ["\n".join(said)]
        report.add(fault, times, time.monotonic() - begun, last, broken)
    report.conclude()
