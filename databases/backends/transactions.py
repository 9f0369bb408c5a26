"""The options of a transaction, read once for every database."""

from __future__ import annotations

from typing import NamedTuple

from databases.exceptions import UnknownOptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    Begin = Callable[[Mapping[str, Any]], Sequence[str]]
    """Gives the statements that begin a transaction with some options."""


class TransactionOptions(NamedTuple):
    """What a transaction was asked to be."""

    isolation: str | None
    """The isolation level in SQL's words, such as ``"REPEATABLE READ"``; None for the usual one."""

    readonly: bool
    deferrable: bool

    @classmethod
    def read(
        cls,
        options: Mapping[str, Any],
        *,
        name: str,
        known: tuple[str, ...],
        levels: tuple[str, ...],
    ) -> TransactionOptions:
        """Read the keywords of ``transaction()``.

        Args:
            options: the keywords.
            name: the database's, for messages.
            known: the options that it has.
            levels: its isolation levels, in SQL's words.

        Raises:
            UnknownOptionError: for an option or a level that the database does not have.
        """
        stray = sorted(options.keys() - set(known))
        if stray:
            raise UnknownOptionError(
                f"A transaction on {name} has no option {stray[0]!r}: it has {', '.join(known)}."
            )
        isolation = options.get("isolation")
        if isolation is not None:
            isolation = " ".join(str(isolation).upper().replace("_", " ").split())
            if isolation not in levels:
                choice = ", ".join(repr(level.lower().replace(" ", "_")) for level in levels)
                raise UnknownOptionError(
                    f"{name} has no isolation level {options['isolation']!r}: it has {choice}."
                )
        return cls(
            isolation, bool(options.get("readonly", False)), bool(options.get("deferrable", False))
        )
