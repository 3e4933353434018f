"""How fast a batch may ask: requests at once, requests per second, and the pause that a refusal asks of all.

A server that refuses for being asked too fast speaks to the whole batch, not to the row it refused, so there
is one pacer for each batch and every request passes through it. Needs nothing but a clock, which tests turn
by hand.
"""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from enum import IntEnum
from typing import Protocol

#: Part of the achieved rate that is kept after a refusal.
DECREASE = 0.95
#: Seconds after a pause in which the rate grows by `SLOW_GROWTH` a second; then by `FAST_GROWTH`, compounded.
CAUTIOUS_FOR = 30.0
SLOW_GROWTH = 1 / 600
FAST_GROWTH = 1.02
#: Seconds without a refusal after which the last one is forgotten.
FORGOTTEN_AFTER = 600.0
#: Lowest rate that refusals can bring about, in requests per second; longer waits are the server's
#: `Retry-After`.
LOWEST_RATE = 1.0
#: How much wider than the limit says the sliding window is kept: timers and networks jitter.
WINDOW_MARGIN = 1.01
#: Seconds that tell how fast it goes at present.
LATELY = 10.0
#: Sends whose times are remembered.
REMEMBERED = 1024

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


class Pacer:
    """Lets requests out one by one, each in its turn, as fast as three limits allow.

    - At most `max_concurrency` requests are out at once; while only reads are, as many as `max_reads` if that is more.
    - At a rate of N a second, requests leave evenly spaced; a late timer is made up for, but never more than
      N leave in any second, so neither a sliding nor a fixed window of one second on the server overflows.
    - A pause holds back everything that has not left yet.

    A pause is a refusal, so the pacer also slows down: to 95 % of the rate that was achieved, and then speeds
    up again, by 5 % over the first half minute, later by 2 % each second, never above `requests_per_second`.
    In simulations of servers with a limit of 15 a second, of any kind, one request in 200 to 500 was refused
    once the limit was found, and a batch took 1.02 to 1.1 times as long as the limit implies.

    Args:
        max_concurrency: Requests that may be out at once.
        max_reads: Reads that may be out at once while nothing else is; by default no more than `max_concurrency`.
        requests_per_second: The highest rate; 0 is none.
        clock: What tells the time and sleeps.
        toll: Awaited by each request before it leaves, one at a time: a limit that is shared with others elsewhere.

    Attributes:
        paused_for: Seconds that pauses took in all; where two overlap the time counts once.
        paused: Called with the seconds of each pause that makes a longer one of what is held back.
        eager: Whether what is for `Turn.LATER` goes before what is for `Turn.SOON`.
    """

    def __init__(
        self,
        *,
        max_concurrency: int = 4,
        max_reads: int = 0,
        requests_per_second: float = 0,
        clock: Clock | None = None,
        toll: Toll | None = None,
    ) -> None:
        if not 0 <= requests_per_second < math.inf:
            raise ValueError(f"requests_per_second must be 0 (none) or more, not {requests_per_second}")
        self.requests_per_second = requests_per_second
        self.paused_for = 0.0
        self.paused: Callable[[float], None] = lambda seconds: None
        self.eager = False
        self.clock: Clock = clock or SystemClock()
        self._toll = toll
        self._leaving = False
        self._waiting: dict[Turn, _Line] = {turn: deque() for turn in Turn}
        self._out = self._writes_out = 0
        self._max_reads = max_reads
        self.max_concurrency = max_concurrency
        self._sends: deque[float] = deque(maxlen=REMEMBERED)
        self._next_send = -math.inf
        self._resume_at = -math.inf
        self._learnt = math.inf

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

    def slot(self, turn: Turn = Turn.LATER) -> AbstractAsyncContextManager[None]:
        """A place among the requests that are out; entering waits for it, the rate and the end of a pause."""
        return self._slot(turn)

    def pause(self, seconds: float) -> None:
        """Hold back whatever has not left yet for `seconds`; of two pauses the one that ends later counts.

        Refusals that arrive during a pause are of the moment that brought it about: they slow nothing down
        once more.
        """
        now = self.clock.now()
        if now >= self._resume_at:
            self._learnt = max(LOWEST_RATE, DECREASE * self._achieved(now))
        resume_at = max(self._resume_at, now + seconds)
        longer = resume_at - max(self._resume_at, now)
        self.paused_for += longer
        self._resume_at = resume_at
        if longer > 0:
            self.paused(seconds)

    @property
    def rate(self) -> float:
        """Present limit in requests per second: what was set, or less after refusals; infinite where none."""
        return min(self.requests_per_second or math.inf, self._grown())

    def backlog(self) -> float:
        """Seconds that what waits for a place will take, if it goes on as in the last ten; infinite where nothing did."""
        now = self.clock.now()
        sent = sum(1 for at in self._sends if at > now - LATELY)
        began = max(self._sends[0], now - LATELY) if self._sends else now
        waiting = sum(map(len, self._waiting.values()))
        return waiting * (now - began) / sent if sent and now > began else math.inf

    @asynccontextmanager
    async def _slot(self, turn: Turn) -> AsyncIterator[None]:
        await self._place(turn)
        try:
            if self._toll is not None:
                await self._toll()
            await self._until_due()
            self._out += 1
            self._writes_out += turn is not Turn.NEXT
        finally:
            self._leaving = False
            self._admit()
        try:
            yield
        finally:
            self._out -= 1
            self._writes_out -= turn is not Turn.NEXT
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
        return self._out < (self.max_reads if only_reads else self._max_concurrency)

    async def _until_due(self) -> None:
        # A pause may begin during the sleep, so the time is asked for again after each.
        while (wait := self._due() - self.clock.now()) > 0:
            await self.clock.sleep(wait)
        now = self.clock.now()
        interval = 1 / self.rate
        # A late timer is made up for; time in which nobody asked is not saved up.
        on_time = now - self._next_send < interval
        self._next_send = (self._next_send if on_time else now) + interval
        self._sends.append(now)

    def _due(self) -> float:
        rate = self.rate
        if rate == math.inf:
            return self._resume_at
        window = math.ceil(rate)
        window_free = -math.inf
        if len(self._sends) >= window:
            window_free = self._sends[-window] + WINDOW_MARGIN * window / rate
        return max(self._resume_at, self._next_send, window_free)

    def _achieved(self, now: float) -> float:
        """Requests of the last second that the server took; infinite where that can't be told."""
        sent = sum(1 for at in self._sends if at > now - 1)
        present = self.rate
        if present < math.inf:
            # One more, since a rate that is no whole number shows as the whole number below it.
            return min(present, float(sent + 1))
        # What is still out was sent beyond what the server takes, and will be refused as well. Where that is
        # all, as when a batch begins on the heels of another, the refusal says nothing about our own rate.
        return float(sent - self._out) if sent > self._out else math.inf

    def _grown(self) -> float:
        age = max(0.0, self.clock.now() - self._resume_at)
        if self._learnt == math.inf or age > FORGOTTEN_AFTER:
            return math.inf
        cautious = self._learnt * (1 + SLOW_GROWTH * min(age, CAUTIOUS_FOR))
        return float(cautious * FAST_GROWTH ** max(0.0, age - CAUTIOUS_FOR))
