"""Import an object by the string that names it, as in settings."""

from __future__ import annotations

import importlib
from typing import Any


class ImportFromStringError(Exception):
    """A string does not name something that can be imported."""


def import_from_string(import_str: str) -> Any:
    """Import the object that a string names.

    Args:
        import_str: a module and an attribute of it, as ``"package.module:attribute"``.

    Returns:
        The object.

    Raises:
        ImportFromStringError: where the string has another form, or the module or the attribute
            does not exist. A module that exists and fails to import raises its own error.

    Example:
        >>> import_from_string("databases:Database").__name__
        'Database'
    """
    module_name, _, path = import_str.partition(":")
    if not module_name or not path:
        raise ImportFromStringError(
            f'Import string "{import_str}" must be in format "<module>:<attribute>".'
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ImportFromStringError(f'Could not import module "{error.name}".') from None
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ImportFromStringError(
                f'Attribute "{path}" not found in module "{module_name}".'
            ) from None
    return found
