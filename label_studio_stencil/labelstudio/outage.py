"""Notices once for a whole batch that Label Studio is away, and holds everything back until it answers again.

Each row for itself would send its create into a dead server, and could not tell afterwards whether it was carried out. Needs
nothing but a clock, which tests turn by hand.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from label_studio_stencil.labelstudio.errors import LabelStudioError, Unsure
from label_studio_stencil.labelstudio.pacing import Clock

#: Failures in a row, of whatever requests, after which Label Studio counts as away.
MOST_FAILURES = 3
#: Seconds between two probes: at first, and at most.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Seconds for which an outage is waited for by a batch that is to stop.
AT_STOP = 15.0
#: Answers of what stands before Label Studio while that is away.
FROM_THE_EDGE = frozenset({502, 503, 504})

_SLICE = 5.0


class LongOutage(LabelStudioError):
    """Label Studio was away for longer than is waited for."""


class Outage:
    """Whether Label Studio is away.

    It is after three failures in a row that came from before it: no connection, no answer in time, a 502, 503 or 504. Then
    nothing is sent but one probe at a time, 1 to 30 seconds apart. Once a probe is answered, what reads and ends work goes on,
    and one create goes first: the others follow when it was answered.

    Args:
        clock: What tells the time and sleeps.
        probe: Asks for something that only Label Studio itself can answer; raises `LabelStudioError` where it does not.

    Attributes:
        limit: Seconds for which an outage is waited for; 0 waits for none, and requests fail by themselves.
        is_hurried: Whether somebody wants the batch to stop, so that an outage is not waited for any longer.
        tell: Told when an outage begins, and when it is over.
    """

    def __init__(self, clock: Clock, probe: Callable[[], Awaitable[object]]) -> None:
        self.limit = 0.0
        self.is_hurried: Callable[[], bool] = lambda: False
        self.tell: Callable[[str], None] = lambda text: None
        self._clock, self._probe = clock, probe
        self._failures = 0
        self._away = False
        self._since = 0.0
        self._pause = FIRST_PAUSE
        self._probing = asyncio.Lock()
        # After an outage one create goes first, and the others wait for its end.
        self._trial = False
        self._first: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def passage(self, *, create: bool) -> AsyncIterator[None]:
        """Held while a request is out; entering waits until Label Studio is there.

        What became of the request is to be noted inside.

        Args:
            create: Whether it is one of those that follow each other after an outage.

        Raises:
            LongOutage: It was away for too long.
        """
        first = await self._entered(create=create)
        try:
            yield
        finally:
            if first is not None:
                self._first = None
                first.set_result(None)

    def failed(self, reason: str) -> None:
        """Note that a request came to nothing before Label Studio, and why."""
        self._failures += 1
        if not self.limit or self._away:
            return
        # The create that goes first tells whether it is there again; then the outage goes on.
        if self._first is None and self._failures < MOST_FAILURES:
            return
        if self._first is None:
            self._since, self._pause = self._clock.now(), FIRST_PAUSE
        self._away = True
        self.tell(f"Label Studio is away ({reason}): nothing is sent until it answers again.")

    def answered(self, *, create: bool = False) -> None:
        """Note that Label Studio itself answered a request."""
        # While it is away, that is the answer to what was sent before.
        if not self._away:
            self._failures = 0
            self._trial = self._trial and not create

    async def _entered(self, *, create: bool) -> asyncio.Future[None] | None:
        """Wait until a request may leave; what is to be told of its end, where it goes first."""
        while True:
            while self._away:
                async with self._probing:
                    if self._away:
                        await self._probe_once()
            if not (create and self._trial):
                return None
            if self._first is None:
                self._first = asyncio.get_running_loop().create_future()
                return self._first
            await asyncio.shield(self._first)

    async def _probe_once(self) -> None:
        until = self._clock.now() + self._pause
        while (left := until - self._clock.now()) > 0:
            self._check_limit()
            await self._clock.sleep(min(left, _SLICE))
        self._check_limit()
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        try:
            await self._probe()
        except Unsure:
            return
        except LabelStudioError:
            # It says no, or asks for time: it is there.
            pass
        self._away, self._trial, self._failures = False, True, 0
        self.tell(f"Label Studio answers again, after {self._clock.now() - self._since:.0f} s.")

    def _check_limit(self) -> None:
        away = self._clock.now() - self._since
        if away >= (min(self.limit, AT_STOP) if self.is_hurried() else self.limit):
            raise LongOutage(f"Label Studio was away for {away:.0f} s")
