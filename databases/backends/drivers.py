"""Drivers, which are installed as extras of this package."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from databases.exceptions import BackendUnavailableError


def load_driver(module: str, driver: str) -> Any:
    """Import the module that speaks to a driver.

    Args:
        module: ours.
        driver: the name of the driver, which is that of our extra too.

    Raises:
        BackendUnavailableError: where the driver is not installed; it says how to.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if importlib.util.find_spec(driver) is not None:
            raise
        raise BackendUnavailableError(
            f"This URL needs the driver {driver}, which is not installed:\n"
            f'  pip install "databases-next[{driver}]"'
        ) from error
