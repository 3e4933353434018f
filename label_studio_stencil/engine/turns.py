"""Limits how many rows import their tasks at the same time, so that what was read about their projects stays fresh."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from label_studio_stencil.labelstudio.pacing import IMPORT, Pacer

#: Most rows whose tasks are imported at the same time. If the batch is killed, at most so many rows are left uncertain.
MOST = 8
#: Most seconds for which a row that has its turn waits for the rate of imports.
_SECONDS = 2.0
#: Requests that a row with tasks sends.
_REQUESTS = 4
#: If imports limit the batch, no more rows are created while more than this many wait for a turn.
_FEW = 8
#: Rows that are created before a look, for each import (or four requests) a second, so that they get their turns while the look
#: is fresh.
_WINDOW = 14


class Turns:
    """Gives rows their turns in the order in which they ask, at most as many at a time as can import within two seconds.

    Args:
        pacer: How fast requests and imports may leave.
    """

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._short = asyncio.Event()
        self._short.set()

    def _most(self) -> int:
        rate = min(self._pacer.rate, _SECONDS * self._pacer.rate_of(IMPORT))
        return max(1, int(min(self._pacer.max_concurrency, MOST, rate)))

    async def take(self) -> None:
        """Wait for a turn, which `give_back` ends."""
        if not self._waiting and self._taken < self._most():
            self._taken += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._note()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(turn)
            self._note()

    def give_back(self) -> None:
        """End a turn."""
        self._taken -= 1
        while self._waiting and self._taken < self._most():
            turn = self._waiting.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A turn."""
        await self.take()
        try:
            yield
        finally:
            self.give_back()

    async def few_wait(self) -> None:
        """Return once few rows wait for a turn; a row that is created earlier would only wait with them."""
        await self._short.wait()

    def _note(self) -> None:
        few = _FEW if _slow_imports(self._pacer) else 0
        (self._short.set if len(self._waiting) <= few else self._short.clear)()


def window(pacer: Pacer, most: int) -> int:
    """Return how many rows of a batch with tasks share a look."""
    rows_per_second = min(pacer.rate_of(IMPORT), pacer.rate / _REQUESTS)
    return max(1, int(min(most, _WINDOW * rows_per_second)))


def _slow_imports(pacer: Pacer) -> bool:
    """Whether imports limit the batch, although each row also sends three other requests."""
    return 2 * _REQUESTS * pacer.rate_of(IMPORT) < pacer.rate
