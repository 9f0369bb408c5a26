"""A client of a service: one connection, kept open, one request at a time."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    content: Any


class HTTPClient:
    """A client of the service at a port of this machine.

    Args:
        port: where it listens.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, content: object = None) -> Answer:
        """Send a request, and return the answer.

        Raises:
            OSError: where there is no answer, or not the whole of it.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        body = b"" if content is None else json.dumps(content).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        try:
            writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            answered = await reader.readexactly(int(headers.get("content-length", 0)))
        except BaseException as error:
            self.close()
            if isinstance(error, EOFError):
                raise ConnectionResetError("the service closed the connection") from error
            raise
        return Answer(int(lines[0].split()[1]), headers, json.loads(answered or b"null"))

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
