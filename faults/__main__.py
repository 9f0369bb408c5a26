"""Runs an experiment, or lists them: see scripts/faults.

Each is a module of this package with a main(), which takes the arguments of the command line.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys

import faults


def main() -> None:
    names = [found.name for found in pkgutil.iter_modules(faults.__path__) if not found.ispkg]
    names.remove("__main__")
    if len(sys.argv) < 2:
        for name in names:
            title = (importlib.import_module(f"faults.{name}").__doc__ or "").partition("\n")[0]
            print(f"{name:12}{title}")
    elif sys.argv[1] in names:
        importlib.import_module(f"faults.{sys.argv[1]}").main(sys.argv[2:])
    else:
        print(
            f"There is no experiment {sys.argv[1]}; there are: {' '.join(names)}", file=sys.stderr
        )
        raise SystemExit(2)


if __name__ == "__main__":
    main()
