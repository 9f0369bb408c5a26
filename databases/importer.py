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
            f"{import_str!r} names nothing to import: write it as 'package.module:attribute'."
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ImportFromStringError(f"There is no module {error.name!r} to import.") from None
    for attribute in path.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise ImportFromStringError(
                f"The module {module_name!r} has no attribute {path!r}."
            ) from None
    return found
