"""Settings of waiting and retrying: how patient a batch is, and how often it tries a row."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Patience:
    """Durations (seconds) and counts of the protocol.

    Attributes:
        unanswered: Waits before the first, second, ... look for a create or a PATCH whose answer was lost.
        rivals: Wait between two looks at rivals, so that the other owner shows itself. Longer than a PATCH may take plus the
            lag of Label Studio's list.
        patch: How long after the look that it was decided by the answer to a PATCH is waited for, shorter than `rivals`: rivals
            that saw the same wait so long before they finish another project.
        late: How long after a lost answer its write may still land.
        lease: Age at which another batch's placeholder of another intent counts as abandoned.
        fresh: Age at which a look is too old to decide by; half of `rivals`.
        read: Age at which a reading of one project is too old to delete it by.
        lag: First wait before a list that does not show our own projects yet is read again; each further one is longer.
        longest_lag: How long such a list is waited for.
        longest_lag_at_stop: The same, where the batch is to stop.
        most_sends: Creates that are sent for one row at most.
        window: created rows that share a look; below the 100 of a page, so that one page shows them and what was created
            while it was read.
        overlap: Ids below the lowest wanted one that a look reads too, since ids are given before commits.
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
        """The same patience with a list that shows what is written only so many seconds later."""
        return replace(self, rivals=self.rivals + lag, late=self.late + lag) if lag else self


@dataclass(frozen=True, slots=True)
class Retries:
    """How the loop round the engine tries again what may pass: Prefect's task retries, or `provision()`'s own loop.

    The engine itself makes one attempt at a row and keeps, for each row, how long it must wait before the next; these delays
    are what a person sees, and may be shorter than that wait but never cut it.

    Attributes:
        delays: Seconds before the second, third, ... attempt.
        jitter: Share by which a delay is spread at random, so that groups do not come back together.
    """

    delays: tuple[float, ...] = (2.0, 4.0, 8.0, 8.0, 15.0, 15.0, *(30.0,) * 12)
    jitter: float = 0.3


#: Task runs of a batch at most, and rows up to which each row is a task run of its own.
MOST_GROUPS = 100
#: Rows of a group at least, where rows are grouped: a task run costs 10 ms of this process, as much as four rows (measured on
#: Prefect 3.8.8), and a batch of some hundred rows would else spend a fifth of its time on them.
LEAST_GROUPED = 50
