"""A bound on what one request may send, so that none can fill the memory."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Many times what the longest name takes.
MAX_BODY_SIZE = 64 * 1024


class BodyLimit:
    """Fails a request with 413 when its body turns out too large.

    Starlette has such a limit, but answers in plain text where the size is announced.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what arrives."""
        received = 0

        async def receive_limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MAX_BODY_SIZE:
                raise HTTPException(413)
            return message

        await self.app(scope, receive_limited, send)
