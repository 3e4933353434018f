"""Interceptors: a delay, and a limit of requests a second."""

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass

from starlette.responses import Response

from label_studio_sandbox._json import dumps
from label_studio_sandbox.calls import Call, Proceed
from label_studio_sandbox.errors import Refusal


@dataclass(frozen=True, slots=True)
class Latency:
    """Delays every answer by `seconds`."""

    seconds: float

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """Return the answer after the delay."""
        await asyncio.sleep(self.seconds)
        return await proceed()


class Throttle:
    """Allows each token at most `rate` requests in any second, and refuses others with the framework's message.

    Args:
        rate: Requests a second.
        header: Whether a refusal has a `Retry-After`; without it, only the message says how long to wait.
    """

    def __init__(self, rate: float, *, header: bool = True) -> None:
        self._header = header
        self._allowed = max(1, int(rate))
        self._window = self._allowed / rate
        self._seen: dict[bytes, deque[float]] = {}

    async def __call__(self, call: Call, proceed: Proceed) -> Response:
        """The answer, or a 429 that says how long to wait."""
        key = call.headers.get(b"x-api-key") or call.headers.get(b"authorization", b"")
        seen = self._seen.setdefault(key, deque())
        now = time.monotonic()
        while seen and seen[0] <= now - self._window:
            seen.popleft()
        if len(seen) < self._allowed:
            seen.append(now)
            return await proceed()
        wait = max(1, math.ceil(seen[0] + self._window - now))
        detail = f"Request was throttled. Expected available in {wait} second{'s' if wait > 1 else ''}."
        call.trace.faults.append("429")
        headers = {"Retry-After": str(wait)} if self._header else {}
        return Response(dumps(Refusal(429, detail).body()), 429, headers, "application/json")
