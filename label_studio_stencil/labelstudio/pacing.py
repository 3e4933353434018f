"""How fast a batch may ask: requests at once, requests per second, and the pause that a refusal asks of all, or of one path.

A server that refuses for being asked too fast speaks to the whole batch, not to the row it refused, so there
is one pacer for each batch and every request passes through it. Needs nothing but a clock, which tests turn
by hand.
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

from label_studio_stencil.labelstudio.pace import Pace

#: Paths that have a pace of their own, `*` for an id: the vendor's cloud limits them apart from all others.
IMPORT = "/api/projects/*/import"
ANNOTATIONS = "/api/tasks/*/annotations"
#: Requests to such a path that go one after the other at first, where its limit is not known: where there is one, they find it
#: at the price of one refusal.
_ONE_BY_ONE = 2
#: Intervals of all requests by which one to such a path asks for its place before it is due: it waits for one that is about
#: to leave, and for the time after that.
_AHEAD = 2

#: A source of its own: whoever seeds Python's global one, as tests do, would find it drawn from by another thread.
_CHANCE = random.Random()


def spread(seconds: float, share: float) -> float:
    """Seconds that differ at random by up to a share either way, so that many who wait don't come back together."""
    return seconds * _CHANCE.uniform(1 - share, 1 + share)


class Clock(Protocol):
    """The time, and a way to let it pass."""

    def now(self) -> float:
        """Seconds on a monotonic clock."""

    def wall(self) -> datetime:
        """The present date and time, with a time zone."""

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """Seconds on the machine's monotonic clock."""
        return time.monotonic()

    def wall(self) -> datetime:
        """The present date and time in UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed; other tasks run meanwhile."""
        await asyncio.sleep(seconds)


class Turn(IntEnum):
    """Which of the requests that wait for a place goes first; of equals, the one that came first."""

    NOW = 0
    """What was decided by a reading of a moment ago, which is soon too old for it: a deletion, an import."""
    NEXT = 1
    """What others wait for: a read."""
    SOON = 2
    """What ends work that was begun, before the look that it was decided by grows old: a PATCH."""
    LATER = 3
    """What begins work: a create."""


#: What a request waits for besides.
Toll = Callable[[], Awaitable[None]]

_EAGER = (Turn.NOW, Turn.NEXT, Turn.LATER, Turn.SOON)

_Line = deque[asyncio.Future[None]]


class _Lane:
    """The line before a path with a pace of its own: who waits here takes no place from others."""

    def __init__(self, pattern: str, requests_per_second: float) -> None:
        self._paths = re.compile("/[^/]+/".join(map(re.escape, pattern.split("/*/"))))
        self.pace = Pace(requests_per_second)
        self.line = asyncio.Lock()
        self.answered = 0

    def takes(self, path: str) -> bool:
        """Whether a path is this one's."""
        return self._paths.fullmatch(path) is not None

    def is_new(self, now: float) -> bool:
        """Whether nothing is known yet of what the server takes."""
        return self.answered < _ONE_BY_ONE and self.pace.rate(now) == math.inf


class Pacer:
    """Lets requests out one by one, each in its turn, as fast as its limits allow.

    - At most `max_concurrency` requests are out at once; while only reads are, as many as `max_reads` if that is more.
    - At a rate of N a second, requests leave evenly spaced, and never more than N in any second.
    - A pause holds back everything that has not left yet.
    - Imports and annotations have a pace and pauses of their own besides: one that was refused holds back and slows down its
      path alone.

    A pause is a refusal, so the pacer also slows down, as `Pace` says. In simulations of servers with a limit of 15 a second,
    of any kind, one request in 200 to 500 was refused once the limit was found, and a batch took 1.02 to 1.1 times as long as
    the limit implies.

    Args:
        max_concurrency: Requests that may be out at once.
        max_reads: Reads that may be out at once while nothing else is; by default no more than `max_concurrency`.
        requests_per_second: The highest rate; 0 is none.
        path_rates: The highest rates of `IMPORT` and `ANNOTATIONS`; none where left out.
        clock: What tells the time and sleeps.
        toll: Awaited by each request before it leaves, one at a time: a limit that is shared with others elsewhere.

    Attributes:
        paused_for: Seconds that pauses took in all; where two of one pace overlap the time counts once.
        pauses: How many there were; one that ends within another counts as part of that.
        paused: Called with the seconds of each pause that makes a longer one of what is held back.
        eager: Whether what is for `Turn.LATER` goes before what is for `Turn.SOON`.

    Raises:
        ValueError: A limit makes no sense.
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
        self._pace = Pace(requests_per_second)
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
        """Requests that may be out at once; may be set at any time."""
        return self._max_concurrency

    @max_concurrency.setter
    def max_concurrency(self, number: int) -> None:
        if number < 1:
            raise ValueError(f"max_concurrency must be at least 1, not {number}")
        self._max_concurrency = number
        self._admit()

    @property
    def max_reads(self) -> int:
        """Reads that may be out at once while nothing else is; may be set at any time."""
        return max(self._max_reads, self._max_concurrency)

    @max_reads.setter
    def max_reads(self, number: int) -> None:
        self._max_reads = number
        self._admit()

    def slot(self, turn: Turn = Turn.LATER, path: str = "") -> AbstractAsyncContextManager[None]:
        """A place among the requests that are out; entering waits for it, the rates and the end of a pause.

        Args:
            turn: Before or behind which others it goes.
            path: Where to: paths that have one go at their own pace.
        """
        lane = self._lane(path)
        return self._slot(turn) if lane is None else self._slot_of(lane, turn)

    def pause(self, seconds: float, path: str = "") -> None:
        """Hold back whatever has not left yet for `seconds`; of two pauses the one that ends later counts.

        Args:
            seconds: How long.
            path: What was refused: where it has a pace of its own, nothing else is held back.
        """
        lane = self._lane(path)
        longer = (self._pace if lane is None else lane.pace).refuse(self.clock.now(), seconds)
        self.paused_for += longer
        if longer > 0:
            self.pauses += 1
            self.paused(seconds)

    @property
    def rate(self) -> float:
        """Present limit in requests per second: what was set, or less after refusals; infinite where none."""
        return self._pace.rate(self.clock.now())

    def rate_of(self, path: str) -> float:
        """Present limit of requests to a path, in requests per second: its own, or else that of all."""
        lane = self._lane(path)
        return min(self.rate, self.rate if lane is None else lane.pace.rate(self.clock.now()))

    def backlog(self) -> float:
        """Seconds that what waits for a place will take, if it goes on as in the last ten; infinite where nothing did."""
        lately = self._pace.lately(self.clock.now())
        return sum(map(len, self._waiting.values())) / lately if lately else math.inf

    def _lane(self, path: str) -> _Lane | None:
        return next((lane for lane in self._lanes if lane.takes(path)), None)

    @asynccontextmanager
    async def _slot_of(self, lane: _Lane, turn: Turn) -> AsyncIterator[None]:
        """A place for a request whose path has a pace of its own."""
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
        """Whether the request left; not where its path was refused while it waited for its place."""
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
        """Become the one that leaves next, once it is our turn."""
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
        """Let the next one leave, where a place is free and nobody else is about to.

        One by one, so that whose turn it is is decided when its time has come, and not while it is still waited for.
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
                    # Nobody behind it goes first, or reads would hold a write up for ever.
                    return

    def _has_place(self, turn: Turn) -> bool:
        only_reads = turn is Turn.NEXT and not self._writes_out
        return self._pace.out < (self.max_reads if only_reads else self._max_concurrency)

    async def _until_due(self, pace: Pace, *, early: float = 0.0) -> None:
        # A pause may begin during the sleep, so the time is asked for again after each.
        while (wait := pace.due(now := self.clock.now()) - early / self.rate - now) > 0:
            await self.clock.sleep(wait)
