"""Settings for waiting and retrying: how patient a batch is, and how often it tries a row."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Patience:
    """Durations (seconds) and counts of the protocol.

    Attributes:
        unanswered: Waits before the first, second, ... look for a create or a PATCH whose answer was lost.
        rivals: Wait between two looks at the placeholders of other batches, in which these can complete theirs. Longer than a
            PATCH may take plus the lag of Label Studio's list.
        patch: Longest wait for the answer to a PATCH, from the look that it is based on. Shorter than `rivals`, the time for
            which other batches that saw the same wait before they complete another project.
        late: How long after a lost answer its write may still be carried out.
        lease: Age at which another batch's placeholder for other settings counts as abandoned.
        fresh: Age at which a look is too old to decide by; half of `rivals`.
        read: Age at which a reading of one project is too old to delete it by.
        lag: First wait before a list that does not show our own projects yet is read again; each further wait is longer.
        longest_lag: Longest wait for such a list.
        longest_lag_at_stop: The same, if the batch is to stop.
        most_sends: Most creates that are sent for one row.
        window: Created rows that share a look; fewer than the 100 of a page, so that one page shows them and what was created
            while it was read.
        overlap: Number of ids below the lowest wanted one that a look also reads, since ids are assigned before the commit.
    """

    unanswered: tuple[float, ...] = (2.0, 8.0)
    rivals: float = 30.0
    patch: float = 25.0
    late: float = 60.0
    lease: float = 300.0
    fresh: float = 15.0
    read: float = 5.0
    lag: float = 1.0
    longest_lag: float = 300.0
    longest_lag_at_stop: float = 15.0
    most_sends: int = 3
    window: int = 56
    overlap: int = 20

    def behind(self, lag: float) -> Self:
        """The same patience for a list that lags behind the writes by this many seconds."""
        return replace(self, rivals=self.rivals + lag, late=self.late + lag) if lag else self


@dataclass(frozen=True, slots=True)
class Retries:
    """How the loop around the engine retries rows: Prefect's task retries, or without Prefect that of `batch`.

    The engine makes one attempt at a row, and keeps for each row how long it must wait before the next. A delay here may be
    shorter than that wait, but never cuts it short.

    Attributes:
        delays: Seconds before the second, third, ... attempt.
        jitter: Share by which a delay varies at random, so that groups do not all return at once.
    """

    delays: tuple[float, ...] = (2.0, 4.0, 8.0, 8.0, 15.0, 15.0, *(30.0,) * 12)
    jitter: float = 0.3


#: Most task runs for the rows of a batch; up to this number, each row has a task run of its own.
MOST_GROUPS = 100
#: Fewest rows of a group, if rows are grouped. A task run costs 10 ms of this process, as much as four rows (measured on
#: Prefect 3.8.8), so a batch of a few hundred rows would otherwise spend a fifth of its time on task runs.
LEAST_GROUPED = 50
