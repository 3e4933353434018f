"""Does what rows ask for beyond settings, once their projects are made: members, tasks, publication, a pin.

A project whose steps are not done says so at the end of its description, and that line is taken off last, together with
publication and pin. Each step looks before it acts: tasks are imported into an empty project alone, and their number has to be
right afterwards; an import whose answer was lost is looked for, and never sent a second time by the same batch.

The projects that this batch made it goes on with at once. What another one left it goes on with once the lease is over; until
then that other one may be at it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from stencil.json_value import JSON
from stencil.labelstudio import LabelStudio, LabelStudioError, Project, Rejected, Unsure
from stencil.marks import read_mark
from stencil.pacing import Clock
from stencil.problems import StencilError
from stencil.provisioning.policy import Patience
from stencil.provisioning.tickets import Ticket
from stencil.report import Outcome
from stencil.sheet import SheetUnreadable
from stencil.sheet.sources import content_of
from stencil.steps import BadStep, TaskFile, pending_of, tasks_in

#: Waits between two looks at what was imported, in seconds; the studio counts tasks some time after it took them.
_COUNTS_AGAIN = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
_MOST_PATCHES = 3

_GO_ON = "run the sheet again to go on"


def _listed_as_done(ticket: Ticket) -> bool:
    """Whether the plan's listing has shown that there is nothing left to do, so that no request is needed to learn it."""
    listed = [project for project in ticket.planned.projects if project.id == ticket.project]
    return bool(listed) and all(
        pending_of(project.description, ticket.target.key) is None and read_mark(project.description) is None
        for project in listed
    )


class StepFailed(StencilError):
    """A step of a row could not be done."""


class StepRunner:
    """Does the steps of a batch's rows.

    Args:
        studio: Where.
        people: Id of each person that rows name, by e-mail address in lower case.
        clock: What tells the time and sleeps.
        patience: Waits.
    """

    def __init__(self, studio: LabelStudio, people: Mapping[str, int], clock: Clock, patience: Patience) -> None:
        self._studio, self._people, self._clock, self._patience = studio, people, clock, patience

    async def carry_out(self, tickets: Iterable[Ticket]) -> None:
        """Do the steps of the rows that are well and ask for any; a row whose steps are not done is not well."""
        asked = (ticket for ticket in tickets if ticket.target.request.steps and ticket.outcome and ticket.outcome.well)
        await asyncio.gather(*(self._row(ticket) for ticket in asked if not _listed_as_done(ticket)))

    def leave(self, tickets: Iterable[Ticket], reason: str) -> None:
        """Say of the rows that a batch that stopped has made that their steps are not done."""
        for ticket in tickets:
            if ticket.target.request.steps and ticket.outcome in (Outcome.CREATED, Outcome.FINISHED):
                self._failed(ticket, f"the batch stopped before them ({reason}); {_GO_ON}")

    async def _row(self, ticket: Ticket) -> None:
        try:
            ticket.steps = await self._done(ticket)
        except (StepFailed, LabelStudioError) as error:
            said = str(error)
            self._failed(ticket, said if isinstance(error, StepFailed) else f"{said}; {_GO_ON}")
        except asyncio.CancelledError:
            self._failed(ticket, f"the batch was stopped amid them; {_GO_ON}")
            raise

    def _failed(self, ticket: Ticket, reason: str) -> None:
        ticket.steps = reason
        text = f"project {ticket.project} is made, and its steps are not done: {reason}"
        ticket.settle(Outcome.FAILED, ticket.project, "step-failed", text)

    async def _done(self, ticket: Ticket) -> str:
        """What was done, in words; empty where nothing was left to do."""
        project = await self._free(ticket)
        pending = pending_of(project.description, ticket.target.key) if project else None
        if project is None or pending is None:
            return ""
        steps, told = ticket.target.request.steps, []
        if steps.tasks is not None:
            told.append(await self._import(project, steps.tasks))
        if steps.members:
            told.append(await self._add_members(project, ticket))
        told += [word for word, asked in (("published", steps.publish), ("pinned", steps.pin)) if asked]
        await self._close(ticket, project, pending[0])
        return "; ".join(told)

    async def _free(self, ticket: Ticket) -> Project | None:
        """The project, once nobody else can be at its steps; nothing where they are done, or are not this sheet's."""
        while True:
            project = await self._project(ticket.project or 0)
            pending = pending_of(project.description, ticket.target.key)
            if pending is None:
                return None
            updated = ticket.outcome in (Outcome.UPDATED, Outcome.UNCHANGED)
            if pending[1] != ticket.target.intent and not updated:
                raise StepFailed(
                    "those of another sheet, or of this one before it was changed, were left: run that one again, or this one "
                    "with --mode update"
                )
            if ticket.outcome in (Outcome.CREATED, Outcome.FINISHED):
                return project
            age = ((self._studio.server_time() or datetime.now(UTC)) - project.created_at).total_seconds()
            if age > self._patience.lease:
                return project
            await self._clock.sleep(min(self._patience.rivals, self._patience.lease - age + 1.0))

    async def _project(self, number: int) -> Project:
        try:
            return await self._studio.project(number)
        except Rejected as rejected:
            if rejected.status == 404:
                raise StepFailed("somebody has deleted it: run the row again to make it anew") from rejected
            raise

    async def _import(self, project: Project, tasks: TaskFile) -> str:
        if project.tasks == tasks.count:
            return f"{tasks.count} tasks were there"
        if project.tasks:
            raise StepFailed(f"it holds {project.tasks} tasks, and the file has {tasks.count}: look at it")
        try:
            content = await asyncio.to_thread(content_of, tasks.where)
            body = tasks_in(content, tasks.where)
        except (SheetUnreadable, BadStep) as error:
            raise StepFailed(f"{error}; {_GO_ON}") from None
        if len(body) != tasks.count:
            raise StepFailed(f"{tasks.where} was changed since it was checked; {_GO_ON}")
        lost = ""
        try:
            await self._studio.import_tasks(project.id, body)
        except Unsure as unsure:
            if not unsure.sent:
                raise
            lost = str(unsure)
        counted = 0
        for seconds in (0.0, *_COUNTS_AGAIN):
            await self._clock.sleep(seconds)
            counted = (await self._project(project.id)).tasks
            if counted >= tasks.count:
                break
        if counted != tasks.count:
            why = f" ({lost})" if lost else ""
            raise StepFailed(
                f"tasks were imported, and the studio counts {counted} of {tasks.count}{why}: look at it, and {_GO_ON}"
            )
        return f"{tasks.count} tasks imported"

    async def _add_members(self, project: Project, ticket: Ticket) -> str:
        members = ticket.target.request.steps.members
        ids = {self._people[member.email]: member for member in members}
        skipped = await self._studio.add_members(
            project.id, list(ids), {number: member.role for number, member in ids.items() if member.role}
        )
        if skipped:
            names = ", ".join(ids[number].email for number in skipped if number in ids)
            raise StepFailed(
                f"the studio did not take {names or 'some people'} as members: look at their roles; {_GO_ON}"
            )
        return f"{len(members)} members"

    async def _close(self, ticket: Ticket, project: Project, description: str) -> None:
        """Take the line off, publish and pin."""
        steps = ticket.target.request.steps
        fields: dict[str, JSON] = {"description": description}
        if steps.publish:
            fields["is_published"] = True
        if steps.pin:
            fields["pinned_at"] = datetime.now(UTC).isoformat()
        for _ in range(_MOST_PATCHES):
            try:
                echo = await self._studio.update_project(project.id, fields)
            except Unsure:
                await self._clock.sleep(self._patience.settle[0])
                echo = await self._project(project.id)
            if pending_of(echo.description, ticket.target.key) is None:
                return
        raise StepFailed(f"the studio did not take the last of them; {_GO_ON}")
