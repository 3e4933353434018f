"""Carries out rows, exactly once: the state machine of a batch.

A row is a *stake* (a create whose description is its mark), a *look* at the newest projects, and a *finish* (one PATCH that
writes settings and final description, and so takes the mark off). No create is sent again without a look that began after
the last one failed. The engine makes one attempt at a row; what may pass by waiting is raised as `Unsettled`, and the loop
round it (Prefect's task retries, or `provision`) comes back for the rows without an outcome.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus

from stencil.json_value import JSON
from stencil.labelstudio import LabelStudio, LabelStudioError, Project, Rejected, Throttled, Unauthorized, Unsure
from stencil.marks import Standing, key_of, new_id, read_mark, standing
from stencil.overrides import differing
from stencil.pacing import Clock
from stencil.planning import Action, Planned
from stencil.problems import StencilError
from stencil.provisioning.looking import Look, Looker, Stale
from stencil.provisioning.policy import Patience
from stencil.provisioning.resolving import (
    Abandoned,
    Circumstances,
    Decision,
    Done,
    Finish,
    Refused,
    Stake,
    Twins,
    Unclear,
    Wait,
    Yield,
    resolve,
)
from stencil.provisioning.tickets import Answer, Send, Siblings, Ticket, batch_of
from stencil.report import Outcome

logger = logging.getLogger("stencil.provisioning")

#: Times that one attempt takes up a row again because it was throttled, or because its look grew old.
_MOST_ROUNDS = 20

_RUN_AGAIN = "run the sheet again to see that each row has one project and that no half-made ones are left."


class Unsettled(StencilError):
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


class Stopping:
    """Whether the batch is to stop, and why; rows that have not been staked then stay unprocessed."""

    def __init__(self) -> None:
        self.reason = ""

    def stop(self, reason: str) -> None:
        """Stop before the next stake; the first reason is kept."""
        self.reason = self.reason or reason

    def __bool__(self) -> bool:
        """Whether the batch is to stop."""
        return bool(self.reason)


class Engine:
    """One batch on its way: its tickets, its looks, and what it can prove to be its own."""

    def __init__(
        self,
        studio: LabelStudio,
        planned: Sequence[Planned],
        *,
        covered: int,
        clock: Clock,
        patience: Patience | None = None,
        stopping: Stopping | None = None,
    ) -> None:
        """Take over a plan.

        Args:
            studio: An open client.
            planned: The rows; those that need no write are settled at once.
            covered: Highest project id that the plan has read.
            clock: What time it is.
            patience: Waits and counts.
            stopping: Shared with whoever may stop the batch.
        """
        self.batch = new_id()
        self.patience = patience or Patience()
        self.stopping = stopping or Stopping()
        self.tickets = tuple(Ticket(each, known={project.id for project in each.projects}) for each in planned)
        self.notes: list[str] = []
        self._studio, self._clock = studio, clock
        self._settled: Callable[[Ticket], None] = lambda ticket: None
        self._looker = Looker(studio, clock, self.patience, keys=(each.target.key for each in planned), covered=covered)
        self._user: int | None = None
        for ticket in self.tickets:
            self._take_over(ticket)

    def when_settled(self, call: Callable[[Ticket], None]) -> None:
        """Call this with each ticket as it gets its outcome; one that the sweep takes up again may come twice."""
        self._settled = call

    # One attempt

    async def attempt(self, tickets: Iterable[Ticket]) -> None:
        """Make one attempt at each ticket that has no outcome yet.

        Raises:
            Unsettled: Some of them still have none, and may have one if they are tried again.
        """
        rows = list(tickets)
        try:
            await asyncio.gather(*(self._attempt(ticket) for ticket in rows if not ticket.settled))
        except asyncio.CancelledError:
            # Those whose turn had not come did not notice.
            for ticket in rows:
                self._stopped(ticket)
            raise
        waiting = [ticket for ticket in rows if not ticket.settled]
        if waiting:
            seconds = max(0.0, min(ticket.not_before for ticket in waiting) - self._clock.now())
            raise Unsettled(waiting, seconds)

    def give_up(self, tickets: Iterable[Ticket]) -> None:
        """Settle those that still have no outcome: they were tried as often as they are to be."""
        for ticket in tickets:
            if not ticket.settled:
                self._leave(ticket, f"given up after {ticket.attempts} attempts: {ticket.waiting_for}")

    async def _attempt(self, ticket: Ticket) -> None:
        if self.stopping and not ticket.started:
            self._stopped(ticket)
            return
        ticket.attempts += 1
        began = self._clock.now()
        ticket.began = began if ticket.began is None else ticket.began
        try:
            if ticket.not_before > began:
                await self._clock.sleep(ticket.not_before - began)
            await (self._update(ticket) if ticket.planned.action is Action.UPDATE else self._advance(ticket))
        except NotYet as later:
            self._put_off(ticket, later.seconds, later.reason)
        except Unauthorized as error:
            self.stopping.stop(str(error))
            self._stopped(ticket)
        except (Unsure, Throttled) as error:
            self._put_off(ticket, 0.0, str(error))
        except LabelStudioError as error:
            self._leave(ticket, str(error))
        except asyncio.CancelledError:
            self._stopped(ticket)
            raise

    def _put_off(self, ticket: Ticket, seconds: float, reason: str) -> None:
        ticket.not_before = self._clock.now() + seconds
        ticket.waiting_for = reason
        # What is known by now, should the batch end here.
        ticket.project, ticket.error_code = _half_made(ticket), "stopped"
        ticket.error = f"the batch ended while the row waited: {reason}; {_left(ticket)}"
        logger.debug("line %s waits %.1f s: %s", ticket.target.request.line, seconds, reason)

    # A create and what follows it

    async def _advance(self, ticket: Ticket) -> None:
        """Take a row that has no finished project to one."""
        stake = not ticket.on_studio and not ticket.sends
        for _ in range(_MOST_ROUNDS):
            look = await (self._stake(ticket) if stake else self._look(ticket))
            if look is None:
                return
            decision = await self._decide(ticket, look)
            logger.debug("line %s: %s", ticket.target.request.line, decision)
            if isinstance(decision, Stake):
                stake = True
                continue
            stake = False
            try:
                if await self._carry_out(ticket, decision, look):
                    return
            except (Stale, Throttled):
                continue
        raise NotYet(self.patience.settle[0], "the studio keeps the batch waiting")

    async def _stake(self, ticket: Ticket) -> Look | None:
        """Send a create and look; nothing where the studio refused the row."""
        async with self._looker.place():
            if self.stopping:
                self._stopped(ticket)
                return None
            async with self._looker.staking():
                await self._send(ticket)
            return None if ticket.settled else await self._look(ticket)

    async def _send(self, ticket: Ticket) -> None:
        send = Send(new_id(), floor=self._looker.covered, at=self._clock.wall())
        ticket.sends.append(send)
        ticket.looks = 0
        self._looker.expect(send)
        try:
            project = await self._create(ticket, send)
        except Rejected as rejected:
            send.ended = self._clock.now()
            self._rejected(ticket, send, rejected)
        except (Throttled, Unsure) as error:
            send.ended = self._clock.now()
            if isinstance(error, Unsure) and not error.sent:
                send.answer, send.counted = Answer.REFUSED, False
                raise
            if error.status == HTTPStatus.TOO_MANY_REQUESTS:
                # The studio said no. A proxy may have said it for a create that it had passed on: look, then send again.
                send.answer, send.counted = Answer.REFUSED, False
                return
            send.answer, ticket.odd = Answer.UNSURE, True
            raise NotYet(self.patience.settle[0], str(error)) from error
        except Unauthorized:
            send.answer = Answer.REFUSED
            raise
        else:
            send.ended = self._clock.now()
            await self._staked(ticket, send, project)

    async def _create(self, ticket: Ticket, send: Send) -> Project:
        target = ticket.target
        title, mark = target.request.title, target.mark(self.batch, send.name)
        if target.template.id is not None:
            return await self._studio.create_from_template(
                target.template.id, title=title, description=mark, workspace=target.workspace
            )
        place: dict[str, JSON] = {} if target.workspace is None else {"workspace": target.workspace}
        return await self._studio.create_project({**target.at_creation, **place, "title": title, "description": mark})

    async def _staked(self, ticket: Ticket, send: Send, project: Project) -> None:
        """A 201; it has to name the project that was asked for, or nobody would know it again."""
        send.answer, send.project, send.seen = Answer.STAKED, project.id, True
        ticket.known.add(project.id)
        mark = read_mark(project.description)
        if mark is None or mark.send != send.name:
            reason = f"the studio did not keep the description of project {project.id}, by which a half-made project is known"
            self._settle(ticket, Outcome.AMBIGUOUS, project.id, "mark-not-kept", reason)
            return
        self._looker.answered(project)
        if key_of(project.workspace, project.title) != ticket.target.key:
            await self._misnamed(ticket, project)

    async def _misnamed(self, ticket: Ticket, project: Project) -> None:
        """A 201 with another title or workspace: what the project itself says counts."""
        current = await self._looker.read(project.id)
        if current is not None and key_of(current.workspace, current.title) != ticket.target.key:
            reason = f"the studio gave project {project.id} another title or workspace than was asked for: look at it"
            self._settle(ticket, Outcome.AMBIGUOUS, project.id, "renamed", reason)

    def _rejected(self, ticket: Ticket, send: Send, rejected: Rejected) -> None:
        """A 4xx: the row has failed; but look first where the answer speaks of its title, or a lost create may have landed."""
        send.answer, send.error = Answer.REJECTED, str(rejected)
        title_taken = rejected.status == HTTPStatus.CONFLICT or "title" in rejected.fields
        if not title_taken and not any(earlier.lost for earlier in ticket.sends):
            self._settle(ticket, Outcome.FAILED, code="rejected", error=send.error)

    # Looking and deciding

    async def _look(self, ticket: Ticket) -> Look:
        """A look that covers whatever the row's sends made and no answer named."""
        return await self._looker.look(min((send.floor for send in ticket.sends if send.lost), default=math.inf))

    async def _decide(self, ticket: Ticket, look: Look) -> Decision:
        for number in sorted(ticket.patched):
            await self._looker.read(number)
        projects = await self._looker.siblings(ticket.target.key, ticket.known, look)
        ticket.known = {project.id for project in projects}
        ticket.odd = ticket.odd or look.lagging or len(projects) > 1
        at = Circumstances(
            self.batch, self._clock.now(), self._server_time(), frozenset(self._looker.proven), self.patience
        )
        return resolve(ticket, Siblings.of(projects), at)

    def _server_time(self) -> datetime:
        return self._studio.server_time() or datetime.now(UTC)

    async def _carry_out(self, ticket: Ticket, decision: Decision, look: Look) -> bool:
        """Do what was decided; whether that settled the row.

        Raises:
            NotYet: It has to wait.
            Stale: The look grew old before the write.
            Throttled: The studio asked for a pause before the write.
        """
        match decision:
            case Wait(seconds, reason):
                raise NotYet(seconds, reason)
            case Unclear(code, reason, ids):
                self._settle(ticket, Outcome.AMBIGUOUS, ids[0] if ids else None, code, _with_ids(reason, ids))
            case Yield(project):
                self._settle(ticket, Outcome.EXISTS, project.id)
            case Done(project):
                await self._check_done(ticket, project)
            case Finish(project):
                return await self._finish(ticket, project, look)
            case Refused(reason):
                await self._refuse(ticket, reason)
            case Abandoned(project) | Twins(project):
                return await self._clear(ticket, decision, project)
            case Stake():
                return False
        return True

    async def _clear(self, ticket: Ticket, decision: Decision, project: Project) -> bool:
        """Remove an abandoned half-made project, or our own surplus twin; whether the row is settled since it can't be."""
        if isinstance(decision, Abandoned):
            removed = await self._remove(project)
        elif await self._has_equal_twin(ticket, project):
            removed = await self._remove(project, holding=ticket.target.settings)
        else:
            ids = tuple(sorted(ticket.known))
            reason = (
                "two projects of this workspace and title exist, and they differ: keep one, delete or rename the other"
            )
            self._settle(ticket, Outcome.AMBIGUOUS, project.id, "twins", _with_ids(reason, ids))
            return True
        if removed:
            return False
        reason = (
            f"project {project.id} stands in the way and can't be shown to be ours: look at it, then delete it by hand"
        )
        self._settle(ticket, Outcome.AMBIGUOUS, project.id, "not-ours", reason)
        return True

    async def _refuse(self, ticket: Ticket, reason: str) -> None:
        """Settle a row that the studio refuses; what this batch half made of it goes."""
        left = []
        for project in self._looker.remembered(ticket.target.key):
            ours = batch_of(project) == self.batch
            if standing(project) is not Standing.FINISHED and not (ours and await self._remove(project)):
                left.append(project.id)
        if left:
            reason += f"; project {left[0]} is left half made: mend the row and run it again, or delete it by hand"
        self._settle(ticket, Outcome.FAILED, left[0] if left else None, "rejected", reason)

    # Finishing

    async def _finish(self, ticket: Ticket, project: Project, look: Look) -> bool:
        """Write settings and final description; whether that settled the row."""
        ticket.foreign = batch_of(project) != self.batch
        if not await self._unchanged(ticket, project):
            return False
        settings = ticket.target.settings
        # What a template gives to a project may be written after the create was answered: only what the create itself carried
        # is taken for granted.
        granted = project.settings if ticket.target.template.id is None else {}
        fields = differing(settings, granted)
        ticket.bound = project.id
        try:
            echo = await self._patch(project, {**fields, "description": settings["description"]}, look)
        except Rejected as rejected:
            return await self._finish_refused(ticket, project, rejected)
        except Throttled as throttled:
            # A 429 says no; a 503 may stand for a write that was carried out.
            if throttled.status != HTTPStatus.TOO_MANY_REQUESTS:
                self._patch_lost(ticket, project)
            raise
        except Unsure as unsure:
            if unsure.sent:
                self._patch_lost(ticket, project)
            raise NotYet(self.patience.settle[0], str(unsure)) from unsure
        except asyncio.CancelledError:
            self._patch_lost(ticket, project)
            raise
        self._looker.proven.add(project.id)
        self._looker.remember(replace(echo, settings={}), self._clock.now())
        self._check(ticket, echo, Outcome.FINISHED if ticket.foreign else Outcome.CREATED)
        return True

    async def _patch(self, project: Project, fields: Mapping[str, JSON], look: Look) -> Project:
        """The project as the PATCH left it; the answer is not waited for longer than rivals wait for each other."""

        def before() -> None:
            self._looker.check_fresh(look)
            limit.reschedule(asyncio.get_running_loop().time() + self.patience.patch)

        try:
            async with asyncio.timeout(None) as limit:
                return await self._studio.update_project(project.id, fields, before=before)
        except TimeoutError as error:
            reason = f"no answer to the PATCH of project {project.id} within {self.patience.patch:g} s"
            raise Unsure(reason, method="PATCH", reason=reason) from error

    def _patch_lost(self, ticket: Ticket, project: Project) -> None:
        ticket.patched.add(project.id)
        ticket.odd = True

    async def _unchanged(self, ticket: Ticket, project: Project) -> bool:
        """Whether rivals are still as they were seen: another owner may be finishing one at this moment."""
        seen = dict(ticket.rivals or {})
        if ticket.foreign:
            seen[project.id] = project.description
        for number, description in seen.items():
            current = await self._looker.read(number)
            if current is None or current.description != description or standing(current) is not Standing.MARKED:
                ticket.rivals = None
                return False
        return True

    async def _finish_refused(self, ticket: Ticket, project: Project, rejected: Rejected) -> bool:
        ticket.bound = None
        ticket.patched.discard(project.id)
        if rejected.status == HTTPStatus.NOT_FOUND:
            self._looker.forget(project.id)
            ticket.known.discard(project.id)
            return False
        # Kept, in case its removal has to be tried again.
        ticket.refusal = str(rejected)
        await self._refuse(ticket, ticket.refusal)
        return True

    async def _check_done(self, ticket: Ticket, project: Project) -> None:
        """Our PATCH whose answer was lost has landed, or somebody else finished the project: compare."""
        current = await self._looker.read(project.id)
        if current is None:
            raise Stale
        if differing(ticket.target.settings, _settings(current)):
            self._settle(ticket, Outcome.EXISTS, project.id)
            return
        self._looker.proven.add(project.id)
        self._check(ticket, current, Outcome.FINISHED if ticket.foreign else Outcome.CREATED)

    def _check(self, ticket: Ticket, project: Project, outcome: Outcome) -> None:
        """Compare the finished project with the row: a project that is not as asked for is not well."""
        target = ticket.target
        if key_of(project.workspace, project.title) != target.key:
            reason = f"project {project.id} was renamed or moved while it was being made: look at it"
            self._settle(ticket, Outcome.AMBIGUOUS, project.id, "renamed", reason)
            return
        differs = differing(target.settings, _settings(project))
        if differs:
            names = ", ".join(sorted(differs))
            reason = (
                f"project {project.id} was made, but the studio did not keep {names} as the row has it: set it by hand"
            )
            self._settle(ticket, Outcome.FAILED, project.id, "setting-not-kept", reason)
            return
        self._settle(ticket, outcome, project.id)

    # Updating what exists

    async def _update(self, ticket: Ticket) -> None:
        """Bring an existing project to the row's overrides."""
        project, changes = ticket.planned.projects[0], ticket.planned.changes
        if project.id in ticket.patched:
            current = await self._studio.project(project.id)
            if not differing(changes, _settings(current)):
                self._settle(ticket, Outcome.UPDATED, project.id)
                return
        try:
            echo = await self._studio.update_project(project.id, changes)
        except Rejected as rejected:
            self._settle(ticket, Outcome.FAILED, project.id, "rejected", str(rejected))
            return
        except Unsure as unsure:
            if unsure.sent:
                ticket.patched.add(project.id)
            raise NotYet(self.patience.settle[0], str(unsure)) from unsure
        differs = differing(changes, _settings(echo))
        if key_of(echo.workspace, echo.title) != ticket.target.key:
            reason = f"project {project.id} was renamed or moved while it was being updated: look at it"
            self._settle(ticket, Outcome.AMBIGUOUS, project.id, "renamed", reason)
        elif differs:
            reason = f"the studio did not keep {', '.join(sorted(differs))} as the row has it"
            self._settle(ticket, Outcome.FAILED, project.id, "setting-not-kept", reason)
        else:
            self._settle(ticket, Outcome.UPDATED, project.id)

    # Removing what is provably ours

    async def _remove(self, project: Project, *, holding: Mapping[str, JSON] | None = None) -> bool:
        """Delete a project if it is still what it was and our user made it; whether it is gone.

        Args:
            project: As it was seen: half made, or, where `holding` is given, finished by ourselves.
            holding: Settings that it must still hold.

        Raises:
            Stale: The deletion had to wait for its turn until the reading before it was old.
        """
        us = await self._our_user()
        async with self._looker.quiet():
            current = await self._looker.read(project.id)
            if current is None:
                return True
            same = (current.title, current.workspace, current.description) == (
                project.title,
                project.workspace,
                project.description,
            )
            if not same or current.tasks or current.created_by is None or current.created_by != us:
                return False
            if holding is None and standing(current) is not Standing.MARKED:
                return False
            if holding is not None and differing(holding, _settings(current)):
                return False
            read = self._clock.now()

            def before() -> None:
                if self._clock.now() - read > self.patience.read:
                    raise Stale

            try:
                await self._studio.delete_project(current.id, before=before)
            except Rejected as rejected:
                if rejected.status != HTTPStatus.NOT_FOUND:
                    return False
            self._looker.forget(current.id)
            logger.info("removed project %s, a surplus copy of %r", current.id, current.title)
            return True

    async def _our_user(self) -> int:
        if self._user is None:
            self._user = (await self._studio.whoami()).id
        return self._user

    async def _has_equal_twin(self, ticket: Ticket, project: Project) -> bool:
        """Whether a finished project of a lower id is as the row has it, so that ours is the surplus one."""
        for number in sorted(ticket.known):
            if number >= project.id:
                return False
            twin = await self._looker.read(number)
            if twin is not None and standing(twin) is Standing.FINISHED:
                return not differing(ticket.target.settings, _settings(twin))
        return False

    # The sweep

    async def sweep(self) -> None:
        """Look after the rows to which anything odd happened, until two looks agree that each has one project.

        Removes half-made copies whose row is finished, finishes what turned up late, and points outcomes at what survived.
        Where nothing was odd it costs one look, or nothing where the last one has shown all that was made since the plan.
        """
        if self.stopping:
            if self._odd():
                self.notes.append(f"The batch stopped before its sweep: {_RUN_AGAIN}")
            return
        self._notice()
        if not self._odd() and self._looker.reached <= self._looker.base:
            return
        await self._wait_for_late()
        before: Mapping[str, tuple[int, ...]] | None = None
        for _ in range(_MOST_ROUNDS):
            now = await self._swept()
            agreed = now is not None and (now == before or not now) and all(ticket.settled for ticket in self._odd())
            if agreed or self.stopping:
                break
            before = now
            await self._clock.sleep(self.patience.rivals)
        if not agreed:
            self.notes.append(f"The sweep did not come to an end{_because(self.stopping)}: {_RUN_AGAIN}")
        self.give_up(self._odd())
        self.notes += [_unseen(ticket, send) for ticket in self._odd() for send in ticket.sends if send.lost]

    def _odd(self) -> list[Ticket]:
        return [ticket for ticket in self.tickets if ticket.odd]

    async def _swept(self) -> Mapping[str, tuple[int, ...]] | None:
        """One round of the sweep: the ids of each odd row's key before it, or nothing where the studio did not answer."""
        try:
            look = await self._looker.look(self._looker.base)
            self._notice()
            found = {ticket.target.key: await self._tidied(ticket, look) for ticket in self._odd()}
        except Unauthorized as error:
            self.stopping.stop(str(error))
        except LabelStudioError as error:
            logger.warning("the sweep was interrupted: %s", error)
        else:
            ids = {key: each for key, each in found.items() if each is not None}
            return ids if len(ids) == len(found) else None
        return None

    async def _tidied(self, ticket: Ticket, look: Look) -> tuple[int, ...] | None:
        """`_tidy`, or nothing where that has to be done again."""
        try:
            return await self._tidy(ticket, look)
        except (Unsure, Throttled, Stale) as error:
            logger.warning("line %s is swept once more: %s", ticket.target.request.line, error)
            return None

    def _notice(self) -> None:
        """Find rows of which another project came to light behind the looks: ids are given before commits."""
        for ticket in self.tickets:
            if ticket.outcome is not None and ticket.outcome.well:
                found = {project.id for project in self._looker.remembered(ticket.target.key)}
                ticket.odd = ticket.odd or not found <= {ticket.project}

    async def _wait_for_late(self) -> None:
        ended = [send.ended for ticket in self.tickets for send in ticket.sends if send.lost]
        wait = max(ended, default=-math.inf) + self.patience.late - self._clock.now()
        if wait > 0:
            await self._clock.sleep(wait)

    async def _tidy(self, ticket: Ticket, look: Look) -> tuple[int, ...]:
        """Bring one odd row in order; the ids of its key before that."""
        siblings = Siblings.of(await self._looker.siblings(ticket.target.key, ticket.known, look))
        if len(siblings.finished) == 1 and not siblings.touched:
            survivor = siblings.finished[0]
            await self._stand_for(ticket, survivor)
            if siblings.marked and not await self._finished_still(survivor):
                return siblings.ids
            for loser in siblings.marked:
                await self._remove(loser)
        elif siblings.ids or not ticket.settled:
            await self._again(ticket, siblings)
        elif ticket.outcome is not None and ticket.outcome.well:
            reason = (
                f"project {ticket.project} was removed by somebody after it was made: run the row again to make it anew"
            )
            self._settle(ticket, Outcome.FAILED, None, "removed", reason)
        return siblings.ids

    async def _finished_still(self, survivor: Project) -> bool:
        """Whether the project for whose sake others go is there: a list may lag behind its end."""
        current = await self._looker.read(survivor.id)
        return current is not None and current.title == survivor.title and standing(current) is Standing.FINISHED

    async def _stand_for(self, ticket: Ticket, survivor: Project) -> None:
        """Point a row's outcome at the one finished project of its key."""
        named = ticket.outcome is not None and ticket.outcome is not Outcome.AMBIGUOUS and ticket.project == survivor.id
        if named or ticket.refusal:
            return
        if survivor.id in self._looker.proven | ticket.patched:
            await self._check_done(ticket, survivor)
        else:
            self._settle(ticket, Outcome.EXISTS, survivor.id)

    async def _again(self, ticket: Ticket, siblings: Siblings) -> None:
        """Something other than one finished project is there: take the row up once more."""
        if ticket.planned.action in (Action.UPDATE, Action.UNCHANGED, Action.EXISTS) and siblings.finished:
            # There was nothing to make of it, so none of these is ours to choose from.
            self._twins(ticket, siblings.ids)
        elif ticket.outcome is not Outcome.FAILED or (not ticket.refusal and not siblings.finished):
            ticket.reopen()
            await self._attempt(ticket)

    # Outcomes

    def _take_over(self, ticket: Ticket) -> None:
        """Settle what needs no write; leftovers beside a finished project are the sweep's."""
        projects = ticket.planned.projects
        ticket.odd = len(projects) > 1 and ticket.planned.action is not Action.AMBIGUOUS
        match ticket.planned.action:
            case Action.EXISTS:
                ticket.settle(Outcome.EXISTS, projects[0].id)
            case Action.UNCHANGED:
                ticket.settle(Outcome.UNCHANGED, projects[0].id)
            case Action.AMBIGUOUS:
                self._twins(ticket, tuple(sorted(project.id for project in projects)))
            case _:
                pass

    def _twins(self, ticket: Ticket, ids: Sequence[int]) -> None:
        reason = "more than one project of this workspace and title exists, or a half-made one was changed by hand"
        self._settle(ticket, Outcome.AMBIGUOUS, ids[0], "twins", _with_ids(reason, ids))

    def _settle(
        self, ticket: Ticket, outcome: Outcome, project: int | None = None, code: str = "", error: str = ""
    ) -> None:
        ticket.settle(outcome, project, code, error)
        if ticket.began is not None:
            ticket.seconds = self._clock.now() - ticket.began
        self._settled(ticket)

    def _stopped(self, ticket: Ticket) -> None:
        if ticket.settled:
            return
        reason = self.stopping.reason or "cancelled"
        if not ticket.started or not ticket.on_studio:
            self._settle(ticket, Outcome.UNPROCESSED, code="stopped", error=f"the batch stopped first: {reason}")
            return
        error = f"the batch stopped: {reason}; {_left(ticket)}"
        self._settle(ticket, Outcome.UNPROCESSED, _half_made(ticket), "stopped", error)

    def _leave(self, ticket: Ticket, reason: str) -> None:
        """No more tries: what may be on the studio is said, the rest has failed."""
        if not ticket.on_studio:
            self._settle(ticket, Outcome.FAILED, code="gave-up", error=reason)
            return
        ids = tuple(sorted(ticket.known))
        self._settle(
            ticket,
            Outcome.AMBIGUOUS,
            ids[0] if ids else None,
            "gave-up",
            _with_ids(f"{reason}; a rerun settles it", ids),
        )


def _settings(project: Project) -> dict[str, JSON]:
    return {**project.settings, "description": project.description}


def _half_made(ticket: Ticket) -> int | None:
    """The project of the row to look at, where there is one."""
    return ticket.bound if ticket.bound is not None else min(ticket.known, default=None)


def _left(ticket: Ticket) -> str:
    """What of a row is on the studio, and what comes of it."""
    project = _half_made(ticket)
    if ticket.planned.action is Action.UPDATE:
        return f"project {project} may not have been updated; a rerun sees to it"
    if project is not None:
        return f"project {project} is half made, and a rerun finishes it"
    if any(send.lost for send in ticket.sends):
        return "a create of it was not answered yet, and a rerun finishes or removes what it makes"
    return "nothing of it is on the studio"


def _because(stopping: Stopping) -> str:
    return f" ({stopping.reason})" if stopping else ""


def _with_ids(reason: str, ids: Sequence[int]) -> str:
    return f"{reason} (projects {', '.join(map(str, ids))})" if ids else reason


def _unseen(ticket: Ticket, send: Send) -> str:
    request = ticket.target.request
    return (
        f"A create of line {request.line} ({request.title}), sent at {send.at:%H:%M:%S} UTC, was never answered nor seen; "
        "should it land after all, it is marked, and the next run of this sheet removes it."
    )
