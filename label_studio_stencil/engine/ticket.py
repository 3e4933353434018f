"""The engine's state of one row."""

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
    CREATED = "created"
    """201 with an id."""
    REFUSED = "refused"
    """Not carried out, and may be sent again after a look: a 429, a 401, or it never left."""
    REJECTED = "rejected"
    """Not carried out, and never will be: Label Studio rejected it."""
    UNSURE = "unsure"
    """It may or may not have been carried out."""


@dataclass(slots=True)
class Send:
    """One create that was sent.

    Attributes:
        name: 8 hex digits, which are part of its marker.
        floor: Highest project id known when it was sent; its project has a higher one.
        at: Date and time at which it was sent.
        ended: Monotonic seconds at which the client stopped waiting for the answer.
        answer: What is known of it.
        error: Why it was rejected.
        project: Project id in its 201.
        seen: Whether a project with its marker was seen.
        counted: Whether it counts towards the limit of sends of a row; one that a 429 refused does not.
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
    """The state of one row.

    Attributes:
        planned: The row as it was planned, with the projects that existed.
        sends: Creates that were sent for it, oldest first.
        known: Ids of projects of its key that the plan, a look or an answer showed.
        bound: Id of the project that a PATCH was sent to.
        foreign: Whether another batch made that project.
        patched: Ids of projects whose PATCH was not answered: it may have been carried out, or be carried out later.
        removing: Ids of projects whose deletion was sent and not answered: it may still be carried out.
        refusal: Label Studio's reason for refusing the PATCH; the row's placeholder is then removed.
        looks: Number of looks since the last send that did not show its project.
        rivals: Ids and descriptions of other batches' placeholders before the row last waited for them.
        parked: Number of waits after which these were unchanged.
        twins_since: Monotonic seconds at which two complete projects were first seen.
        not_before: Monotonic seconds of the earliest next attempt.
        waiting_for: Why the next attempt waits, for the log.
        attempts: Number of attempts made.
        began: Monotonic seconds of the first attempt.
        seconds: Seconds from the first attempt to the outcome.
        odd: Whether anything unusual happened, so that the sweep must check the row.
        outcome: The outcome, once there is one.
        project: Id of its project; before that, of its placeholder.
        error_code: Code of the error.
        error: The error, or the reason for waiting, as a sentence.
        steps: What was done about its members, tasks and publication, as a sentence.
    """

    planned: Planned
    sends: Sequence[Send] = ()
    known: Collection[int] = ()
    bound: int | None = None
    foreign: bool = False
    patched: Set[int] = frozenset()
    removing: Set[int] = frozenset()
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
        """Number of sends that count towards the limit."""
        return sum(send.counted for send in self.sends)

    @property
    def may_exist(self) -> bool:
        """Whether the row may have a project on Label Studio that is not complete yet."""
        return bool(self.known) or any(send.lost for send in self.sends)

    def decide(self, outcome: Outcome, project: int | None = None, code: str = "", error: str = "") -> None:
        """Give it its outcome."""
        self.outcome, self.project, self.error_code, self.error = outcome, project, code, error

    def reopen(self) -> None:
        """Take its outcome back, because another project of the row appeared later."""
        self.outcome, self.project, self.error_code, self.error = None, None, "", ""
        self.not_before, self.looks = 0.0, 0


@dataclass(frozen=True, slots=True)
class Siblings:
    """The projects of one key by their standing, each group with the lowest id first."""

    complete: tuple[Project, ...]
    marked: tuple[Project, ...]
    touched: tuple[Project, ...]

    @classmethod
    def of(cls, projects: list[Project]) -> "Siblings":
        """Group projects by their standing."""
        found: dict[Standing, list[Project]] = {each: [] for each in Standing}
        for project in sorted(projects, key=lambda project: project.id):
            found[standing(project)].append(project)
        return cls(*(tuple(found[each]) for each in (Standing.COMPLETE, Standing.MARKED, Standing.TOUCHED)))

    @property
    def ids(self) -> tuple[int, ...]:
        """All ids, lowest first."""
        return tuple(sorted(project.id for project in (*self.complete, *self.marked, *self.touched)))


def send_of(project: Project) -> str:
    """The send that a project's marker names, or an empty string."""
    mark = read_mark(project.description)
    return mark.send if mark else ""


def batch_of(project: Project) -> str:
    """The batch that a project's marker names, or an empty string."""
    mark = read_mark(project.description)
    return mark.batch if mark else ""


def settings_of(project: Project) -> dict[str, JSON]:
    """The settings of a project that are compared with its row, the description among them."""
    return {**project.settings, "description": project.description}
