"""Decides, as a pure function, what to do about a row, given the projects of its key that a look showed.

The order of the cases is the protocol: a project that somebody may have worked on is never touched, a complete project
stands for the row, and of several placeholders every batch picks the same one by the same rule.
"""

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

from label_studio_stencil.engine.ticket import Answer, Siblings, Ticket, batch_of, send_of
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.plans.marker import read_mark
from label_studio_stencil.policy import Patience


@dataclass(frozen=True, slots=True)
class Done:
    """Our own PATCH completed this project. If its answer was lost, the project's settings prove it."""

    project: Project


@dataclass(frozen=True, slots=True)
class Yield:
    """Somebody else's project stands for the row."""

    project: Project


@dataclass(frozen=True, slots=True)
class ApplySettings:
    """Write the settings of this project and remove its marker."""

    project: Project


@dataclass(frozen=True, slots=True)
class CreatePlaceholder:
    """The row has no project: send a create."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again after some seconds."""

    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A placeholder of a batch that has ended, with other settings than the row's: remove it, then continue."""

    project: Project


@dataclass(frozen=True, slots=True)
class Twins:
    """Two complete projects, of which one is provably our own duplicate: remove it, then continue."""

    surplus: Project


@dataclass(frozen=True, slots=True)
class Refused:
    """Label Studio refused the row's create or its settings: remove its placeholder, and fail the row."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """It is uncertain which project is the row's: a person has to decide."""

    code: str
    reason: str
    ids: tuple[int, ...]


Decision = Done | Yield | ApplySettings | CreatePlaceholder | Wait | Abandoned | Twins | Refused | Unclear


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on besides the row and its siblings.

    Attributes:
        batch: Name of our batch.
        now: Monotonic seconds.
        server_time: Label Studio's clock.
        proven: Ids of projects whose markers this process saw and removed.
        patience: Waits and counts.
    """

    batch: str
    now: float
    server_time: datetime
    proven: Set[int]
    patience: Patience


def resolve(ticket: Ticket, siblings: Siblings, at: Circumstances) -> Decision:
    """Decide what to do about a row, and note on the ticket what the next decision needs."""
    if siblings.touched:
        return Unclear("touched", _touched(siblings), siblings.ids)
    if len(siblings.complete) == 1:
        found = siblings.complete[0]
        return Done(found) if found.id in at.proven or found.id in ticket.patched else Yield(found)
    if siblings.complete:
        return _twins(ticket, siblings, at)
    if ticket.refusal:
        return Refused(ticket.refusal)
    if siblings.marked:
        return _placeholders(ticket, siblings.marked, at)
    return _nothing(ticket, at)


def _touched(siblings: Siblings) -> str:
    ids = ", ".join(str(project.id) for project in siblings.touched)
    return f"somebody has worked on placeholder {ids}: complete or delete it by hand, then run the row again"


def _twins(ticket: Ticket, siblings: Siblings, at: Circumstances) -> Decision:
    """Two complete projects of one key: remove ours if it is provably the duplicate, else give the other batch time to act."""
    if ticket.twins_since is None:
        ticket.twins_since, ticket.odd = at.now, True
        return Wait(at.patience.rivals, "a row has two complete projects")
    for project in reversed(siblings.complete[1:]):
        if (project.id in at.proven or project.id in ticket.patched) and not project.tasks:
            return Twins(project)
    if at.now - ticket.twins_since < 3 * at.patience.rivals:
        return Wait(at.patience.rivals, "a row has two complete projects, and neither is provably surplus")
    reason = (
        f"{len(siblings.complete)} projects of this workspace and title exist: keep one, delete or rename the others"
    )
    return Unclear("twins", reason, siblings.ids)


def _placeholders(ticket: Ticket, marked: tuple[Project, ...], at: Circumstances) -> Decision:
    """Only placeholders: complete the winner, once no other batch can be about to complete another one."""
    winner = winner_of(ticket, marked)
    if len(marked) > 1:
        ticket.odd = True
    batches = {batch_of(project) for project in marked}
    if batches == {at.batch}:
        return ApplySettings(winner)
    ticket.odd = True
    if _other_intent(ticket, winner):
        age = (at.server_time - winner.created_at).total_seconds()
        if age > at.patience.lease:
            return Abandoned(winner)
        remaining = min(at.patience.rivals, at.patience.lease - age + 1.0)
        return Wait(remaining, f"another batch is making project {winner.id} of this title with other settings")
    alone = len(batches) == 1 and not any(send.lost or send.answer is Answer.CREATED for send in ticket.sends)
    state = {project.id: project.description for project in marked}
    ticket.parked = ticket.parked + 1 if ticket.rivals == state else 0
    # The batch that made the winner completes it; the others wait twice as long, so that two don't write at once.
    if alone or ticket.parked >= (1 if batch_of(winner) == at.batch else 2):
        return ApplySettings(winner)
    ticket.rivals = state
    return Wait(at.patience.rivals, "another batch is making the same project")


def winner_of(ticket: Ticket, marked: tuple[Project, ...]) -> Project:
    """The placeholder that every batch completes: the one with the lowest id, counting one for each send.

    A placeholder to which we have sent a PATCH stays the winner: if that PATCH is carried out late, another winner would leave
    two complete projects.

    A server that repeats a request makes several placeholders of one send. The one whose id was answered counts, else the
    one with the highest id, because an earlier copy may have been left incomplete.
    """
    patched = [project for project in marked if project.id in ticket.patched]
    if patched:
        return patched[0]
    answered = {send.project for send in ticket.sends}
    stand_in: dict[str, Project] = {}
    for project in marked:
        send = send_of(project)
        current = stand_in.get(send)
        if current is None or project.id in answered or current.id not in answered:
            stand_in[send] = project
    return min(stand_in.values(), key=lambda project: project.id)


def _other_intent(ticket: Ticket, project: Project) -> bool:
    mark = read_mark(project.description)
    return mark is None or mark.intent != ticket.target.intent


def _nothing(ticket: Ticket, at: Circumstances) -> Decision:
    """No project: wait for creates that may still be carried out, then send another, up to a limit."""
    last = ticket.sends[-1] if ticket.sends else None
    if last is None or last.answer is Answer.REFUSED:
        return CreatePlaceholder()
    if last.answer is Answer.REJECTED:
        return Refused(last.error)
    if last.answer is not Answer.CREATED:
        ticket.looks += 1
        if ticket.looks < len(at.patience.unanswered):
            return Wait(
                at.patience.unanswered[ticket.looks],
                "the answer to a create was lost, and its project has not appeared yet",
            )
    if ticket.sends_counted < at.patience.most_sends:
        return CreatePlaceholder()
    if not any(send.lost for send in ticket.sends):
        reason = f"its project was removed {len(ticket.sends)} times while it was being made: ask who else works here"
        return Unclear("removed", reason, ())
    reason = (
        f"{len(ticket.sends)} creates were sent, none was answered, and no project of this title appeared: "
        "search for the title before you run the row again"
    )
    return Unclear("never-seen", reason, ())
