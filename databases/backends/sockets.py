"""What neither asyncio nor the drivers do with the sockets of connections."""

from __future__ import annotations

import select
import socket
from typing import Any

_READ = 65_536
"""Bytes."""


def read_less_at_once(transport: Any) -> None:
    """Have a transport of asyncio's offer less than 256 KB to each read of its socket.

    So much memory the C library maps for each read and unmaps after it, which took a fifth to a
    third of the CPU time of a short query.
    """
    if hasattr(transport, "max_size"):
        transport.max_size = _READ


def has_news(descriptor: int) -> bool:
    """Whether something came on an idle connection: its end, and the server's last words."""
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def shut(transport: Any) -> None:
    """End a connection whose event loop is closed, and with it what would close the socket."""
    try:
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already
