"""Messages about what a batch waits for, once it waits longer than a few seconds."""

import logging
from collections.abc import Callable

from label_studio_stencil.labelstudio.pacing import Clock

logger = logging.getLogger(__name__)

#: Waits of up to this many seconds are not announced.
_SHORTEST = 5.0
#: Seconds after which the same message is repeated.
_AGAIN = 60.0
#: Most reasons that are remembered.
_MOST = 100


class Waits:
    """Announces what a batch waits for.

    Args:
        clock: The clock of the batch.

    Attributes:
        tell: Called with messages for the terminal and the run's log.
        note: Called with messages about short waits, which only the run's log shows.
        shortest: Waits of up to this many seconds are not announced.
    """

    def __init__(self, clock: Clock) -> None:
        self.tell: Callable[[str], None] = logger.info
        self.note: Callable[[str], None] = logger.debug
        self.shortest = _SHORTEST
        self._clock = clock
        self._said: dict[str, float] = {}

    def waiting(self, seconds: float, reason: str) -> None:
        """Announce a wait if it is long."""
        if seconds > self.shortest:
            self.say(reason, f" (up to {seconds:.0f} s)")

    def refused(self, seconds: float, times: int) -> None:
        """Announce that Label Studio asked for a pause.

        Args:
            seconds: Length of the pause.
            times: Number of pauses so far, this one included.
        """
        again = f", {_ordinal(times)} time" if times > 1 else ""
        reason = "Label Studio got too many requests, and asks for a pause"
        self.say(reason, f" ({seconds:.0f} s{again})", short=seconds <= self.shortest)

    def say(self, reason: str, detail: str = "", *, short: bool = False) -> None:
        """Announce a reason for waiting, each at most once a minute however many rows wait for it."""
        now = self._clock.now()
        # Numbers differ from row to row, and from one moment to the next.
        kind = "".join("0" if letter.isdigit() else letter for letter in reason)
        if now - self._said.get(kind, -_AGAIN) >= _AGAIN:
            if len(self._said) >= _MOST:
                self._said.clear()
            self._said[kind] = now
            (self.note if short else self.tell)(f"Waiting: {reason}{detail}")


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th") if number % 100 not in (11, 12, 13) else "th"
    return f"{number}{ending}"
