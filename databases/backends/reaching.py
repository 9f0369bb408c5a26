"""What is told of a server that cannot be reached: where it is, and what may be in the way."""

from __future__ import annotations

import re

from databases.backends import descriptors

_NO_TLS = re.compile(
    r"rejected SSL|does not support SSL|offers no TLS|SSL negotiation|WRONG_VERSION_NUMBER"
)
_UNTRUSTED = re.compile(r"certificate verify failed|CERTIFICATE_VERIFY_FAILED|server certificate")
"""What the drivers say when TLS is what fails."""


def explain(error: BaseException, shown: str, tells: str, trust: str) -> None:
    """Note on an error of the network where the database is, and what to look at first.

    Args:
        error: the error.
        shown: the URL of the database, without its password.
        tells: a command that tells whether a server listens there.
        trust: the options with which an authority is trusted.
    """
    if not error.args:
        # asyncio's, at the end of a time limit.
        error.args = ("No answer came in time",)
    advice = f"Does a server listen there, and can it be reached from here? `{tells}` tells."
    if descriptors.are_used_up(error):
        advice = descriptors.ADVICE
    elif _UNTRUSTED.search(str(error)):
        advice = (
            "The server's certificate is for another name, or signed by an authority that is not "
            f"trusted here. Name the authority: {trust}"
        )
    elif _NO_TLS.search(str(error)):
        advice = (
            "The server there offers no TLS, or is no database's. Where nobody can listen in, do "
            "without: ?ssl=false"
        )
    error.add_note(f"The database is {shown}\n{advice}")
