"""Whether a batch is to stop before its end."""


class Stopping:
    """Whether the batch is to stop, and why; rows of which nothing was sent then stay unprocessed."""

    def __init__(self) -> None:
        self.reason = ""

    def stop(self, reason: str) -> None:
        """Stop before the next create; the first reason is kept."""
        self.reason = self.reason or reason

    def go_on(self) -> None:
        """Take the reason back: the batch goes on."""
        self.reason = ""

    def __bool__(self) -> bool:
        """Whether the batch is to stop."""
        return bool(self.reason)
