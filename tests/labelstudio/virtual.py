"""A clock that stands still until everything waits, and then jumps to whoever waits shortest."""

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

#: Turns of the event loop without a new sleeper after which everything is taken to wait.
QUIET_TURNS = 20


class VirtualClock:
    """A `Clock` whose sleeps end at once in real time, in the order in which they would end."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._order = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> datetime:
        return datetime(2026, 11, 24, 12, tzinfo=UTC) + timedelta(seconds=self._now - 1000)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future = asyncio.get_running_loop().create_future()
        self._order += 1
        heapq.heappush(self._sleepers, (self._now + max(0, seconds), self._order, future))
        await future

    @asynccontextmanager
    async def running(self) -> AsyncIterator["VirtualClock"]:
        """Let the time pass while the block waits."""
        driver = asyncio.create_task(self._drive())
        try:
            yield self
        finally:
            driver.cancel()
            with suppress(asyncio.CancelledError):
                await driver

    async def _drive(self) -> None:
        while True:
            known = self._order
            for _ in range(QUIET_TURNS):
                await asyncio.sleep(0)
            if self._order == known and self._sleepers:
                self._now, _, future = heapq.heappop(self._sleepers)
                if not future.done():
                    future.set_result(None)
