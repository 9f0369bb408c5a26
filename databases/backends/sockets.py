"""What neither asyncio nor the drivers do with the sockets of connections."""

from __future__ import annotations

import select
import socket
from typing import Any

_READ = 65_536
"""Bytes."""

_KEPT_ALIVE = {
    # After so many seconds without a word the peer's machine is asked whether it is there,
    "TCP_KEEPIDLE": 15,
    "TCP_KEEPALIVE": 15,  # as macOS calls it
    # every so many seconds, and after so many questions without an answer it is not.
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 3,
    # Nor is one that has not confirmed in so many milliseconds what was sent to it.
    "TCP_USER_TIMEOUT": 30_000,
}
"""Options of TCP that not every system has, and their values."""


def read_less_at_once(transport: Any) -> None:
    """Have a transport of asyncio's offer less than 256 KB to each read of its socket.

    So much memory the C library maps for each read and unmaps after it, which took a fifth to a
    third of the CPU time of a short query.
    """
    if hasattr(transport, "max_size"):
        transport.max_size = _READ


def keep_alive(descriptor: int) -> None:
    """Have the system notice within half a minute that a peer vanished without a word.

    It closes the connection then, which ends a statement that waits for the answer. By default
    that takes two hours and more. What is set differently already was asked for, and stays.
    """
    if descriptor < 0:
        return
    try:
        connection = socket.socket(fileno=descriptor)
    except OSError:
        return  # it is no socket
    try:
        _keep_alive(connection)
    except OSError:
        pass  # there is no descriptor left for one that is untouched, or it was closed already
    finally:
        connection.detach()


def _keep_alive(connection: socket.socket) -> None:
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    with socket.socket(connection.family) as untouched:
        for name, value in _KEPT_ALIVE.items():
            option = getattr(socket, name, None)
            if option is None:
                continue
            usual = untouched.getsockopt(socket.IPPROTO_TCP, option)
            if connection.getsockopt(socket.IPPROTO_TCP, option) == usual:
                connection.setsockopt(socket.IPPROTO_TCP, option, value)


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
