"""What the engine knows of one row while it carries it out."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.plans.marker import Standing, read_mark, standing
from label_studio_stencil.plans.plan import Planned, Target
from label_studio_stencil.report.outcomes import Outcome


class Answer(Enum):
    """What is known of a create that was sent."""

    OPEN = "open"
    """Under way, or cut off by a cancellation."""
    CREATED = "staked"
    """201 with an id."""
    REFUSED = "refused"
    """Not carried out, and may be sent again after a look: a 429, a 401, or it never left."""
    REJECTED = "rejected"
    """Not carried out, and never will be: the application said no."""
    UNSURE = "unsure"
    """It may or may not have been carried out."""


@dataclass(slots=True)
class Send:
    """One create that was sent.

    Attributes:
        name: 8 hex digits that its mark bears.
        floor: Highest id that Label Studio was known to have when it was sent: what it makes lies above.
        at: Date and time, for people.
        ended: Monotonic seconds at which the client stopped waiting for the answer.
        answer: What is known of it.
        error: Why it was rejected.
        project: Id that its 201 gave.
        seen: Whether a project with its mark was seen.
        counted: Whether it counts towards the most sends of a row; what a 429 refused does not.
    """

    name: str
    floor: int
    at: datetime
    ended: float = 0.0
    answer: Answer = Answer.OPEN
    error: str = ""
    project: int | None = None
    seen: bool = False
    counted: bool = True

    @property
    def lost(self) -> bool:
        """Whether its project may still turn up."""
        return self.answer in (Answer.OPEN, Answer.UNSURE) and not self.seen


@dataclass(slots=True)
class Ticket:
    """One row on its way.

    Attributes:
        planned: The row and what the plan found.
        sends: Creates that were sent for it, oldest first.
        known: Ids of its key that the plan, a look or an answer showed.
        bound: Id of the project that a PATCH was sent to.
        foreign: Whether another batch made that project.
        patched: Ids to which a PATCH was sent whose answer was lost: it may have landed, or land yet.
        refusal: Why Label Studio refused the PATCH, so that the row's placeholder has to go.
        looks: Looks since the last send that did not show it.
        rivals: Ids and descriptions of the rivals seen before it was parked.
        parked: Times that they were seen unchanged after a wait.
        twins_since: Monotonic seconds at which two finished projects were first seen.
        not_before: Monotonic seconds before which the next attempt has nothing to do.
        waiting_for: What the next attempt waits for, for the log.
        attempts: Attempts made.
        began: Monotonic seconds of the first attempt.
        odd: Whether anything happened that the sweep must look after.
        outcome: What became of it, once that is settled.
        project: Id of its project; before that, of its placeholder.
        error_code: Stable slug of the error.
        error: What is wrong, or what it waits for.
        steps: What happened to its members, tasks and publication, for people.
    """

    planned: Planned
    sends: Sequence[Send] = ()
    known: Collection[int] = ()
    bound: int | None = None
    foreign: bool = False
    patched: Set[int] = frozenset()
    refusal: str = ""
    looks: int = 0
    rivals: Mapping[int, str] | None = None
    parked: int = 0
    twins_since: float | None = None
    not_before: float = 0.0
    waiting_for: str = ""
    attempts: int = 0
    began: float | None = None
    seconds: float = 0.0
    odd: bool = False
    outcome: Outcome | None = None
    project: int | None = None
    error_code: str = ""
    error: str = ""
    steps: str = ""

    @property
    def target(self) -> Target:
        """The row with its names resolved."""
        return self.planned.target

    @property
    def done(self) -> bool:
        """Whether it has its outcome."""
        return self.outcome is not None

    @property
    def started(self) -> bool:
        """Whether anything was sent for it."""
        return bool(self.sends) or self.bound is not None or bool(self.patched)

    @property
    def sends_counted(self) -> int:
        """Sends that count towards the most."""
        return sum(send.counted for send in self.sends)

    @property
    def may_exist(self) -> bool:
        """Whether something of this row may be on Label Studio that is not finished yet."""
        return bool(self.known) or any(send.lost for send in self.sends)

    def decide(self, outcome: Outcome, project: int | None = None, code: str = "", error: str = "") -> None:
        """Give it its outcome."""
        self.outcome, self.project, self.error_code, self.error = outcome, project, code, error

    def reopen(self) -> None:
        """Take its outcome back, since something of it turned up late."""
        self.outcome, self.project, self.error_code, self.error = None, None, "", ""
        self.not_before, self.looks = 0.0, 0


@dataclass(frozen=True, slots=True)
class Siblings:
    """The projects of one key, by what they are to it; each lowest id first."""

    complete: tuple[Project, ...]
    marked: tuple[Project, ...]
    touched: tuple[Project, ...]

    @classmethod
    def of(cls, projects: list[Project]) -> "Siblings":
        """Sort them out."""
        found: dict[Standing, list[Project]] = {each: [] for each in Standing}
        for project in sorted(projects, key=lambda project: project.id):
            found[standing(project)].append(project)
        return cls(*(tuple(found[each]) for each in (Standing.COMPLETE, Standing.MARKED, Standing.TOUCHED)))

    @property
    def ids(self) -> tuple[int, ...]:
        """All ids, lowest first."""
        return tuple(sorted(project.id for project in (*self.complete, *self.marked, *self.touched)))


def send_of(project: Project) -> str:
    """The send that a marked project bears, or nothing."""
    mark = read_mark(project.description)
    return mark.send if mark else ""


def batch_of(project: Project) -> str:
    """The batch that a marked project bears, or nothing."""
    mark = read_mark(project.description)
    return mark.batch if mark else ""


def settings_of(project: Project) -> dict[str, JSON]:
    """What of a project is compared with its row: its settings, and the description, which is one of them to a row."""
    return {**project.settings, "description": project.description}
