"""Checks a batch's odd rows at its end: their writes may have been carried out late, twice, or while others wrote too.

While a batch runs, answers get lost, ids are assigned before the commit, and others work on the same Label Studio. The effects
show only later, so the sweep waits for requests that may still be carried out, and repeats until two looks agree.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from label_studio_stencil.concurrency import together
from label_studio_stencil.engine import completion, deletion
from label_studio_stencil.engine.context import Context
from label_studio_stencil.engine.look import Look, Stale
from label_studio_stencil.engine.stop import Stopping
from label_studio_stencil.engine.ticket import Send, Siblings, Ticket
from label_studio_stencil.labelstudio.errors import LabelStudioError, Unauthorized
from label_studio_stencil.labelstudio.listing import ListUnusable
from label_studio_stencil.labelstudio.models import Project
from label_studio_stencil.labelstudio.outage import LongOutage
from label_studio_stencil.plans.marker import Standing, standing
from label_studio_stencil.plans.plan import Action
from label_studio_stencil.policy import Patience
from label_studio_stencil.report.outcomes import Outcome

logger = logging.getLogger(__name__)

#: Most rounds until two looks agree.
_MOST_ROUNDS = 20

#: Rows that are checked at the same time.
_AT_ONCE = 100

_RUN_AGAIN = "run the sheet again to see that each row has one project and that no placeholders are left."


class Sweeper:
    """Sweeps after a batch.

    Args:
        context: The context of the batch.
        tickets: All its rows.
        attempt: Makes one more attempt at a row.

    Attributes:
        notes: Notes for the report.
    """

    def __init__(
        self,
        context: Context,
        tickets: Sequence[Ticket],
        *,
        attempt: Callable[[Ticket], Awaitable[None]],
    ) -> None:
        self.notes: list[str] = []
        self._context, self._tickets, self._attempt = context, tickets, attempt
        self._looks, self._outcomes, self._stopping = context.looks, context.outcomes, context.stopping
        self._clock, self._waits = context.clock, context.waits
        self._unhurried = context.patience

    @property
    def _patience(self) -> Patience:
        return self._unhurried.behind(self._looks.lag)

    async def sweep(self) -> None:
        """Check the odd rows until two looks agree that each has one project.

        Removes placeholders of rows that have a complete project, completes those that appeared late, and corrects outcomes.
        If no row is odd it costs one look, or none if a look has already shown all projects that were made since the plan.
        """
        await self._looks.at_rest()
        self._notice()
        if not self.odd() and self._looks.reached <= self._looks.base:
            return
        if self._stopping:
            if any(ticket.started for ticket in self._tickets):
                self.notes.append(f"The batch stopped before its sweep: {_RUN_AGAIN}")
            return
        await self._wait_for_late()
        before: Mapping[str, tuple[int, ...]] | None = None
        for _ in range(_MOST_ROUNDS):
            now = await self._swept()
            agreed = now is not None and (now == before or not now) and all(ticket.done for ticket in self.odd())
            if agreed or self._stopping:
                break
            before = now
            await self._wait(self._patience.rivals, "a second look at rows to which anything unusual happened")
        if not agreed:
            self.notes.append(f"The sweep did not finish{_because(self._stopping)}: {_RUN_AGAIN}")
        self._outcomes.give_up(self.odd())
        self.notes += [_unseen(ticket, send) for ticket in self.odd() for send in ticket.sends if send.lost]

    def odd(self) -> list[Ticket]:
        """The rows that the sweep has to check."""
        return [ticket for ticket in self._tickets if ticket.odd]

    async def _swept(self) -> Mapping[str, tuple[int, ...]] | None:
        """Run one round. Returns the ids of each odd row's projects before it, or None if Label Studio did not answer."""
        try:
            look = await self._looks.look(self._looks.base)
            self._notice()
            self._miss(look)
            found = await self._all_tidied(look)
        except (Unauthorized, LongOutage, ListUnusable) as error:
            self._stopping.stop(str(error))
        except LabelStudioError as error:
            logger.warning("the sweep was interrupted: %s", error)
        else:
            ids = {key: each for key, each in found.items() if each is not None}
            return ids if len(ids) == len(found) else None
        return None

    async def _all_tidied(self, look: Look) -> dict[str, tuple[int, ...] | None]:
        found: dict[str, tuple[int, ...] | None] = {}
        odd = self.odd()
        for start in range(0, len(odd), _AT_ONCE):
            part = odd[start : start + _AT_ONCE]
            ids = await together(self._tidied(ticket, look) for ticket in part)
            found |= zip((ticket.target.key for ticket in part), ids, strict=True)
        return found

    async def _tidied(self, ticket: Ticket, look: Look) -> tuple[int, ...] | None:
        """Call `_tidy`. Returns None if it has to be repeated."""
        try:
            return await self._tidy(ticket, look)
        except (Unauthorized, LongOutage):
            raise
        except (LabelStudioError, Stale) as error:
            logger.warning("line %s is swept once more: %s", ticket.target.request.line, error)
            return None

    def _notice(self) -> None:
        """Find rows for which another project appeared later: ids are assigned before the commit."""
        for ticket in self._tickets:
            if ticket.outcome is not None and ticket.outcome.ok:
                found = {project.id for project in self._looks.remembered(ticket.target.key)}
                ticket.odd = ticket.odd or not found <= {ticket.project}

    def _miss(self, look: Look) -> None:
        """Find rows whose project is gone: another batch's deletion may be carried out late."""
        for ticket in self._tickets:
            if ticket.outcome is not None and ticket.outcome.ok and (ticket.project or 0) > self._looks.base:
                ticket.odd = ticket.odd or ticket.project not in look.shown

    async def _wait_for_late(self) -> None:
        ended = [send.ended for ticket in self._tickets for send in ticket.sends if send.lost]
        wait = max([self._looks.deletion_lost, *ended]) + self._patience.late - self._clock.now()
        if wait > 0:
            await self._wait(wait, "requests whose answers were lost, which may still be carried out")

    async def _wait(self, seconds: float, reason: str) -> None:
        self._waits.waiting(seconds, reason)
        await self._clock.sleep(seconds)

    async def _tidy(self, ticket: Ticket, look: Look) -> tuple[int, ...]:
        """Put one odd row in order. Returns the ids of its projects before that."""
        siblings = Siblings.of(await self._looks.siblings(ticket.target.key, ticket.known, look))
        if len(siblings.complete) == 1 and not siblings.touched:
            survivor = siblings.complete[0]
            await self._stand_for(ticket, survivor)
            if siblings.marked and not await self._still_complete(survivor):
                return siblings.ids
            for loser in siblings.marked:
                await deletion.remove(self._context, loser)
        elif siblings.ids or not ticket.done:
            await self._again(ticket, siblings)
        elif ticket.outcome is not None and ticket.outcome.ok:
            reason = f"somebody deleted project {ticket.project} after it was made: run the row again to make a new one"
            self._outcomes.decide(ticket, Outcome.FAILED, None, "removed", reason)
        return siblings.ids

    async def _still_complete(self, survivor: Project) -> bool:
        """Whether the complete project still exists, before placeholders are removed: a list may lag behind its deletion."""
        current = await self._looks.read(survivor.id)
        return current is not None and current.title == survivor.title and standing(current) is Standing.COMPLETE

    async def _stand_for(self, ticket: Ticket, survivor: Project) -> None:
        """Make a row's outcome name the one complete project of its key."""
        named = ticket.outcome is not None and ticket.outcome is not Outcome.AMBIGUOUS and ticket.project == survivor.id
        updates = ticket.planned.action is Action.UPDATE and survivor.id == ticket.planned.projects[0].id
        # A refused row has failed, unless it had the project of another batch, which may be gone by now.
        refused = bool(ticket.refusal) and not (ticket.outcome is not None and ticket.outcome.ok)
        # That a project existed before the batch says nothing about the result of its update.
        if named or refused or updates:
            return
        if survivor.id in self._looks.proven or survivor.id in ticket.patched:
            await completion.check_done(self._context, ticket, survivor)
        else:
            self._outcomes.decide(ticket, Outcome.EXISTS, survivor.id)

    async def _again(self, ticket: Ticket, siblings: Siblings) -> None:
        """Attempt a row once more that has no complete project, or several."""
        if ticket.planned.action in (Action.UPDATE, Action.UNCHANGED, Action.EXISTS) and siblings.complete:
            # This batch made none of these projects, so it doesn't choose one.
            self._outcomes.twins(ticket, siblings.ids)
        elif ticket.outcome is not Outcome.FAILED or (not ticket.refusal and not siblings.complete):
            ticket.reopen()
            await self._attempt(ticket)


def _because(stopping: Stopping) -> str:
    return f" ({stopping.reason})" if stopping else ""


def _unseen(ticket: Ticket, send: Send) -> str:
    request = ticket.target.request
    return (
        f"A create of line {request.line} ({request.title}), sent at {send.at:%H:%M:%S} UTC, was never answered, and its "
        "project did not appear. If Label Studio still carries it out, it leaves a placeholder, which the next run of this "
        "sheet removes."
    )
