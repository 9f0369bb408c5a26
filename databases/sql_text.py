"""SQL text as a query: its ``:name`` binds found and its values put in order."""

from __future__ import annotations

import re
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from databases.exceptions import QueryTypeError
from databases.statements import Statement, missing_bind, unknown_bind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from databases.statements import Dialect, Values

_PLAIN = frozenset({bool, bytes, float, int, str, type(None)})
"""What every driver takes as it is."""

_ESCAPED = re.compile(r"\\(:\w*)(?![:\w])")


class TextStatement(Statement):
    r"""SQL text, its ``:name`` binds replaced by the driver's placeholders.

    A bind inside a quoted string, a quoted identifier or a comment is text. ``::`` is a cast, and
    ``\:`` stands for a colon, as in SQLAlchemy's ``text()``.
    """

    __slots__ = ("_adapters", "_known", "_names", "_pick", "_single", "_text")

    def __init__(self, text: str, dialect: Dialect) -> None:
        names: list[str] = []

        def replace(match: re.Match[str]) -> str:
            name = match["bind"]
            if name is None:
                return match[0]
            names.append(name)
            return dialect.placeholder(len(names))

        pattern = rf"(?:{dialect.opaque})|(?<![:\w\\]):(?P<bind>\w+)(?!\w|:(?!:))"
        written = text.replace("%", "%%") if dialect.doubles_percent else text
        sql = re.sub(pattern, replace, written, flags=re.DOTALL)
        super().__init__(_ESCAPED.sub(r"\1", sql))
        self._text = text
        self._names = names
        self._known = frozenset(names)
        self._pick = itemgetter(*names) if names else None
        self._single = len(names) == 1
        self._adapters = dialect.adapters

    def arguments(self, values: Values | None) -> Sequence[Any]:
        """Put the values into the order of the placeholders."""
        if values and type(values) is not dict and not isinstance(values, Mapping):
            raise QueryTypeError(
                f"The values of a query are a dict of names and values, not "
                f"{type(values).__name__}.\n"
                '  wrong:  fetch_one("... WHERE id = :id", [1])\n'
                '  right:  fetch_one("... WHERE id = :id", {"id": 1})'
            )
        if self._pick is None:
            if values:
                raise unknown_bind(next(iter(values)), (), self._text)
            return ()
        if not values:
            raise missing_bind(self._names[0], self._text)
        try:
            picked = self._pick(values)
        except KeyError as error:
            raise missing_bind(error.args[0], self._text) from None
        if len(values) > len(self._known):
            stray = next(name for name in values if name not in self._known)
            raise unknown_bind(stray, self._known, self._text)
        if self._single:
            return (picked if type(picked) in _PLAIN else self._adapted(picked),)
        arguments: tuple[Any, ...] = picked
        if _PLAIN.issuperset(map(type, arguments)):
            return arguments
        return [self._adapted(value) for value in arguments]

    def _adapted(self, value: Any) -> Any:
        for kind, adapt in self._adapters:
            if isinstance(value, kind):
                return adapt(value)
        return value
