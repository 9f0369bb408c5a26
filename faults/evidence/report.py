"""The figures of an experiment, printed as they come in, and the promises that were broken."""

from __future__ import annotations

import argparse
from collections.abc import Iterable


def options(name: str, about: str) -> argparse.ArgumentParser:
    """What reads the command line; every experiment has --short, which is for CI."""
    title = about.partition("\n")[0]
    parser = argparse.ArgumentParser(prog=f"scripts/faults {name}", description=title)
    parser.add_argument("--short", action="store_true", help="as in CI: some seconds, not minutes")
    return parser


class Report:
    """A table of faults: how many rounds, how many seconds, and what held."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        """The promises that were broken."""
        self._has_head = False

    def add(
        self, fault: str, rounds: int, seconds: float, held: str, broken: Iterable[str] = ()
    ) -> None:
        """Print a line.

        Args:
            fault: what was done, and to what.
            rounds: how many times.
            seconds: how long all of it took.
            held: what held, with its figures.
            broken: the promises that did not.
        """
        if not self._has_head:
            print(f"{'fault':44}{'rounds':>8}{'seconds':>9}  what held")
            self._has_head = True
        print(f"{fault:44}{rounds:>8,}{seconds:>9.1f}  {held}", flush=True)
        for promise in broken:
            print(f"{'':4}BROKEN: {promise}", flush=True)
            self.broken.append(f"{fault}: {promise}")

    def conclude(self) -> None:
        """End the program: with 1 where a promise was broken."""
        if self.broken:
            print(f"{len(self.broken)} promises were broken")
            raise SystemExit(1)
        print("every promise held")
