"""A network that fails: a proxy before a server, which delays, holds back, loses and cuts.

It runs in a thread and an event loop of its own, so that tests can block theirs.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Self

from tests.servers.processes import PATIENCE, free_port

Way = Literal["to server", "to client"]
How = Literal["RST", "FIN"]

BOTH: tuple[Way, ...] = ("to server", "to client")


class Proxy:
    """A port of this machine, behind which another one is.

    Args:
        port: where the server listens; it may be changed for connections to come.
    """

    def __init__(self, port: int) -> None:
        self.server_port = port
        self.port = 0
        self.latency = 0.0
        """Seconds, each way."""
        self.connections: list[_Connection] = []
        """Those that are open, the oldest first."""
        self.flows = {way: asyncio.Event() for way in BOTH}
        self.rule: Callable[[_Connection, Way, bytes], bytes] | None = None
        """What becomes of data that come to pass."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._listening: asyncio.Server | None = None

    def url(self, url: str) -> str:
        """The URL of a database on the server, by way of the proxy."""
        return url.replace(f":{self.server_port}/", f":{self.port}/")

    # What tests do with it.

    def stall(self, *ways: Way) -> None:
        """Hold back what comes, and that an end was closed, as where packets get lost."""
        self._do(*[self.flows[way].clear for way in ways or BOTH])

    def resume(self) -> None:
        """Let pass what was held back, and what comes."""
        self._do(*[flow.set for flow in self.flows.values()])

    def forget(self) -> None:
        """Let nothing pass on the present connections ever again, and tell nobody."""
        self._do(*[each.forget for each in self.connections])

    def cut(self, how: How = "RST", *, newest: bool = False) -> None:
        """End all connections, or the newest one."""
        self._do(*[partial(each.cut, how) for each in self.connections[-newest:]])

    def cut_after(self, count: int, how: How = "RST") -> None:
        """End the connection on which the server has said so many bytes from now on, after them."""

        def rule(connection: _Connection, way: Way, data: bytes) -> bytes:
            if way == "to server":
                return data
            said, connection.said = connection.said, connection.said + len(data)
            if connection.said < count:
                return data
            connection.end_with(how)
            return data[: count - said]

        self._set_rule(rule)

    def cut_at(self, words: bytes, how: How = "RST", *, after: int = 0) -> None:
        """End the connection on which the client says this: so many of its bytes get through."""

        def rule(connection: _Connection, way: Way, data: bytes) -> bytes:
            if way == "to client" or words not in data:
                return data
            connection.end_with(how)
            return data[: data.index(words) + after] if after else b""

        self._set_rule(rule)

    def lose_answer_to(self, words: bytes, how: How = "RST") -> None:
        """End the connection on which the client says this, once the server has answered it."""

        def rule(connection: _Connection, way: Way, data: bytes) -> bytes:
            if way == "to server":
                connection.asked = connection.asked or words in data
            elif connection.asked:
                connection.end_with(how)
                return b""
            return data

        self._set_rule(rule)

    def spare(self) -> None:
        """Cut nothing of what comes."""
        self._set_rule(None)

    def _set_rule(self, rule: Callable[[_Connection, Way, bytes], bytes] | None) -> None:
        def change() -> None:
            self.rule = rule
            for each in self.connections:
                each.said, each.asked = 0, False

        self._do(change)

    def refuse(self) -> None:
        """Take no new connections."""
        self._do(self._close_port)

    def accept(self) -> None:
        """Take new connections again."""
        self._run(self._open_port())

    # How it does that.

    def _do(self, *works: Callable[[], None]) -> None:
        async def all_of_them() -> None:
            for work in works:
                work()

        self._run(all_of_them())

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _open_port(self) -> None:
        while self._listening is None:
            port = self.port or free_port()
            try:
                self._listening = await asyncio.start_server(self._accepted, "127.0.0.1", port)
            except OSError:
                if self.port:
                    raise  # somebody has taken it meanwhile
        self.port = port

    def _close_port(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.close()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection(self, reader, writer)
        self.connections.append(connection)
        try:
            await connection.run()
        finally:
            self.connections.remove(connection)

    def __enter__(self) -> Self:
        self._thread.start()
        self.resume()
        self.accept()
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()
        self._run(self._ended())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _ended(self) -> None:
        # One may have been accepted that is no connection of ours yet.
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for each in self.connections:
                each.cut("RST")
            await asyncio.wait(tasks, timeout=0.01)


class _Connection:
    """A connection of a client's, and the one to the server that it stands for."""

    def __init__(
        self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.forgotten = False
        self.said = 0
        self.asked = False
        self._proxy = proxy
        self._client = reader, writer
        self._writers = [writer]
        self._end: How | None = None
        self._work: asyncio.Future[Any] | None = None

    async def run(self) -> None:
        """Let pass what comes until both ends are closed, or it is cut."""
        self._work = asyncio.ensure_future(self._pass_all())
        try:
            await asyncio.wait([self._work])
            how = "RST" if self._work.cancelled() or self._work.exception() else "FIN"
            self._close(self._end or how)
        finally:
            self._work.cancel()

    def forget(self) -> None:
        """Let nothing pass any more."""
        self.forgotten = True

    def end_with(self, how: How) -> None:
        """End it as soon as what is passed at this moment has passed."""
        self._end = how
        self._proxy.rule = None

    def cut(self, how: How) -> None:
        """End it."""
        self._end = self._end or how
        if self._work is not None:
            self._work.cancel()

    def _close(self, how: str) -> None:
        for writer in self._writers:
            if how == "RST" and not writer.transport.is_closing():
                # No time to linger: the other end gets a reset.
                connected: socket.socket = writer.get_extra_info("socket")
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            else:
                writer.close()

    async def _pass_all(self) -> None:
        # A server knows nothing of clients of whom it never hears.
        await self._proxy.flows["to server"].wait()
        server = await asyncio.open_connection("127.0.0.1", self._proxy.server_port)
        self._writers.append(server[1])
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(self._client[0], server[1], "to server"))
            both.create_task(self._pass(server[0], self._client[1], "to client"))

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, way: Way
    ) -> None:
        arriving: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue()
        async with asyncio.TaskGroup() as both:
            both.create_task(self._read(source, arriving))
            while True:
                due, data = await arriving.get()
                await asyncio.sleep(due - self._proxy._loop.time())
                await self._proxy.flows[way].wait()
                if self.forgotten:
                    await asyncio.Event().wait()
                if data is None:
                    raise ConnectionResetError
                if not data:
                    target.write_eof()
                    return
                rule = self._proxy.rule
                target.write(data if rule is None else rule(self, way, data))
                await target.drain()
                if self._end is not None:
                    raise ConnectionAbortedError

    async def _read(
        self, source: asyncio.StreamReader, arriving: asyncio.Queue[tuple[float, bytes | None]]
    ) -> None:
        """Read all that comes, whatever becomes of it; None stands for a reset."""
        data: bytes | None = b"more"
        while data:
            try:
                data = await source.read(65_536)
            except OSError:
                data = None
            arriving.put_nowait((self._proxy._loop.time() + self._proxy.latency, data))
