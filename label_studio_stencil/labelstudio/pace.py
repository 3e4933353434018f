"""Decides how fast requests that share a limit are sent, by the configured rate and by what refusals teach.

Pure arithmetic on times that it is given, without a clock.
"""

import math
from collections import deque

#: Share of the achieved rate that is kept after a refusal.
DECREASE = 0.95
#: Seconds after a pause (or requests, if these take longer) in which the rate grows by `SLOW_GROWTH` in all; after that, it
#: grows by `FAST_GROWTH` a second, compounded.
CAUTIOUS_FOR = 60.0
CAUTIOUS_REQUESTS = 60
SLOW_GROWTH = 0.05
FAST_GROWTH = 1.02
#: Seconds without a refusal after which the last one is forgotten.
FORGOTTEN_AFTER = 600.0
#: Lowest rate to which refusals slow requests down, in requests per second. For longer waits, the server has `Retry-After`.
LOWEST_RATE = 0.5
#: Timers and networks jitter, so in a window this many seconds longer than one, no more requests are sent than the rate allows
#: in one second.
JITTER = 0.03
#: Seconds over which the present rate is measured.
LATELY = 10.0
#: Sends whose times are remembered.
REMEMBERED = 1024
#: A refusal within a second of the start or of a pause, after fewer requests than this, says little about the rate.
FEW = 5


class Pace:
    """The pace of requests that share a limit.

    Requests are evenly spaced. A late timer is made up for, but in any second and a little more, at most as many are sent as
    the limit allows, so neither a sliding nor a fixed window of one second on the server overflows. After a refusal, requests
    are sent at 95 % of the rate that was achieved. Then the rate grows again, by 5 % over the first minute (or sixty requests)
    and later by 2 % each second, but never above the configured rate. A refusal right after the start or a pause may be due to
    others who share the limit: the first such refusal doesn't lower the rate below `few` or, if there is a rate already, by
    more than those 5 %.

    Args:
        most: The highest rate, in requests per second; 0 for no limit.
        few: Requests before which a refusal may be due to others; 0 if every refusal counts in full.

    Attributes:
        out: Number of requests that were sent and are not answered yet.

    Raises:
        ValueError: `most` is negative or not finite.
    """

    def __init__(self, most: float = 0.0, few: int = 0) -> None:
        if not 0 <= most < math.inf:
            raise ValueError(f"requests_per_second must be 0 (none) or more, not {most}")
        self.out = 0
        self._most = most / (1 + JITTER * most / math.ceil(most)) if most else math.inf
        self._sends: deque[float] = deque(maxlen=REMEMBERED)
        self._next_send = -math.inf
        self._resume_at = -math.inf
        self._learnt = math.inf
        self._few = few
        self._doubted = False

    def rate(self, now: float) -> float:
        """Present limit in requests per second: the configured one, or less after refusals; infinite if there is none."""
        return min(self._most, self._grown(now))

    def due(self, now: float) -> float:
        """When the next request may be sent."""
        rate = self.rate(now)
        if rate == math.inf:
            return self._resume_at
        window = math.ceil(rate)
        if len(self._sends) < window:
            return max(self._resume_at, self._next_send)
        return max(self._resume_at, self._next_send, self._sends[-window] + window / rate)

    def leave(self, now: float) -> None:
        """Count a request that is sent."""
        interval = 1 / self.rate(now)
        # A late timer is made up for; time without requests is not saved up.
        on_time = now - self._next_send < interval
        self._next_send = (self._next_send if on_time else now) + interval
        self._sends.append(now)
        self.out += 1

    def refuse(self, now: float, seconds: float) -> float:
        """Hold back requests for `seconds`, and return by how many seconds that extends the present pause.

        Refusals that arrive during a pause have the same cause as the pause, so they don't lower the rate once more.
        """
        if now >= self._resume_at:
            self._learnt = max(LOWEST_RATE, DECREASE * self._achieved(now))
        resume_at = max(self._resume_at, now + seconds)
        longer = resume_at - max(self._resume_at, now)
        self._resume_at = resume_at
        return longer

    def lately(self, now: float) -> float:
        """Requests per second that were sent in the last ten seconds; 0 if there were none."""
        sent = sum(1 for at in self._sends if at > now - LATELY)
        began = max(self._sends[0], now - LATELY) if self._sends else now
        return sent / (now - began) if now > began else 0.0

    def _achieved(self, now: float) -> float:
        """Requests of the last second that the server accepted; infinite if that can't be told."""
        sent = sum(1 for at in self._sends if at > now - 1)
        present = self.rate(now)
        # One more, because a fractional rate shows as the whole number below it. Without a rate, requests that are still out
        # exceed what the server accepts, and will be refused too. If there are no others, as when a batch begins right after
        # another, the refusal says nothing about our own rate.
        taken = sent + 1 if present < math.inf else sent - self.out
        if taken <= 0:
            return math.inf
        begun = not self._sends or now - max(self._sends[0], self._resume_at) < 1
        self._doubted = begun and taken < self._few and not self._doubted
        if self._doubted:
            return float(self._few) if present == math.inf else present
        return min(present, float(taken))

    def _grown(self, now: float) -> float:
        age = max(0.0, now - self._resume_at)
        if self._learnt == math.inf or age > FORGOTTEN_AFTER:
            return math.inf
        cautious_for = max(CAUTIOUS_FOR, CAUTIOUS_REQUESTS / self._learnt)
        cautious = self._learnt * (1 + SLOW_GROWTH * min(1.0, age / cautious_for))
        return float(cautious * FAST_GROWTH ** max(0.0, age - cautious_for))
