"""Answers of a server that fails.

Those that break the connection are responses too: an interceptor returns them, and they break it when they are
sent. They find the request's `Connection` in the scope's state under `CONNECTION`; `Refused` also needs the `Edge` under
`EDGE`.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from label_studio_sandbox._json import dumps
from label_studio_sandbox.errors import Refusal
from label_studio_sandbox.faults.model import Fault

#: Where the server leaves the `Connection` in the state of a scope.
CONNECTION = "connection"
#: Where the server leaves its `Edge` in the state of a scope.
EDGE = "edge"
#: Names of the statuses that nginx answers with a page of its own.
_NAMES = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}
_PAGE = (
    "<html>\r\n<head><title>{name}</title></head>\r\n<body>\r\n<center><h1>{name}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_SIGN_IN = (
    '<!DOCTYPE html>\n<html lang="en"><head><title>Sign in</title></head><body><h1>Your session has ended</h1>\n'
    '<form method="post" action="/sso/login"><button>Sign in again</button></form></body></html>\n'
)
#: Number of pieces of a slow answer.
_PIECES = 8


@dataclass(slots=True)
class Connection:
    """The connection of a request.

    Attributes:
        held: Whether its answer only waits for the client or the clock, so that a server that stops may close the connection.
    """

    transport: asyncio.Transport
    held: bool = False


class Edge(Protocol):
    """The socket that accepts connections."""

    def refuse(self, seconds: float) -> None:
        """Stop listening for some seconds, and close all connections."""


class Lost(Response):
    """No answer: the connection is closed."""

    def __init__(self) -> None:
        super().__init__(status_code=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End the connection."""
        await _hang_up(scope, receive)


class Refused(Lost):
    """No answer, and no connection for a while: nothing listens any more."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse connections from now on."""
        edge: Edge | None = scope.get("state", {}).get(EDGE)
        if edge is not None:
            edge.refuse(self._seconds)
        await super().__call__(scope, receive, send)


class Held(Response):
    """No answer, and nothing that would tell the client so: it has to give up by itself."""

    def __init__(self) -> None:
        super().__init__(status_code=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Nothing, once the client has gone."""
        _hold(scope)
        await _gone(receive)


class Truncated(Response):
    """The first half of another answer, under the length of the whole; then the connection is closed."""

    def __init__(self, whole: Response) -> None:
        super().__init__(status_code=whole.status_code)
        self.body, self.raw_headers = whole.body, whole.raw_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send half of the answer, or nothing if it has no body."""
        if self.body:
            await _start(self, send)
            half = bytes(self.body[: len(self.body) // 2])
            await send({"type": "http.response.body", "body": half, "more_body": True})
        await _hang_up(scope, receive)


class Slow(Response):
    """Another answer, its body in pieces over `seconds`: no single wait is long enough for a read's timeout."""

    def __init__(self, whole: Response, seconds: float) -> None:
        super().__init__(status_code=whole.status_code)
        self.body, self.raw_headers = whole.body, whole.raw_headers
        self._pause = seconds / _PIECES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, unless the client has gone."""
        _hold(scope)
        await _start(self, send)
        body = bytes(self.body)
        size = -(-len(body) // _PIECES) or 1
        for piece in range(_PIECES):
            if await _gone(receive, self._pause):
                return
            part = body[piece * size : (piece + 1) * size]
            await send({"type": "http.response.body", "body": part, "more_body": piece + 1 < _PIECES})
        _hold(scope, held=False)


class Trickle(Response):
    """Another answer, a byte every `seconds`: long before its end every client with a deadline has given up."""

    def __init__(self, whole: Response, seconds: float) -> None:
        super().__init__(status_code=whole.status_code)
        self.body, self.raw_headers = whole.body, whole.raw_headers
        self._pause = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, unless the client has gone."""
        _hold(scope)
        await _start(self, send)
        body = bytes(self.body)
        for place in range(len(body)):
            if await _gone(receive, self._pause):
                return
            await send({"type": "http.response.body", "body": body[place : place + 1], "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        _hold(scope, held=False)


def answer_of(fault: Fault, skew: float = 0) -> Response:
    """Return the answer for a request with this fault.

    Args:
        fault: The fault.
        skew: Seconds by which the server's clock is ahead.
    """
    match fault.answer:
        case "refused":
            return Refused(fault.parameter("seconds"))
        case "lost":
            return Lost()
        case "held":
            return Held()
        case "html":
            return Response(_SIGN_IN, 200, media_type="text/html")
        case "500":
            return refused(Refusal(500, "database is locked"))
        case "429":
            wait = int(fault.parameter("retry_after"))
            detail = f"Request was throttled. Expected available in {wait} second{'' if wait == 1 else 's'}."
            return refused(Refusal(429, detail, headers=_retry_after(fault, skew)))
        case "503":
            return _page(503, {} if fault.moment == "down" else _retry_after(fault, skew))
        case status:
            return _page(int(status), {})


def refused(refusal: Refusal) -> Response:
    """A refusal in the server's own shape."""
    return Response(dumps(refusal.body()), refusal.status, refusal.headers, "application/json")


def _page(status: int, headers: dict[str, str]) -> Response:
    page = _PAGE.format(name=_NAMES[status])
    return Response(page, status, {"Server": "nginx"} | headers, "text/html")


def _retry_after(fault: Fault, skew: float) -> dict[str, str]:
    seconds = int(fault.parameter("retry_after"))
    if seconds < 0 or (fault.answer == "429" and not fault.parameter("header")):
        return {}
    if not fault.parameter("date"):
        return {"Retry-After": str(seconds)}
    return {"Retry-After": formatdate(math.ceil(time.time() + skew + seconds), usegmt=True)}


async def _start(response: Response, send: Send) -> None:
    headers = list(response.raw_headers)
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})


async def _hang_up(scope: Scope, receive: Receive) -> None:
    connection = _connection(scope)
    if connection is None:
        # Under another server there is no connection to close; its own way of ending a request badly has to do.
        raise ConnectionAbortedError("the sandbox dropped the connection")
    connection.transport.close()
    # The server says an error aloud where it finds a request without an answer before it finds the connection closed.
    await _gone(receive)


def _hold(scope: Scope, *, held: bool = True) -> None:
    if (connection := _connection(scope)) is not None:
        connection.held = held


def _connection(scope: Scope) -> Connection | None:
    connection = scope.get("state", {}).get(CONNECTION)
    return connection if isinstance(connection, Connection) else None


async def _gone(receive: Receive, seconds: float | None = None) -> bool:
    """Whether the client has gone, waited for by that many seconds at most."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
