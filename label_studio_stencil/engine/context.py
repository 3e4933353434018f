"""What the parts of the engine share: their context, and how a row gets its outcome.

Creation, completion, deletion and sweep may each give a row its outcome. They all do it here, so that every outcome is
announced, and a row that is stopped, put off or given up has the same message wherever that happened.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from label_studio_stencil.engine.look import Looks
from label_studio_stencil.engine.steps import StepRunner
from label_studio_stencil.engine.stop import INTERRUPTED, Stopping
from label_studio_stencil.engine.ticket import Ticket
from label_studio_stencil.engine.waits import Waits
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.labelstudio.pacing import Clock
from label_studio_stencil.plans.plan import Action
from label_studio_stencil.policy import Patience
from label_studio_stencil.problems import StencilError, shown
from label_studio_stencil.report.outcomes import Outcome

logger = logging.getLogger(__name__)


class RowsWaiting(StencilError):
    """Some rows of a group have no outcome yet, and may have one if they are tried again."""

    def __init__(self, tickets: Sequence[Ticket], seconds: float) -> None:
        self.lines = tuple(ticket.target.request.line for ticket in tickets)
        self.seconds = seconds
        reasons = "; ".join(sorted({ticket.waiting_for for ticket in tickets}))
        noun = "row waits" if len(tickets) == 1 else "rows wait"
        super().__init__(f"{len(tickets)} {noun} for another try: {reasons}")


class NotYet(Exception):
    """The row's next step has to wait."""

    def __init__(self, seconds: float, reason: str) -> None:
        self.seconds, self.reason = seconds, reason
        super().__init__(reason)


class Outcomes:
    """Gives tickets their outcomes.

    Args:
        clock: The clock of the batch.
        stopping: The flag that stops the batch.
        waits: Announces waits.
    """

    def __init__(self, clock: Clock, stopping: Stopping, waits: Waits) -> None:
        self._clock, self._stopping, self._waits = clock, stopping, waits
        self._done: Callable[[Ticket], None] = lambda ticket: None

    def when_done(self, call: Callable[[Ticket], None]) -> None:
        """Register a function that is called with each ticket when it gets its outcome; twice if the sweep reopens it."""
        self._done = call

    def decide(
        self, ticket: Ticket, outcome: Outcome, project: int | None = None, code: str = "", error: str = ""
    ) -> None:
        """Give a ticket its outcome, and announce it."""
        ticket.decide(outcome, project, code, error)
        if ticket.began is not None:
            ticket.seconds = self._clock.now() - ticket.began
        self._done(ticket)

    def take_over(self, ticket: Ticket) -> None:
        """Give a row that needs no write its outcome. If it also has placeholders, the sweep removes them."""
        projects = ticket.planned.projects
        ticket.odd = len(projects) > 1 and ticket.planned.action is not Action.AMBIGUOUS
        match ticket.planned.action:
            case Action.EXISTS:
                ticket.decide(Outcome.EXISTS, projects[0].id)
            case Action.UNCHANGED:
                ticket.decide(Outcome.UNCHANGED, projects[0].id)
            case Action.AMBIGUOUS if not projects:
                self.lookalike(ticket, ticket.planned.alike[0])
            case Action.AMBIGUOUS:
                self.twins(ticket, tuple(sorted(project.id for project in projects)))
            case _:
                pass

    def twins(self, ticket: Ticket, ids: Sequence[int]) -> None:
        """Decide that several projects have the row's title and workspace, and this batch may not choose one."""
        reason = "more than one project of this workspace and title exists, or a placeholder was changed by hand"
        self.decide(ticket, Outcome.AMBIGUOUS, ids[0], "twins", with_ids(reason, ids))

    def lookalike(self, ticket: Ticket, project: Project) -> None:
        """Decide that no project has the row's title, but one has a title that looks the same."""
        reason = (
            f"project {project.id} has a different title that looks the same ({shown(project.title)!a}): rename one of them, "
            "or run the row with `allow_lookalikes=True`"
        )
        self.decide(ticket, Outcome.AMBIGUOUS, project.id, "lookalike", reason)

    def put_off(self, ticket: Ticket, seconds: float, reason: str) -> None:
        """Let the row wait for its next attempt, and note its state in case the batch ends meanwhile."""
        ticket.not_before = self._clock.now() + seconds
        ticket.waiting_for = reason
        ticket.project, ticket.error_code = _placeholder_of(ticket), "stopped"
        ticket.error = f"the batch ended while the row waited: {reason}; {_left(ticket)}"
        logger.debug("line %s waits %.1f s: %s", ticket.target.request.line, seconds, reason)
        self._waits.waiting(seconds, reason)

    def stopped(self, ticket: Ticket) -> None:
        """Mark a row as unprocessed because the batch stops, unless its outcome will last, and name its placeholder."""
        reason = self._stopping.reason or INTERRUPTED
        if ticket.done:
            # After its sweep, a batch that was not stopped knows.
            if (
                self._stopping
                and ticket.outcome is not None
                and ticket.outcome.ok
                and ticket.project in ticket.removing
            ):
                error = f"the batch stopped: {reason}; its deletion of project {ticket.project}, then a placeholder, was not "
                error += "answered and may still be carried out: run the sheet again"
                self.decide(ticket, Outcome.UNPROCESSED, ticket.project, "stopped", error)
            return
        if not ticket.started or not ticket.may_exist:
            self.decide(ticket, Outcome.UNPROCESSED, code="stopped", error=f"the batch stopped first: {reason}")
            return
        error = f"the batch stopped: {reason}; {_left(ticket)}"
        self.decide(ticket, Outcome.UNPROCESSED, _placeholder_of(ticket), "stopped", error)

    def away(self, ticket: Ticket) -> None:
        """Like `stopped`, because Label Studio is unavailable; a row whose create was not answered is ambiguous."""
        if not ticket.known and any(send.lost for send in ticket.sends):
            reason = f"{self._stopping.reason}, and a create of this row was not answered: {_left(ticket)}"
            self.decide(ticket, Outcome.AMBIGUOUS, None, "unanswered", reason)
        else:
            self.stopped(ticket)

    def give_up(self, tickets: Iterable[Ticket]) -> None:
        """Give an outcome to rows that still have none after the last attempt."""
        for ticket in tickets:
            if not ticket.done:
                self.leave(ticket, f"given up after {ticket.attempts} attempts: {ticket.waiting_for}")

    def leave(self, ticket: Ticket, reason: str) -> None:
        """Give up a row: it is ambiguous if it may have a project, otherwise failed."""
        if not ticket.may_exist:
            self.decide(ticket, Outcome.FAILED, code="gave-up", error=reason)
            return
        ids = tuple(sorted(ticket.known))
        said = with_ids(f"{reason}; run the sheet again to resolve it", ids)
        self.decide(ticket, Outcome.AMBIGUOUS, ids[0] if ids else None, "gave-up", said)


@dataclass(slots=True)
class Context:
    """The objects that the parts of one batch's engine share.

    Attributes:
        batch: Name of the batch, which is part of its markers.
        label_studio: An open client.
        clock: The clock of the batch.
        patience: Waits and counts.
        stopping: The flag that stops the batch.
        looks: The projects that were seen, and those that are provably this batch's.
        outcomes: Gives rows their outcomes.
        steps: Carries out members, tasks, publication and pins.
        waits: Announces waits.
        answered: Ids in the answers to creates, each of which may occur only once.
        user: Id of the token's user, once it was read.
        cleaned: Lines whose instructions Label Studio's HTML cleaner changed, by what it removed.
    """

    batch: str
    label_studio: LabelStudio
    clock: Clock
    patience: Patience
    stopping: Stopping
    looks: Looks
    outcomes: Outcomes
    steps: StepRunner
    waits: Waits
    answered: set[int] = field(default_factory=set)
    user: int | None = None
    cleaned: dict[str, list[int]] = field(default_factory=dict)


def with_ids(reason: str, ids: Sequence[int]) -> str:
    """The reason, followed by the ids of the projects to check."""
    return f"{reason} (projects {', '.join(map(str, ids))})" if ids else reason


def _placeholder_of(ticket: Ticket) -> int | None:
    """Id of the row's project or placeholder, if one is known."""
    return ticket.bound if ticket.bound is not None else min(ticket.known, default=None)


def _left(ticket: Ticket) -> str:
    """Describe what the row has on Label Studio, and what the next run does about it."""
    project = _placeholder_of(ticket)
    if ticket.planned.action is Action.UPDATE:
        return f"project {project} may not have been updated; a rerun updates it"
    if project is not None:
        return f"project {project} is a placeholder, and a rerun finishes it"
    if any(send.lost for send in ticket.sends):
        return "a create was not answered; if it leaves a placeholder, a rerun finishes or removes it"
    return "it has no project on Label Studio"
