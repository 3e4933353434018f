"""The pace of a batch: requests at once, requests per second, and pauses after a refusal, for all requests or for one path.

A rate limit concerns the whole batch, not only the row that was refused, so there is one pacer for each batch, and every
request passes through it. It needs nothing but a clock, which tests advance by hand.
"""

import asyncio
import math
import random
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from enum import IntEnum
from typing import Protocol

from label_studio_stencil.labelstudio.pace import FEW, Pace

#: Paths that have a pace of their own (`*` is an id), because the vendor's cloud limits them separately.
IMPORT = "/api/projects/*/import"
ANNOTATIONS = "/api/tasks/*/annotations"
#: If the limit of such a path is unknown, its first requests are sent one after the other: they find a limit after one refusal.
_ONE_BY_ONE = 2
#: A request to such a path joins the general queue this many intervals before it is due, to wait for the request that is about
#: to be sent and the interval after it.
_AHEAD = 2

#: A random generator of its own, so that seeding Python's global one, as tests do, stays reproducible.
_CHANCE = random.Random()


def spread(seconds: float, share: float) -> float:
    """Vary seconds randomly by up to a share in either direction, so that many waits don't end together."""
    return seconds * _CHANCE.uniform(1 - share, 1 + share)


class Clock(Protocol):
    """A source of time that can also sleep."""

    def now(self) -> float:
        """Seconds on a monotonic clock."""

    def wall(self) -> datetime:
        """The current date and time, with a time zone."""

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds on the machine's monotonic clock."""
        return time.monotonic()

    def wall(self) -> datetime:
        """The current date and time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed; other tasks run meanwhile."""
        await asyncio.sleep(seconds)


class Turn(IntEnum):
    """The priority of a waiting request; requests of equal priority are sent in the order in which they came."""

    NOW = 0
    """Depends on a reading that is soon too old: a deletion, an import."""
    NEXT = 1
    """Others wait for it: a read."""
    SOON = 2
    """Ends work that was begun, before the look behind it is too old: a PATCH."""
    LATER = 3
    """Begins work: a create."""


#: A further limit that each request waits for.
Toll = Callable[[], Awaitable[None]]

_EAGER = (Turn.NOW, Turn.NEXT, Turn.LATER, Turn.SOON)

_Line = deque[asyncio.Future[None]]


class _Lane:
    """The queue of a path with a pace of its own; requests that wait in it don't hold up others."""

    def __init__(self, pattern: str, requests_per_second: float) -> None:
        self._paths = re.compile("/[^/]+/".join(map(re.escape, pattern.split("/*/"))))
        self.pace = Pace(requests_per_second)
        self.line = asyncio.Lock()
        self.answered = 0

    def takes(self, path: str) -> bool:
        """Whether a path belongs to this queue."""
        return self._paths.fullmatch(path) is not None

    def is_new(self, now: float) -> bool:
        """Whether the limit of the path is unknown and not tested yet."""
        return self.answered < _ONE_BY_ONE and self.pace.rate(now) == math.inf


class Pacer:
    """Sends requests one by one, by priority, as fast as the limits allow.

    - At most `max_concurrency` requests are under way at once, or `max_reads` if that is more and all of them are reads.
    - At a rate of N a second, requests are evenly spaced, and never more than N are sent in any second.
    - A pause holds back all requests that have not been sent yet.
    - Imports and annotations also have a pace and pauses of their own: a refused one holds back and slows down only its path.

    A pause follows a refusal, so the pacer also slows down, as `Pace` describes. In simulations of servers with a limit of 15
    a second, of any kind, one request in 200 to 500 was refused once the limit was found, and a batch took 1.02 to 1.1 times
    as long as the limit implies.

    Args:
        max_concurrency: Most requests at once.
        max_reads: Most reads at once while nothing else is under way; by default `max_concurrency`.
        requests_per_second: The highest rate; 0 for no limit.
        path_rates: The highest rates of `IMPORT` and `ANNOTATIONS`; no limit for a missing one.
        clock: The clock to use.
        toll: Awaited before each request is sent, one at a time, for a limit that is shared with other processes.

    Attributes:
        paused_for: Total seconds of pauses; overlapping pauses of one pace count once.
        pauses: Number of pauses; one that ends within another is not counted.
        paused: Called with the length of each pause, in seconds, unless it ends within another one.
        eager: Whether requests of `Turn.LATER` are sent before those of `Turn.SOON`.

    Raises:
        ValueError: `max_concurrency` is less than 1.
    """

    def __init__(
        self,
        *,
        max_concurrency: int = 4,
        max_reads: int = 0,
        requests_per_second: float = 0,
        path_rates: Mapping[str, float] | None = None,
        clock: Clock | None = None,
        toll: Toll | None = None,
    ) -> None:
        self._pace = Pace(requests_per_second, FEW)
        self._lanes = [_Lane(path, (path_rates or {}).get(path, 0.0)) for path in (IMPORT, ANNOTATIONS)]
        self.paused_for = 0.0
        self.pauses = 0
        self.paused: Callable[[float], None] = lambda seconds: None
        self.eager = False
        self.clock: Clock = clock or SystemClock()
        self._toll = toll
        self._leaving = False
        self._waiting: dict[Turn, _Line] = {turn: deque() for turn in Turn}
        self._writes_out = 0
        self._max_reads = max_reads
        self.max_concurrency = max_concurrency

    @property
    def max_concurrency(self) -> int:
        """Most requests at once; may be changed at any time."""
        return self._max_concurrency

    @max_concurrency.setter
    def max_concurrency(self, number: int) -> None:
        if number < 1:
            raise ValueError(f"max_concurrency must be at least 1, not {number}")
        self._max_concurrency = number
        self._admit()

    @property
    def max_reads(self) -> int:
        """Most reads at once while nothing else is under way; may be changed at any time."""
        return max(self._max_reads, self._max_concurrency)

    @max_reads.setter
    def max_reads(self, number: int) -> None:
        self._max_reads = number
        self._admit()

    def slot(self, turn: Turn = Turn.LATER, path: str = "") -> AbstractAsyncContextManager[None]:
        """Hold a place for a request; entering waits for the place, the rates and the end of a pause.

        Args:
            turn: The request's priority.
            path: The request's path, which may have a pace of its own.
        """
        lane = self._lane(path)
        return self._slot(turn) if lane is None else self._slot_of(lane, turn)

    def pause(self, seconds: float, path: str = "") -> None:
        """Hold back requests that have not been sent yet. Of two pauses the one that ends later counts.

        Args:
            seconds: Length of the pause.
            path: The path that was refused. If it has a pace of its own, only its requests are held back.
        """
        lane = self._lane(path)
        longer = (self._pace if lane is None else lane.pace).refuse(self.clock.now(), seconds)
        self.paused_for += longer
        if longer > 0:
            self.pauses += 1
            self.paused(seconds)

    @property
    def rate(self) -> float:
        """Current limit in requests per second, which refusals lower; infinity if there is none."""
        return self._pace.rate(self.clock.now())

    def rate_of(self, path: str) -> float:
        """Current limit of requests to a path, in requests per second: the lower of its own and the general one."""
        lane = self._lane(path)
        return min(self.rate, self.rate if lane is None else lane.pace.rate(self.clock.now()))

    def backlog(self) -> float:
        """Seconds that the waiting requests will take at the rate of the last ten seconds, or infinity if none was sent."""
        # Of the first few requests, the rate can't be told yet.
        lately = min(self.rate, self._pace.lately(self.clock.now()))
        return sum(map(len, self._waiting.values())) / lately if lately else math.inf

    def _lane(self, path: str) -> _Lane | None:
        return next((lane for lane in self._lanes if lane.takes(path)), None)

    @asynccontextmanager
    async def _slot_of(self, lane: _Lane, turn: Turn) -> AsyncIterator[None]:
        """Hold a place for a request whose path has a pace of its own."""
        async with AsyncExitStack() as line:
            await line.enter_async_context(lane.line)
            async with self._slot(turn, lane):
                try:
                    if not lane.is_new(self.clock.now()):
                        await line.aclose()
                    yield
                finally:
                    lane.pace.out -= 1
                    lane.answered += 1

    @asynccontextmanager
    async def _slot(self, turn: Turn, lane: _Lane | None = None) -> AsyncIterator[None]:
        while not await self._left(turn, lane):
            pass
        try:
            yield
        finally:
            self._pace.out -= 1
            self._writes_out -= turn is not Turn.NEXT
            self._admit()

    async def _left(self, turn: Turn, lane: _Lane | None) -> bool:
        """Wait until the request may be sent. Returns False if its path was refused meanwhile."""
        if lane is not None:
            await self._until_due(lane.pace, early=_AHEAD)
        await self._place(turn)
        try:
            if self._toll is not None:
                await self._toll()
            await self._until_due(self._pace)
            if lane is not None:
                if lane.pace.due(now := self.clock.now()) > now + _AHEAD / self.rate:
                    return False
                await self._until_due(lane.pace)
                lane.pace.leave(self.clock.now())
            self._pace.leave(self.clock.now())
            self._writes_out += turn is not Turn.NEXT
            return True
        finally:
            self._leaving = False
            self._admit()

    async def _place(self, turn: Turn) -> None:
        """Wait until this request is the next to be sent."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn].append(admitted)
        self._admit()
        try:
            await admitted
        except asyncio.CancelledError:
            if admitted.done() and not admitted.cancelled():
                self._leaving = False
                self._admit()
            raise

    def _admit(self) -> None:
        """Let the next request go ahead if a place is free and no other one is about to be sent.

        One by one, so that the next request is chosen when it can be sent, and not earlier.
        """
        for turn in _EAGER if self.eager else Turn:
            line = self._waiting[turn]
            while line and not self._leaving:
                if line[0].done():
                    line.popleft()
                elif self._has_place(turn):
                    self._leaving = True
                    line.popleft().set_result(None)
                else:
                    # Requests behind it must wait, or reads would hold up a write for ever.
                    return

    def _has_place(self, turn: Turn) -> bool:
        only_reads = turn is Turn.NEXT and not self._writes_out
        return self._pace.out < (self.max_reads if only_reads else self._max_concurrency)

    async def _until_due(self, pace: Pace, *, early: float = 0.0) -> None:
        # A pause may begin during the sleep, so check again after each.
        while (wait := pace.due(now := self.clock.now()) - early / self.rate - now) > 0:
            await self.clock.sleep(wait)
