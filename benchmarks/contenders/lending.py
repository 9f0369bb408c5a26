"""Lends connections to tasks, as little as can be done: the limit of what a pool could reach."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

CONNECTIONS = 10


class Lending(Generic[T]):
    """Lends out what came back last.

    Args:
        connections: those that are lent, to one task each.
    """

    def __init__(self, connections: Iterable[T]) -> None:
        self._free: asyncio.LifoQueue[T] = asyncio.LifoQueue()
        for connection in connections:
            self._free.put_nowait(connection)

    def __call__(self) -> _Lent[T]:
        """Lend one, in a ``async with`` block."""
        return _Lent(self._free)


class _Lent(Generic[T]):
    __slots__ = ("_connection", "_free")

    def __init__(self, free: asyncio.LifoQueue[T]) -> None:
        self._free = free

    async def __aenter__(self) -> T:
        self._connection = await self._free.get()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        self._free.put_nowait(self._connection)
