"""Descriptors: a process may have only so many files and sockets open at a time."""

from __future__ import annotations

import errno
import os

ADVICE = (
    "This process has no descriptor left for another file or socket: close what is not needed, "
    "make the pools smaller, or allow more (`ulimit -n`; LimitNOFILE= of systemd)."
)


def are_used_up(error: BaseException) -> bool:
    """Whether something could not be opened for lack of them."""
    if os.strerror(errno.EMFILE) in str(error):
        return True
    # libpq and SQLite do not say why.
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as refused:
        return refused.errno in (errno.EMFILE, errno.ENFILE)
    return False
