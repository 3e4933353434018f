"""Carries out rows, exactly once: the state machine of a batch.

Each row takes three steps: create a *placeholder*, whose description is the marker; *look* at the newest projects; and *apply
settings*, one PATCH that writes settings and final description, and so removes the marker. No create is sent again
without a look that began after the last one failed. The engine makes one attempt at a row. If some rows have to wait, it raises
`RowsWaiting`, and the loop around it (Prefect's task retries, or that of `batch`) tries the rows without an outcome again.

This module has the order of the steps. `protocol` decides what follows from a look; `creation`, `look`, `completion`,
`deletion` and `sweep` each hold one step, and give rows their outcomes through `context`.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from label_studio_stencil.concurrency import together
from label_studio_stencil.engine import completion, creation, deletion
from label_studio_stencil.engine.context import Context, NotYet, Outcomes, RowsWaiting, with_ids
from label_studio_stencil.engine.creation import Halted
from label_studio_stencil.engine.look import Look, Looks, Stale
from label_studio_stencil.engine.protocol import (
    Abandoned,
    ApplySettings,
    Circumstances,
    CreatePlaceholder,
    Decision,
    Done,
    Refused,
    Twins,
    Unclear,
    Wait,
    Yield,
    resolve,
)
from label_studio_stencil.engine.steps import StepRunner
from label_studio_stencil.engine.stop import INTERRUPTED, Stopping
from label_studio_stencil.engine.sweep import Sweeper
from label_studio_stencil.engine.ticket import Siblings, Ticket
from label_studio_stencil.engine.turns import Turns, window
from label_studio_stencil.engine.waits import Waits
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import LabelStudioError, Throttled, Unauthorized, Unsure
from label_studio_stencil.labelstudio.listing import ListUnusable
from label_studio_stencil.labelstudio.outage import LongOutage
from label_studio_stencil.labelstudio.pacing import Clock
from label_studio_stencil.plans.marker import new_id
from label_studio_stencil.plans.plan import Action, Planned
from label_studio_stencil.policy import Patience
from label_studio_stencil.problems import listed
from label_studio_stencil.report.outcomes import Outcome

logger = logging.getLogger(__name__)

#: How often one attempt starts a row over because it was throttled, or because its look became too old.
_MOST_ROUNDS = 20

#: Outcomes of rows that were stopped before they were done.
_CUT_OFF = (None, Outcome.UNPROCESSED)


class Engine:
    """The state machine of one batch: its tickets, its looks, and the projects that are provably its own."""

    def __init__(
        self,
        label_studio: LabelStudio,
        planned: Sequence[Planned],
        *,
        covered: int,
        ordered: bool = True,
        clock: Clock,
        patience: Patience | None = None,
        stopping: Stopping | None = None,
        longest_outage: float = 0.0,
        people: Mapping[str, int] | None = None,
    ) -> None:
        """Take over a plan.

        Args:
            label_studio: An open client.
            planned: The rows; those that need no write get their outcome at once.
            covered: Highest project id that the plan has read.
            ordered: Whether the list that the plan read was sorted newest first.
            clock: The clock of the batch.
            patience: Waits and counts.
            stopping: The flag that stops the batch; callers may set it.
            longest_outage: Seconds for which Label Studio may be unavailable before the batch stops; 0 means no wait.
            people: User ids by e-mail address in lower case, for all people that rows name.
        """
        self.batch = new_id()
        self.patience = patience or Patience()
        self.stopping = stopping or Stopping()
        self.tickets = tuple(Ticket(each, known=tuple(project.id for project in each.projects)) for each in planned)
        if any(each.target.request.steps.tasks for each in planned):
            self.patience = replace(self.patience, window=window(label_studio.pacer, self.patience.window))
        self._label_studio, self._clock = label_studio, clock
        self.waits = Waits(clock)
        label_studio.pacer.paused = lambda seconds: self.waits.refused(seconds, label_studio.pacer.pauses)
        label_studio.outage.limit = longest_outage
        label_studio.outage.is_hurried = lambda: bool(self.stopping)
        label_studio.outage.tell = lambda text: self.waits.tell(text)
        self._looks = Looks(
            label_studio,
            clock,
            self.patience,
            keys=(each.target.key for each in planned),
            workspaces=(each.target.workspace for each in planned),
            covered=covered,
            ordered=ordered,
            to_create=sum(each.action is Action.CREATE for each in planned),
            stopping=self.stopping,
            waits=self.waits,
        )
        self._outcomes = Outcomes(clock, self.stopping, self.waits)
        self._turns = Turns(label_studio.pacer)
        self.steps = StepRunner(
            label_studio,
            people or {},
            clock,
            self.patience,
            self.waits,
            batch=self.batch,
            turns=self._turns,
            stopping=self.stopping,
            decide=self._outcomes.decide,
            list_lag=lambda: self._looks.lag,
        )
        self._context = Context(
            self.batch,
            label_studio,
            clock,
            self.patience,
            self.stopping,
            self._looks,
            self._outcomes,
            self.steps,
            self.waits,
        )
        self._sweeper = Sweeper(self._context, self.tickets, attempt=self._attempt)
        for ticket in self.tickets:
            self._outcomes.take_over(ticket)

    @property
    def notes(self) -> list[str]:
        """Notes for the report, besides the outcomes of the rows."""
        unordered = "Label Studio does not list its newest projects first, so each look read the whole list."
        cleaned = [
            f"Label Studio's HTML cleaner removed {removed} from expert_instruction "
            f"({'line' if len(set(lines)) == 1 else 'lines'} {listed([str(line) for line in sorted(set(lines))], most=5)})."
            for removed, lines in self._context.cleaned.items()
        ]
        return [*([] if self._looks.ordered else [unordered]), *cleaned, *self._sweeper.notes]

    def when_done(self, call: Callable[[Ticket], None]) -> None:
        """Register a function that is called with each ticket when it gets its outcome; twice if the sweep reopens it."""
        self._outcomes.when_done(call)

    # One attempt

    async def attempt(self, tickets: Iterable[Ticket]) -> None:
        """Make one attempt at each ticket that has no outcome yet.

        Raises:
            RowsWaiting: Some rows have no outcome yet; another attempt may give them one.
        """
        rows = list(tickets)
        try:
            await together(self._attempt(ticket) for ticket in rows if not ticket.done)
        except asyncio.CancelledError:
            # Tasks that had not started yet did not handle the cancellation.
            for ticket in rows:
                self._outcomes.stopped(ticket)
            raise
        waiting = [ticket for ticket in rows if not ticket.done]
        if waiting:
            seconds = max(0.0, min(ticket.not_before for ticket in waiting) - self._clock.now())
            raise RowsWaiting(waiting, seconds)

    async def complete_placeholders(self) -> None:
        """Make one more attempt at each row that was stopped and may have a project on Label Studio.

        Call this once the batch is stopping and none of its other attempts runs any more.
        """
        await self.steps.settled()
        cut_off = [ticket for ticket in self.tickets if ticket.outcome in _CUT_OFF and ticket.may_exist]
        for ticket in cut_off:
            ticket.reopen()
        with contextlib.suppress(RowsWaiting):
            await self.attempt(cut_off)
        for ticket in cut_off:
            self._outcomes.stopped(ticket)

    def give_up(self, tickets: Iterable[Ticket]) -> None:
        """Give an outcome to rows that still have none after the last attempt."""
        self._outcomes.give_up(tickets)

    def cut(self) -> "list[asyncio.Task[None]]":
        """Cancel what is still under way, because the batch ends, and return it."""
        return [*self.steps.cut(), *self._looks.cut()]

    def stop_rows(self) -> None:
        """Give rows that have no outcome theirs, because the batch ends, and fail those whose steps are not done."""
        for ticket in self.tickets:
            self._outcomes.stopped(ticket)
        self.steps.leave(self.tickets, self.stopping.reason or INTERRUPTED)

    async def sweep(self) -> None:
        """Check the rows to which anything unusual happened, until two looks agree that each has one project."""
        await self.steps.settled()
        await self._sweeper.sweep()

    async def _attempt(self, ticket: Ticket) -> None:
        if self.stopping and not ticket.started:
            self._outcomes.stopped(ticket)
            return
        ticket.attempts += 1
        began = self._clock.now()
        ticket.began = began if ticket.began is None else ticket.began
        try:
            if ticket.not_before > began:
                await self._clock.sleep(ticket.not_before - began)
            updates = ticket.planned.action is Action.UPDATE
            await (completion.update(self._context, ticket) if updates else self._advance(ticket))
        except Halted:
            self._outcomes.stopped(ticket)
        except NotYet as later:
            self._outcomes.put_off(ticket, later.seconds, later.reason)
        except Unauthorized as error:
            self.stopping.stop(str(error))
            self._outcomes.stopped(ticket)
        except ListUnusable as error:
            self.stopping.stop(str(error))
            self._outcomes.stopped(ticket)
        except LongOutage as error:
            self.stopping.stop(str(error))
            self._outcomes.away(ticket)
        except (Unsure, Throttled) as error:
            self._outcomes.put_off(ticket, 0.0, str(error))
        except LabelStudioError as error:
            self._outcomes.leave(ticket, str(error))
        except asyncio.CancelledError:
            self._outcomes.stopped(ticket)
            raise

    # The steps of a row that is created

    async def _advance(self, ticket: Ticket) -> None:
        """Carry a row without a complete project to its outcome."""
        create = not ticket.may_exist and not ticket.sends
        for _ in range(_MOST_ROUNDS):
            look = await (self._create(ticket) if create else self._look(ticket))
            if look is None:
                return
            decision = await self._decide(ticket, look)
            logger.debug("line %s: %s", ticket.target.request.line, decision)
            if isinstance(decision, CreatePlaceholder):
                create = True
                continue
            create = False
            try:
                if await self._carry_out(ticket, decision, look):
                    return
            except (Stale, Throttled):
                continue
        raise NotYet(self.patience.unanswered[0], "Label Studio keeps the batch waiting")

    async def _create(self, ticket: Ticket) -> Look | None:
        """Send a create and look. Returns None if Label Studio refused the row or the batch is stopping."""
        async with self._looks.place():
            await self._turns.few_wait()
            if self.stopping:
                self._outcomes.stopped(ticket)
                return None
            self._hurry()
            first = ticket.planned.action is Action.CREATE and not ticket.sends
            async with self._looks.creating(first=first):
                await creation.send(self._context, ticket)
            return None if ticket.done else await self._look(ticket)

    def _hurry(self) -> None:
        """Send the last creates before the PATCHes of earlier rows, so that these fill the time of the last look.

        Not if the creates would take so long that the earlier rows' look becomes too old.
        """
        pacer = self._label_studio.pacer
        if self._looks.to_create <= pacer.max_concurrency and pacer.backlog() < self.patience.fresh / 4:
            pacer.eager = True

    async def _look(self, ticket: Ticket) -> Look:
        """A look that covers the projects of the row's unanswered creates."""
        return await self._looks.look(min((send.floor for send in ticket.sends if send.lost), default=math.inf))

    async def _decide(self, ticket: Ticket, look: Look) -> Decision:
        for number in sorted(ticket.patched):
            await self._looks.read(number)
        projects = await self._looks.siblings(ticket.target.key, ticket.known, look)
        ticket.known = tuple(project.id for project in projects)
        ticket.odd = ticket.odd or len(projects) > 1
        patience = self.patience.behind(self._looks.lag)
        at = Circumstances(self.batch, self._clock.now(), self._server_time(), self._looks.proven, patience)
        return resolve(ticket, Siblings.of(projects), at)

    def _server_time(self) -> datetime:
        return self._label_studio.server_time() or datetime.now(UTC)

    async def _carry_out(self, ticket: Ticket, decision: Decision, look: Look) -> bool:
        """Carry out a decision. Returns whether the row has its outcome.

        Raises:
            NotYet: The row has to wait.
            Stale: The look became too old before the write.
            Throttled: Label Studio asked for a pause before the write.
        """
        match decision:
            case Wait(seconds, reason):
                raise NotYet(seconds, reason)
            case Unclear(code, reason, ids):
                self._outcomes.decide(ticket, Outcome.AMBIGUOUS, ids[0] if ids else None, code, with_ids(reason, ids))
            case Yield(project):
                self._outcomes.decide(ticket, Outcome.EXISTS, project.id)
            case Done(project):
                await completion.check_done(self._context, ticket, project)
            case ApplySettings(project):
                return await completion.apply_settings(self._context, ticket, project, look)
            case Refused(reason):
                await deletion.refuse(self._context, ticket, reason)
            case Abandoned(project) | Twins(project):
                return await deletion.clear(self._context, ticket, decision, project)
            case CreatePlaceholder():
                return False
        return True
