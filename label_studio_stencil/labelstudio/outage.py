"""Detects for a whole batch that Label Studio is unavailable, and holds requests back until it answers again.

Otherwise each row would send its create to a dead server, and would not know afterwards whether it was carried out. Needs
only a clock, which tests set by hand.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from label_studio_stencil.labelstudio.errors import LabelStudioError, Unsure
from label_studio_stencil.labelstudio.pacing import Clock

#: Failures in a row, of any requests, after which Label Studio counts as unavailable.
MOST_FAILURES = 3
#: Seconds between two probes: first and longest.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
#: Seconds that a stopping batch waits for the end of an outage.
AT_STOP = 15.0
#: Answers of proxies while Label Studio is unavailable.
FROM_THE_EDGE = frozenset({502, 503, 504})

_SLICE = 5.0


class LongOutage(LabelStudioError):
    """Label Studio was unavailable for longer than the limit."""


class Outage:
    """Whether Label Studio is unavailable.

    It counts as unavailable after three failures in a row: no connection, no answer in time, or a 502, 503 or 504 of a proxy.
    Then only probes are sent, one at a time and 1 to 30 seconds apart. Once a probe is answered, requests other than creates go
    on, and one create goes first: the others follow when that is answered.

    Args:
        clock: The clock.
        probe: Sends a request that only Label Studio itself can answer; raises `LabelStudioError` if it fails.

    Attributes:
        limit: Seconds to wait for the end of an outage; with 0, requests fail by themselves.
        is_hurried: Returns whether the batch has to stop, so that it doesn't wait any longer.
        tell: Called with a message when an outage begins and when it ends.
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
        # After an outage, one create goes first, and the others wait until it is answered.
        self._trial = False
        self._first: asyncio.Future[None] | None = None

    @asynccontextmanager
    async def passage(self, *, create: bool) -> AsyncIterator[None]:
        """Held while a request is out; entering waits until Label Studio is there.

        Note the result of the request inside.

        Args:
            create: Whether it is a create, which wait for the first one after an outage.

        Raises:
            LongOutage: Label Studio was unavailable for too long.
        """
        first = await self._entered(create=create)
        try:
            yield
        finally:
            if first is not None:
                self._first = None
                first.set_result(None)

    def failed(self, reason: str) -> None:
        """Note that a request did not reach Label Studio, and why."""
        self._failures += 1
        if not self.limit or self._away:
            return
        # If the create that goes first fails, the outage goes on.
        if self._first is None and self._failures < MOST_FAILURES:
            return
        if self._first is None:
            self._since, self._pause = self._clock.now(), FIRST_PAUSE
        self._away = True
        self.tell(f"Label Studio is unavailable ({reason}): nothing is sent until it answers again.")

    def answered(self, *, create: bool = False) -> None:
        """Note that Label Studio itself answered a request."""
        # While it is unavailable, this is the answer to an earlier request.
        if not self._away:
            self._failures = 0
            self._trial = self._trial and not create

    async def _entered(self, *, create: bool) -> asyncio.Future[None] | None:
        """Wait until a request may leave; returns the event to set at its end, if it goes first."""
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
            # A refusal or a request to wait shows that it is there.
            pass
        self._away, self._trial, self._failures = False, True, 0
        self.tell(f"Label Studio answers again, after {self._clock.now() - self._since:.0f} s.")

    def _check_limit(self) -> None:
        away = self._clock.now() - self._since
        if away >= (min(self.limit, AT_STOP) if self.is_hurried() else self.limit):
            raise LongOutage(f"Label Studio was unavailable for {away:.0f} s")
