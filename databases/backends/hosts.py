"""Which of several hosts a connection is opened to: the one that has the role that is asked for.

The one that served last is asked first. Where it is gone, is another one's standby by now, or takes
its time, all others are asked at once, and the first that fits is taken. So the primary is found,
and found again after a failover, and a host that swallows packets holds nobody up for long.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any

from databases.backends.link import Role, adopted
from databases.backends.pool_options import number
from databases.exceptions import ConnectionFailureError, UnknownOptionError, combined, shortened
from databases.url import host_and_port

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from databases.backends.link import Driver, Link
    from databases.url import Host

_USABLE = frozenset({Role.PRIMARY, Role.READ_ONLY, Role.STANDBY})

_WANTED = {
    "any": _USABLE,
    "read-write": frozenset({Role.PRIMARY}),
    "read-only": frozenset({Role.READ_ONLY, Role.STANDBY}),
    "primary": frozenset({Role.PRIMARY, Role.READ_ONLY}),
    "standby": frozenset({Role.STANDBY}),
    "prefer-standby": _USABLE,
}
"""What ``target_session_attrs`` asks for. Source: PostgreSQL's documentation, 34.1.2."""

_HEAD_START = 0.25
"""Seconds for which the host that served last is asked alone, and a second choice is held back; and
for which those that come late may still come.
Source: RFC 8305, 5, "Connection Attempt Delay"."""

_FAREWELL = 5.0
"""Seconds that it may take to take leave of a server that was not chosen."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where connections go to.

    Args:
        hosts: those that there are, in the order in which they are asked.
        wanted: the role that the server must have: one of libpq's ``target_session_attrs``.
        timeout: seconds for which a host is waited for.
        shuffled: whether they are asked in any order.
    """

    hosts: tuple[Host, ...] = ((None, None),)
    wanted: str = "any"
    timeout: float | None = None
    shuffled: bool = False

    @property
    def readonly(self) -> bool:
        """Whether a server is meant that takes no writes."""
        return self.wanted in ("read-only", "standby", "prefer-standby")

    @classmethod
    def take(
        cls, hosts: tuple[Host, ...], given: dict[str, Any], connect_timeout: Any, usual: float
    ) -> Target:
        """Take the options for several hosts out of those that were given.

        Args:
            hosts: those of the URL.
            given: the options.
            connect_timeout: the seconds that were given for connecting, if any; 0 for no limit.
            usual: those without, where there is one host.

        Raises:
            UnknownOptionError: for a word that is none of libpq's.
        """
        # Whoever names several hosts has a primary somewhere among them.
        default = "read-write" if len(hosts) > 1 else "any"
        wanted = _word(given, "target_session_attrs", _WANTED, default)
        balanced = _word(given, "load_balance_hosts", ("disable", "random"), "disable")
        seconds = 10.0 if len(hosts) > 1 else usual
        if connect_timeout is not None:
            seconds = number("connect_timeout", connect_timeout, 0)
        return cls(hosts, wanted, seconds or None, balanced == "random")


def _word(given: dict[str, Any], name: str, choice: Any, default: str) -> str:
    word = given.pop(name, default)
    if word not in [*choice]:
        raise UnknownOptionError(f"The option {name} is one of {', '.join(choice)}, not {word!r}")
    return str(word)


class Hosts:
    """Opens connections to the host that fits.

    Args:
        driver: opens one to the host that it is told.
        target: where they go to.
    """

    def __init__(self, driver: Driver, target: Target) -> None:
        self._driver = driver
        self._target = target
        # With a single host of any role nothing is asked and nothing is raced.
        self._asks = len(target.hosts) > 1 or target.wanted != "any"
        self._last: Host | None = None
        self._leaving: set[asyncio.Task[Any]] = set()
        self._late: set[asyncio.Task[Any]] = set()

    async def connect(self) -> Link:
        """Open a connection.

        Raises:
            ConnectionFailureError: where no host fits; it says of each why.
        """
        if not self._asks:
            return await self._driver.connect(self._target.hosts[0])
        asked: dict[asyncio.Task[tuple[Link, Role]], Host] = {}
        found: dict[Host, tuple[Link, Role]] = {}
        failed: dict[Host, Exception] = {}
        first, *others = self._in_order()
        try:
            asked[self._ask(first)] = first
            while asked and self._chosen(found) is None:
                spare = self._chosen(found, second=True) is not None
                patience = _HEAD_START if others or spare else None
                done, _ = await asyncio.wait(
                    asked, timeout=patience, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    host = asked.pop(task)
                    try:
                        found[host] = task.result()
                    except Exception as error:
                        failed[host] = error
                if spare and not done and not others:
                    break
                if self._chosen(found) is None:
                    asked.update({self._ask(host): host for host in others})
                    others = []
            chosen = self._chosen(found) or self._chosen(found, second=True)
            if chosen is not None:
                self._last = chosen
                return found.pop(chosen)[0]
            roles = {host: role for host, (_, role) in found.items()}
            raise self._failure(failed, roles)
        finally:
            for link, _ in found.values():
                self._leave(link)
            for task in asked:
                # Cancelled at once, while it is about to answer, asyncpg leaves an error behind
                # that nobody can retrieve.
                asyncio.get_running_loop().call_later(_HEAD_START, task.cancel)
                self._late.add(task)
                task.add_done_callback(self._came_late)

    async def is_well(self, link: Link) -> bool:
        """Whether the server of a connection answers, and has the role that is asked for still."""
        await link.ping()
        return not self._asks or await link.role() in _WANTED[self._target.wanted]

    def is_deposed(self, error: BaseException) -> bool:
        """Whether a server says by an error that it is no longer what was asked for."""
        role = self._driver.role_told(error)
        if role is None or not self._asks:
            return False
        return role is Role.UNREADY or self.follow_primary

    @property
    def follow_primary(self) -> bool:
        """Whether the one that is the primary at present is asked for."""
        return self._asks and self._target.wanted in ("read-write", "primary")

    async def close(self) -> None:
        """Wait until leave is taken of all servers that were not chosen."""
        loop = asyncio.get_running_loop()
        for task in [task for task in self._late if task.get_loop() is loop]:
            task.cancel()
        while leaving := [t for t in self._leaving | self._late if t.get_loop() is loop]:
            await asyncio.wait(leaving)

    def _in_order(self) -> list[Host]:
        hosts = list(dict.fromkeys(self._target.hosts))  # one that is named twice is asked once
        if self._target.shuffled:
            random.shuffle(hosts)
        else:
            hosts.sort(key=lambda host: host != self._last)
        return hosts

    def _ask(self, host: Host) -> asyncio.Task[tuple[Link, Role]]:
        return asyncio.get_running_loop().create_task(self._open(host))

    async def _open(self, host: Host) -> tuple[Link, Role]:
        """Open a connection to one host, and ask what it is."""
        seconds = self._target.timeout
        try:
            async with asyncio.timeout(seconds):
                link = await self._driver.connect(host)
                try:
                    return link, await link.role()
                except BaseException:
                    link.terminate()
                    raise
        except TimeoutError as error:
            limit = "" if seconds is None else f" in {seconds:g} s"
            text = f"{_place(host)} did not answer{limit}"
            raise combined(ConnectionFailureError, TimeoutError)(text) from error

    def _chosen(
        self, found: Mapping[Host, tuple[Link, Role]], *, second: bool = False
    ) -> Host | None:
        """The first host that fits, or with ``second`` one that does where none fits better."""
        wanted = _WANTED[self._target.wanted]
        if self._target.wanted == "prefer-standby" and not second:
            wanted = _WANTED["standby"]
        return next((host for host, (_, role) in found.items() if role in wanted), None)

    def _leave(self, link: Link) -> None:
        leaving = asyncio.get_running_loop().create_task(_farewell(link))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _came_late(self, task: asyncio.Task[tuple[Link, Role]]) -> None:
        """Take leave of a server that answered when another one was chosen, if it did."""
        self._late.discard(task)
        if not task.cancelled() and task.exception() is None:
            self._leave(task.result()[0])

    def _failure(
        self, failed: Mapping[Host, Exception], roles: Mapping[Host, Role]
    ) -> BaseException:
        hosts = self._target.hosts
        errors = [adopted(self._driver, failed[host]) for host in hosts if host in failed]
        if len(hosts) == len(errors) == 1:
            return errors[0]
        wanted = f"target_session_attrs={self._target.wanted}"
        said = [
            f"{_place(host)} {roles[host].value if host in roles else _in_words(failed[host])}"
            for host in hosts
        ]
        text = f"No host is what {wanted} asks for:\n  " + "\n  ".join(said)
        away = [isinstance(error, ConnectionFailureError) for error in errors]
        # What a server refuses (a wrong password) tells more than that another one is away. Where
        # others let us in it is about itself: a standby that has not come as far.
        tells = bool(roles) or all(away)
        if tells not in away:
            return ConnectionFailureError(text)
        error = errors[away.index(tells)]
        error.add_note(text)
        return error


async def _farewell(link: Link) -> None:
    try:
        async with asyncio.timeout(_FAREWELL):
            await link.close()
    except Exception:
        pass  # what cannot be told goodbye is dropped
    finally:
        link.terminate()


def _place(host: Host) -> str:
    return host_and_port(*host) or "the default host"


def _in_words(error: BaseException) -> str:
    """What became of an attempt to connect, behind the name of its host."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "refused the connection"
        cause = cause.__cause__
    if isinstance(error, TimeoutError):
        return str(error).partition(" ")[2]
    return f"failed: {shortened(error)}"
