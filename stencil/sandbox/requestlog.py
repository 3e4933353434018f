"""What was asked of a sandbox, for those who test what its clients send."""

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

from stencil.sandbox._json import JSON, loads


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request that reached the sandbox.

    Attributes:
        number: rises by one with each request, in the order of arrival.
        query: the query string as it was sent, without the `?`.
        status: of the answer, or None where an interceptor dropped the connection.
        received_at: Unix time of arrival, in seconds.
        seconds: from the end of the request to the beginning of its answer.
    """

    number: int
    method: str
    path: str
    query: str
    # Bodies of the token calls hold tokens.
    body: bytes = field(repr=False)
    status: int | None
    received_at: float
    seconds: float

    def json(self) -> JSON:
        """The body as JSON.

        Raises:
            ValueError: it is not JSON.
        """
        return loads(self.body)


class RequestLog:
    """The newest requests, readable from any thread."""

    def __init__(self, *, enabled: bool, limit: int = 100_000) -> None:
        self.enabled = enabled
        self._lock = Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=limit)

    def add(self, entry: LoggedRequest) -> None:
        """Nothing; the entry is kept, where the log is enabled."""
        if self.enabled:
            with self._lock:
                self._entries.append(entry)

    def entries(self) -> tuple[LoggedRequest, ...]:
        """All entries by number."""
        with self._lock:
            return tuple(sorted(self._entries, key=lambda entry: entry.number))

    def clear(self) -> None:
        """Nothing; the log is empty, and numbers go on rising."""
        with self._lock:
            self._entries.clear()
