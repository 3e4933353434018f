"""The log of a sandbox's requests and of the commits that they led to, for tests of its clients."""

from collections import deque
from dataclasses import dataclass, field, replace
from threading import Lock

from label_studio_sandbox._json import JSON, loads


@dataclass(frozen=True, slots=True)
class Commit:
    """A write that took effect.

    Attributes:
        number: Counts the commits of the sandbox in the order in which they took effect.
        at: Unix time, in seconds.
        status: Status of the handler's answer, whatever the client received.
        id: Id of the object that was made, changed or deleted; None if the route has none.
    """

    number: int
    at: float
    status: int
    id: int | None


@dataclass(slots=True)
class Trace:
    """The fate of a request, which may change after its answer."""

    faults: list[str] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One request that reached the sandbox.

    Attributes:
        number: Counts the requests in the order of arrival.
        query: The query string as it was sent, without the `?`.
        status: Status of the answer, or None if the client received none.
        received_at: Unix time of arrival, in seconds.
        seconds: Seconds from the end of the request to the beginning of its answer.
        fault: Kinds of its faults, the outermost first, joined by `+`; empty for none.
        commits: Its writes that have taken effect: none for reads and for requests that were refused or lost, several if it
            was replayed. Some may follow after the answer.
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
    fault: str = ""
    commits: tuple[Commit, ...] = ()

    @property
    def committed_at(self) -> float | None:
        """Unix time of its last write, in seconds; None if none has taken effect."""
        return self.commits[-1].at if self.commits else None

    def json(self) -> JSON:
        """The body as JSON.

        Raises:
            ValueError: It is not JSON.
        """
        return loads(self.body)


class RequestLog:
    """The newest requests, readable from any thread."""

    def __init__(self, *, enabled: bool, limit: int = 100_000) -> None:
        self.enabled = enabled
        self._lock = Lock()
        self._entries: deque[tuple[LoggedRequest, Trace]] = deque(maxlen=limit)

    def add(self, entry: LoggedRequest, trace: Trace) -> None:
        """Keep the entry, if the log is enabled. It shows the trace as it is when it is read."""
        if self.enabled:
            with self._lock:
                self._entries.append((entry, trace))

    def entries(self) -> tuple[LoggedRequest, ...]:
        """All entries by number."""
        with self._lock:
            kept = list(self._entries)
        shown = (replace(entry, fault="+".join(t.faults), commits=tuple(t.commits)) for entry, t in kept)
        return tuple(sorted(shown, key=lambda entry: entry.number))

    def clear(self) -> None:
        """Empty the log; numbers keep rising."""
        with self._lock:
            self._entries.clear()
