"""Does what rows ask for beyond settings, once their projects are made: members, tasks, publication, a pin.

A project whose steps are not done says so at the end of its description, and that line is taken off last, together with
publication and pin. Each step looks before it acts: tasks are imported into an empty project alone, and their number has to be
right afterwards; an import whose answer was lost is looked for, and never sent a second time by the same batch.

The projects that this batch made it goes on with at once. What another one left it claims once the lease is over; until then
that other one may be at it. A claim is a batch's name in the line, and counts when it still stands a minute later: by
then a rival's claim would have landed, and an import that began before it would be counted. Whoever finds a claim on what it
has made waits as the others do.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus

from stencil.files import Unusable, file_name, read
from stencil.json_value import JSON
from stencil.labelstudio import LabelStudio, LabelStudioError, Project, Rejected, Throttled, Unsure
from stencil.marks import key_of, read_mark
from stencil.pacing import Clock, Turn
from stencil.problems import StencilError
from stencil.provisioning.looking import Stale
from stencil.provisioning.policy import Patience
from stencil.provisioning.tickets import Ticket
from stencil.report import Outcome
from stencil.sheet.task_files import read_tasks
from stencil.steps import BadStep, Claim, Pending, TaskFile, pending_of, with_pending
from stencil.steps.asked import MOST_IN_FILE
from stencil.together import together

#: Waits between two looks at what was imported, in seconds; the studio counts tasks some time after it took them.
_COUNTS_AGAIN = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: Times that a write is sent which was not carried out, or which may be written twice.
_MOST_TRIES = 8

#: Outcomes that say that this batch finished the project.
_MADE = frozenset({Outcome.CREATED, Outcome.FINISHED})

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


@dataclass(frozen=True, slots=True)
class _Reading:
    """A project as it was read, `at` monotonic seconds; its line, if it has one."""

    project: Project
    pending: Pending | None
    at: float


@dataclass(frozen=True, slots=True)
class _Begun:
    """A project whose steps this batch does: the reading before, whether tasks were sent, and how their answer was lost."""

    reading: _Reading
    imported: bool
    lost: str = ""


class StepRunner:
    """Does the steps of a batch's rows.

    Args:
        studio: Where.
        people: Id of each person that rows name, by e-mail address in lower case.
        clock: What tells the time and sleeps.
        patience: Waits.
        batch: Name of this batch, 8 hex digits.
        at_once: Rows whose tasks are imported at the same time.
    """

    def __init__(
        self,
        studio: LabelStudio,
        people: Mapping[str, int],
        clock: Clock,
        patience: Patience,
        *,
        batch: str,
        at_once: int,
    ) -> None:
        self._studio, self._people, self._clock, self._patience = studio, people, clock, patience
        self._batch = batch
        # What is read must not wait long for the write that is decided by it, and files of tasks are large.
        self._turns = asyncio.Semaphore(at_once)

    async def carry_out(self, tickets: Iterable[Ticket]) -> None:
        """Do the steps of the rows that are well and ask for any; a row whose steps are not done is not well."""
        await together(self._row(ticket) for ticket in tickets if self.are_due(ticket))

    def are_due(self, ticket: Ticket) -> bool:
        """Whether the row is well, asks for steps, and is not known to have them done."""
        well = ticket.outcome is not None and ticket.outcome.well
        return bool(ticket.target.request.steps) and well and not _listed_as_done(ticket)

    def leave(self, tickets: Iterable[Ticket], reason: str) -> None:
        """Say of the rows of a batch that stopped that their steps are not done, or that nobody has seen whether they are."""
        for ticket in tickets:
            if self.are_due(ticket) and not ticket.steps:
                known = "" if ticket.outcome in _MADE else " known to be"
                self._failed(ticket, f"the batch stopped before them ({reason}); {_GO_ON}", known)

    async def _row(self, ticket: Ticket) -> None:
        try:
            ticket.steps = await self._done(ticket)
        except (StepFailed, LabelStudioError) as error:
            said = str(error)
            self._failed(ticket, said if isinstance(error, StepFailed) else f"{said}; {_GO_ON}")
        except asyncio.CancelledError:
            self._failed(ticket, f"the batch was stopped amid them; {_GO_ON}")
            raise

    def _failed(self, ticket: Ticket, reason: str, known: str = "") -> None:
        ticket.steps = reason
        text = f"project {ticket.project} is made, and its steps are not{known} done: {reason}"
        ticket.settle(Outcome.FAILED, ticket.project, "step-failed", text)

    async def _done(self, ticket: Ticket) -> str:
        """What was done, in words; empty where nothing was left to do."""
        steps, told = ticket.target.request.steps, []
        begun = await self._begun(ticket)
        if begun is None:
            return ""
        reading = begun.reading
        if steps.tasks is not None:
            reading = await self._counted(ticket, begun, steps.tasks)
            told.append(f"{steps.tasks.count} tasks {'imported' if begun.imported else 'were there'}")
        if steps.members:
            told.append(await self._add_members(reading.project, ticket))
        told += [word for word, asked in (("published", steps.publish), ("pinned", steps.pin)) if asked]
        await self._close(ticket, reading)
        return "; ".join(told)

    async def _begun(self, ticket: Ticket) -> _Begun | None:
        """The project with its import sent, once nobody else can be at it; nothing where its steps are done."""
        tasks, body, tries = ticket.target.request.steps.tasks, None, 0
        while True:
            async with self._turns:
                reading = await self._read(ticket)
                if reading.pending is None:
                    self._check_done(ticket, reading.project)
                    return None
                wait = self._wait(ticket, reading.project, reading.pending)
                # A large file takes longer to read than a reading of the project counts.
                if wait is None and body is None and tasks is not None and not reading.project.tasks:
                    body = await self._tasks(tasks)
                try:
                    if wait is None:
                        return await self._import(reading, body)
                    if not wait:
                        await self._claim(ticket, reading, reading.pending)
                        wait = self._patience.late
                except Stale:
                    tries += 1
                    if tries == _MOST_TRIES:
                        raise StepFailed(f"requests wait too long for their turn to go on safely; {_GO_ON}") from None
                    wait = 0.0
                except (Throttled, Unsure) as error:
                    tries += 1
                    if tries == _MOST_TRIES:
                        raise
                    wait = self._again_in(error)
            await self._clock.sleep(wait)

    def _again_in(self, error: Throttled | Unsure) -> float:
        """Seconds before what was not carried out, or may be written twice, is sent again."""
        return error.retry_after if isinstance(error, Throttled) else self._patience.settle[0]

    def _wait(self, ticket: Ticket, project: Project, pending: Pending) -> float | None:
        """Seconds after which this batch may claim the steps, or look again; nothing where they are its own."""
        updated = ticket.outcome in (Outcome.UPDATED, Outcome.UNCHANGED)
        if pending.intent != ticket.target.intent and not updated:
            raise StepFailed(
                "those of another sheet, or of this one before it was changed, were left: run that one again, or this one "
                "with --mode update"
            )
        if pending.claim:
            if pending.claim.batch == self._batch:
                return None
            left_at = float(pending.claim.since)
        elif ticket.outcome in _MADE:
            # Where anything was odd, another batch may have made it too, or a lost write may bring the line back.
            return None if ticket.outcome is Outcome.CREATED and not ticket.odd else 0.0
        else:
            left_at = project.created_at.timestamp()
        return min(self._patience.rivals, max(0.0, left_at + self._patience.lease - self._server_time()))

    async def _claim(self, ticket: Ticket, reading: _Reading, pending: Pending) -> None:
        claim = Claim(self._batch, int(self._server_time()))
        line = with_pending(pending.description, ticket.target.key, pending.intent, claim)
        # Where the answer is lost, the next reading tells.
        with contextlib.suppress(Unsure):
            await self._studio.update_project(
                reading.project.id, {"description": line}, before=self._while_fresh(reading), turn=Turn.NOW
            )

    def _server_time(self) -> float:
        return (self._studio.server_time() or datetime.now(UTC)).timestamp()

    def _while_fresh(self, reading: _Reading) -> Callable[[], None]:
        """What keeps a write back that was decided by too old a reading."""

        def before() -> None:
            if self._is_old(reading):
                raise Stale

        return before

    def _is_old(self, reading: _Reading) -> bool:
        return self._clock.now() - reading.at > self._patience.read

    async def _read(self, ticket: Ticket) -> _Reading:
        try:
            project = await self._studio.project(ticket.project or 0)
        except Rejected as rejected:
            if rejected.status == 404:
                raise StepFailed("somebody has deleted it: run the row again to make it anew") from rejected
            raise
        if key_of(project.workspace, project.title) != ticket.target.key:
            raise StepFailed("somebody has renamed or moved it: look at it")
        return self._reading(ticket, project)

    def _reading(self, ticket: Ticket, project: Project) -> _Reading:
        return _Reading(project, pending_of(project.description, ticket.target.key), self._clock.now())

    def _check_done(self, ticket: Ticket, project: Project) -> None:
        """Tell a project whose line another batch took off from one whose line a colleague made plain text."""
        final = ticket.target.final_settings["description"]
        unpublished = ticket.target.request.steps.publish and project.settings.get("is_published") is False
        if ticket.outcome in _MADE and (project.description != final or unpublished):
            raise StepFailed("somebody changed its description before they were: look at it, and do them by hand")

    async def _tasks(self, tasks: TaskFile) -> list[JSON]:
        try:
            content = await asyncio.to_thread(read, tasks.where, tasks.asker, most=MOST_IN_FILE)
            found = read_tasks(content, file_name(tasks.where)).tasks
        except (Unusable, BadStep) as error:
            raise StepFailed(f"{str(error).rstrip('.')}; {_GO_ON}") from None
        if len(found) != tasks.count:
            raise StepFailed(f"{file_name(tasks.where)} was changed since it was checked; {_GO_ON}")
        return found

    async def _import(self, reading: _Reading, body: list[JSON] | None) -> _Begun:
        """Send the tasks into an empty project, once."""
        if body is None or reading.project.tasks:
            return _Begun(reading, imported=False)
        lost = ""
        try:
            await self._studio.import_tasks(reading.project.id, body, before=self._while_fresh(reading))
        except Throttled as throttled:
            # A 429 says no; a 503 may stand for an import that was carried out.
            if throttled.status == HTTPStatus.TOO_MANY_REQUESTS:
                raise
            lost = f" ({throttled})"
        except Unsure as unsure:
            if not unsure.sent:
                raise
            lost = f" ({unsure})"
        return _Begun(reading, imported=True, lost=lost)

    async def _counted(self, ticket: Ticket, begun: _Begun, tasks: TaskFile) -> _Reading:
        """The project as it is when the studio's own count is right."""
        reading = begun.reading
        if not begun.imported:
            if reading.project.tasks == tasks.count:
                return reading
            raise StepFailed(f"it holds {reading.project.tasks} tasks, and the file has {tasks.count}: look at it")
        for seconds in (0.0, *_COUNTS_AGAIN):
            await self._clock.sleep(seconds)
            reading = await self._read(ticket)
            if reading.project.tasks >= tasks.count:
                break
        counted = reading.project.tasks
        if counted != tasks.count:
            raise StepFailed(
                f"tasks were imported, and the studio counts {counted} of {tasks.count}{begun.lost}: look at it, and {_GO_ON}"
            )
        return reading

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

    async def _close(self, ticket: Ticket, reading: _Reading) -> None:
        """Take the line off, publish and pin."""
        steps = ticket.target.request.steps
        fields: dict[str, JSON] = {}
        if steps.publish:
            fields["is_published"] = True
        if steps.pin:
            fields["pinned_at"] = datetime.now(UTC).isoformat()
        for _ in range(_MOST_TRIES):
            if self._is_old(reading):
                reading = await self._read(ticket)
            if reading.pending is None:
                self._check_done(ticket, reading.project)
                return
            try:
                echo = await self._studio.update_project(
                    reading.project.id,
                    {**fields, "description": reading.pending.description},
                    before=self._while_fresh(reading),
                    turn=Turn.NOW,
                )
            except Stale:
                continue
            except (Throttled, Unsure) as error:
                await self._clock.sleep(self._again_in(error))
                reading = await self._read(ticket)
            else:
                reading = self._reading(ticket, echo)
                if reading.pending is None:
                    return
        raise StepFailed(f"the studio did not take the last of them; {_GO_ON}")
