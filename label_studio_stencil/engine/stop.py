"""The flag that stops a batch before its end."""

#: Reason of a batch that goes on later, and of one that was cancelled.
PAUSED, CANCELLED = "paused", "cancelled"
#: Reason in the reports on rows of a batch that ended without one.
INTERRUPTED = "interrupted"


class Stopping:
    """A flag that stops the batch, with the reason. Rows for which nothing was sent yet stay unprocessed."""

    def __init__(self) -> None:
        self.reason = ""

    def stop(self, reason: str) -> None:
        """Stop before the next create; the first reason is kept, unless it is a pause."""
        if not self.for_good:
            self.reason = reason

    def go_on(self) -> None:
        """End a pause."""
        if not self.for_good:
            self.reason = ""

    @property
    def for_good(self) -> bool:
        """Whether the flag is set, and not because of a pause."""
        return bool(self.reason) and self.reason != PAUSED

    def __bool__(self) -> bool:
        """Whether the flag is set."""
        return bool(self.reason)
