"""Does what rows ask for beyond settings, once their projects are made: members, tasks, publication, a pin.

A project whose steps are not done says so at the end of its description, and that line is taken off last, together with
publication and pin. Tasks are imported into an empty project alone, and their number has to be right afterwards. Before they
are sent, the line says so. Whoever finds that alone waits a while for Label Studio to count them, and never sends others.

A row to which nothing unusual happened has its steps done right after its settings: the PATCH that writes these says already
that its tasks are sent, which they are next. The other rows' steps are done after the sweep.

Enterprise answers an import with an id and carries it out later. The id is written into the line only where the tasks are not
counted a moment after the answer: then it tells whoever comes next what became of them, and others are sent where Label Studio
says that those failed. A batch that dies before its id is written leaves a line without one, so the worst that the saved
request can cost is a row that a person has to look at; it can't make tasks twice.

The projects that this batch made it goes on with at once. What another one left it claims once the lease is over; until then
that other one may be at it. A claim is a batch's name in the line, and counts when it still stands a minute later: by
then a rival's claim would have landed, and an import that began before it would be counted. Whoever finds a claim on what it
has made waits as the others do.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

from label_studio_stencil.concurrency import together
from label_studio_stencil.engine.look import Stale
from label_studio_stencil.engine.ticket import Ticket
from label_studio_stencil.engine.turns import Turns
from label_studio_stencil.engine.waits import Waits
from label_studio_stencil.files import Unusable, file_name
from label_studio_stencil.json_value import JSON
from label_studio_stencil.labelstudio.client import LabelStudio
from label_studio_stencil.labelstudio.errors import LabelStudioError, Rejected, Throttled, Unsure
from label_studio_stencil.labelstudio.models import LIGHT_FIELDS, Imported, ImportState, Project
from label_studio_stencil.labelstudio.pacing import Clock, Turn
from label_studio_stencil.plans.marker import key_of, read_mark
from label_studio_stencil.plans.pending import Claim, Pending, Sent, pending_of, with_pending
from label_studio_stencil.policy import Patience
from label_studio_stencil.problems import StencilError, counted
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.rows.steps import BadStep, TaskFile
from label_studio_stencil.rows.task_files import open_tasks

#: Waits before tasks are counted, or the state of an import is asked for, in seconds; the last is repeated.
_COUNTS_AGAIN = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: Imports under way are counted together, whenever so many seconds are over by the clock.
_TOGETHER = 2.0
#: How often that is done before the id of an import is written.
_BEFORE_ITS_ID = 2
#: Seconds for which an import is waited for of which Label Studio says that it goes on.
_LONGEST_IMPORT = 600.0
#: What a project that was read ahead is judged by.
_DECISIVE = {"title", "description", "tasks"}
#: Projects that are read with one that is needed, since their rows come next.
_AHEAD = 19
#: Projects at most that are read with those since their tasks are being imported; a page has 100.
_IMPORTING_AT_ONCE = 80
#: Times that a row waits for a turn to have its tasks imported right after its settings.
_MOST_WAITS = 4
#: Times that a write is sent which was not carried out, or which may be written twice.
_MOST_TRIES = 8

#: What is waited for.
_TAKING = "Label Studio did not take tasks, which are sent again"
_OTHERS = "another batch may be at the steps of a row"
_IMPORTING = "an import is under way in Label Studio"
_LANDING = "a change to a project may still land whose answer was lost"
_COUNTING = "Label Studio does not count tasks yet that were sent to it"

#: Outcomes that say that this batch finished the project.
_MADE = frozenset({Outcome.CREATED, Outcome.RESUMED})

#: Outcomes that say that the project was compared with all that the row asks for.
_COMPARED = frozenset({Outcome.UPDATED, Outcome.UNCHANGED})

_GO_ON = "run the sheet again to go on"


def _listed_as_done(ticket: Ticket) -> bool:
    """Whether the plan's listing has shown that there is nothing left to do, so that no request is needed to learn it."""
    listed = [project for project in ticket.planned.projects if project.id == ticket.project]
    tasks = ticket.target.request.steps.tasks
    if tasks and ticket.outcome in _COMPARED and any(project.task_count != tasks.count for project in listed):
        return False
    return bool(listed) and all(
        pending_of(project.description, ticket.target.key) is None and read_mark(project.description) is None
        for project in listed
    )


class StepFailed(StencilError):
    """A step of a row could not be done."""


class _TakenOver(Exception):
    """Another batch has claimed the steps of a row, or done them, while this one was at them."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A project as it was read, `at` monotonic seconds; its line, if it has one."""

    project: Project
    pending: Pending | None
    at: float

    @property
    def key(self) -> str:
        """What its workspace and title come to."""
        return key_of(self.project.workspace, self.project.title)

    @property
    def sent(self) -> Sent | None:
        """The tasks that were sent into it, as its line says."""
        return self.pending.sent if self.pending else None


@dataclass(slots=True)
class Early:
    """A row's turn to have its tasks imported right after its settings.

    Attributes:
        found: The tasks.
        description: What the PATCH of its settings writes: it says already that the tasks are sent.
        echo: The project as that PATCH was answered, where all is as it should be.
        at: Monotonic seconds at which that PATCH left.
    """

    found: list[JSON]
    description: str
    _turns: Turns | None
    echo: Project | None = None
    at: float = 0.0

    def release(self) -> None:
        """Let the next row have its turn."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.give_back()


class _Sending(NamedTuple):
    """Tasks that left: the project before, what Label Studio answered, and, where that is lost, how."""

    reading: _Reading
    answer: Imported | None
    lost: str = ""


class StepRunner:
    """Does the steps of a batch's rows.

    Args:
        label_studio: Where.
        people: Id of each person that rows name, by e-mail address in lower case.
        clock: What tells the time and sleeps.
        patience: Durations.
        waits: Where it is said what is waited for.
        batch: Name of this batch, 8 hex digits.
        turns: Which rows' tasks are imported at present.
        list_lag: Seconds that lists were seen to be behind what is written.
    """

    def __init__(
        self,
        label_studio: LabelStudio,
        people: Mapping[str, int],
        clock: Clock,
        patience: Patience,
        waits: Waits,
        *,
        batch: str,
        turns: Turns,
        list_lag: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._list_lag = list_lag
        self._label_studio, self._people, self._clock, self._patience = label_studio, people, clock, patience
        self._batch, self._waits = batch, waits
        # What is read must not wait long for the write that is decided by it, and files of tasks are large.
        self._turns = turns
        # Rows of which the batch knows nothing unusual, in their order, and those of their projects that were read ahead.
        self._ahead: dict[int, Ticket] = {}
        self._seen: dict[int, _Reading] = {}
        # Rows whose tasks were sent and are not counted yet: they are read with those.
        self._importing: dict[int, Ticket] = {}
        # How often rows have waited for a turn to have their tasks imported right after their settings, by line.
        self._waited: Counter[int] = Counter()
        # Projects whose steps are done.
        self._finished: set[int] = set()
        # Those that are at it, beside the other rows.
        self._beside: dict[asyncio.Task[None], Ticket] = {}
        # Projects whose settings were sent with a line that says that tasks were sent, before these have left.
        self._unsent: dict[int, Sent] = {}
        # What this batch sent, by project, as long as it has not certainly failed.
        self._sent: dict[int, Sent] = {}
        # Until when a line whose answer was lost may still be written, by project.
        self._lands_until: dict[int, float] = {}
        self._reads = asyncio.Lock()

    async def carry_out(self, tickets: Iterable[Ticket]) -> None:
        """Do the steps of the rows that are well and ask for any; a row whose steps are not done needs attention."""
        await self.settled()
        due = [ticket for ticket in tickets if self.are_due(ticket) and ticket.project not in self._finished]
        self._ahead = {ticket.project or 0: ticket for ticket in due if _is_plain(ticket)}
        await together(self._row(ticket) for ticket in due)

    def are_due(self, ticket: Ticket) -> bool:
        """Whether the row is well, asks for steps, and is not known to have them done."""
        ok = ticket.outcome is not None and ticket.outcome.ok
        return bool(ticket.target.request.steps) and ok and not _listed_as_done(ticket)

    def leave(self, tickets: Iterable[Ticket], reason: str) -> None:
        """Say of the rows of a batch that stopped that their steps are not done, or that nobody has seen whether they are."""
        for ticket in tickets:
            if self.are_due(ticket) and not ticket.steps:
                known = "" if ticket.outcome in _MADE else " known to be"
                self._failed(ticket, f"the batch stopped before them ({reason}); {_GO_ON}", known)

    async def early(self, ticket: Ticket, project: Project, seconds: float) -> Early | None:
        """The row's turn to have its tasks imported right after its settings; nothing where it is not to have one.

        Args:
            ticket: The row, of whose project the settings are about to be written.
            project: That project, a placeholder.
            seconds: How long a turn is waited for.

        Raises:
            Stale: It was waited for so long in vain; after some of these the row is to have none.
        """
        target = ticket.target
        tasks, line = target.request.steps.tasks, target.request.line
        odd = ticket.odd or ticket.foreign or bool(self._list_lag())
        if tasks is None or odd or self._waited[line] == _MOST_WAITS:
            return None
        self._waited[line] += 1
        try:
            async with asyncio.timeout(seconds):
                await self._turns.take()
        except TimeoutError:
            raise Stale from None
        sent = Sent(tasks.digest[:8])
        final = str(target.final_settings["description"])
        early = Early([], with_pending(final, target.key, target.intent, sent=sent), self._turns)
        try:
            early.found = await self._tasks(tasks)
        except StepFailed:
            # The row says so once its project is made.
            early.release()
            return None
        except BaseException:
            early.release()
            raise
        self._unsent[project.id] = sent
        return early

    def go_on(self, ticket: Ticket, early: Early) -> None:
        """Do the steps of a row whose settings were just written, beside the other rows; `settled` waits for them."""
        if early.echo is None or not _is_plain(ticket):
            early.release()
            return
        task = asyncio.create_task(self._row(ticket, early))
        self._beside[task] = ticket

    async def settled(self) -> None:
        """Return once no row's steps are under way beside the other rows."""
        while self._beside:
            done, _ = await asyncio.wait(self._beside)
            for task in done:
                del self._beside[task]
                # A process that is to end may cancel every task.
                if not task.cancelled():
                    task.result()

    def cut(self) -> None:
        """Cut off what is under way beside the other rows: the batch ends, and those rows say so."""
        for task, ticket in self._beside.items():
            if not task.done():
                task.cancel()
                self._cut_off(ticket)

    async def take_back(self, tickets: Iterable[Ticket]) -> None:
        """Take the line that tasks are sent off projects to which none were, so that a rerun need not wait for them."""
        for ticket in tickets:
            if ticket.project in self._unsent:
                with contextlib.suppress(LabelStudioError, StepFailed, Stale, _TakenOver):
                    reading = await self._read(ticket)
                    if reading.pending is not None:
                        await self._note(ticket, reading, None)

    async def _row(self, ticket: Ticket, early: Early | None = None) -> None:
        try:
            ticket.steps = await self._done(ticket, early)
            self._finished.add(ticket.project or 0)
            if ticket.steps and ticket.outcome in (Outcome.EXISTS, Outcome.UNCHANGED):
                ticket.decide(Outcome.RESUMED, ticket.project)
        except (StepFailed, LabelStudioError) as error:
            said = str(error)
            self._failed(ticket, said if isinstance(error, StepFailed) else f"{said}; {_GO_ON}")
        except asyncio.CancelledError:
            self._cut_off(ticket)
            raise

    def _cut_off(self, ticket: Ticket) -> None:
        self._failed(ticket, f"the batch was stopped amid them; {_GO_ON}")

    def _failed(self, ticket: Ticket, reason: str, known: str = "") -> None:
        ticket.steps = reason
        text = f"project {ticket.project} is made, and its steps are not{known} done: {reason}"
        ticket.decide(Outcome.FAILED, ticket.project, "step-failed", text)

    async def _done(self, ticket: Ticket, early: Early | None) -> str:
        """What was done, for people; empty where nothing was left to do."""
        for _ in range(_MOST_TRIES):
            # Whoever took them over does them, or leaves them to this batch again.
            with contextlib.suppress(_TakenOver):
                return await self._carried_on(ticket, early)
            early = None
        raise StepFailed(f"other batches take them over again and again; {_GO_ON}")

    async def _carried_on(self, ticket: Ticket, early: Early | None) -> str:
        steps, told = ticket.target.request.steps, []
        reading, done = None, "imported"
        if steps.tasks is not None and _is_plain(ticket):
            reading = await self._imported(ticket, early, steps.tasks)
        if reading is None:
            reading = await self._ours(ticket)
            if reading is None:
                return ""
            if steps.tasks is not None:
                reading, done = await self._with_tasks(ticket, reading, steps.tasks)
        if steps.tasks is not None:
            told.append(f"{counted(steps.tasks.count, 'task')}{steps.tasks.labelled.told} {done}")
        if steps.members:
            told.append(await self._add_members(reading.project, ticket))
        told += [word for word, asked in (("published", steps.publish), ("pinned", steps.pin)) if asked]
        await self._close(ticket, reading)
        return "; ".join(told)

    async def _ours(self, ticket: Ticket) -> _Reading | None:
        """The project, once nobody else can be at its steps; nothing where they are done."""
        tries = 0
        while True:
            reading = await self._read(ticket)
            if reading.pending is None:
                self._check_done(ticket, reading.project)
                return None
            wait, what = self._wait(ticket, reading.project, reading.pending), _OTHERS
            if wait is None:
                return reading
            over = await self._is_over(reading)
            try:
                if over or not wait:
                    # Then a claim beside an import that failed tells of a batch that has given up, too.
                    await self._claim(ticket, reading, reading.pending, None if over else reading.sent)
                    # Where the last import failed, its batch has given up; another that saw so too has written by then.
                    wait = self._patience.read + self._patience.unanswered[0] if over else self._patience.late
                    wait = max(wait, self._lands_in(reading.project))
            except Stale:
                tries += 1
                if tries == _MOST_TRIES:
                    raise StepFailed(f"requests wait too long for their turn to go on safely; {_GO_ON}") from None
                wait = 0.0
            except (Throttled, Unsure) as error:
                tries += 1
                if tries == _MOST_TRIES:
                    raise
                wait, what = self._again_in(error), "Label Studio did not take a change, which is sent again"
            await self._sleep(wait, what)

    async def _is_over(self, reading: _Reading) -> bool:
        """Whether the tasks that another batch sent were refused, or their import has failed."""
        sent = reading.sent
        if sent is None or sent.number is None:
            return sent is not None and sent.refused
        state = await self._state(reading.project, sent.number)
        return state is not None and state.failed

    async def _sleep(self, seconds: float, what: str, *, waited: float = 0.0) -> None:
        """Sleep, and say for what where it takes long.

        Args:
            seconds: How long.
            what: What is waited for.
            waited: Seconds that it has been waited for before.
        """
        if waited + seconds > self._waits.shortest:
            self._waits.say(what)
        await self._clock.sleep(seconds)

    def _again_in(self, error: Throttled | Unsure) -> float:
        """Seconds before what was not carried out, or may be written twice, is sent again."""
        return error.retry_after if isinstance(error, Throttled) else self._patience.unanswered[0]

    def _wait(self, ticket: Ticket, project: Project, pending: Pending) -> float | None:
        """Seconds after which this batch may claim the steps, or look again; nothing where they are its own."""
        updated = ticket.outcome in _COMPARED
        if pending.intent != ticket.target.intent and not updated:
            raise StepFailed(
                "those of another sheet, or of this one before it was changed, were left: run that one again, or this one "
                'with `mode="update"`'
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

    async def _claim(self, ticket: Ticket, reading: _Reading, pending: Pending, sent: Sent | None) -> None:
        claim = Claim(self._batch, int(self._server_time()))
        line = with_pending(pending.description, ticket.target.key, pending.intent, claim, sent)
        # Where the answer is lost, the next reading tells.
        with contextlib.suppress(Unsure):
            await self._write(reading, line)

    async def _write(self, reading: _Reading, line: str) -> Project:
        """The project as it is answered once its line was written."""
        try:
            return await self._label_studio.update_project(
                reading.project.id, {"description": line}, before=self._while_fresh(reading), turn=Turn.NOW
            )
        except (Throttled, Unsure) as error:
            if _may_be_carried_out(error):
                self._lands_until[reading.project.id] = self._clock.now() + self._patience.late
            raise

    def _lands_in(self, project: Project) -> float:
        """Seconds in which a line whose answer was lost may still be written."""
        return max(0.0, self._lands_until.get(project.id, 0.0) - self._clock.now())

    def _server_time(self) -> float:
        return (self._label_studio.server_time() or datetime.now(UTC)).timestamp()

    def _while_fresh(self, reading: _Reading) -> Callable[[], None]:
        """What keeps a write back that was decided by too old a reading."""

        def before() -> None:
            if self._is_old(reading):
                raise Stale

        return before

    def _is_old(self, reading: _Reading) -> bool:
        return self._clock.now() - reading.at > self._patience.read

    async def _read(self, ticket: Ticket) -> _Reading:
        # As it is asked, and not as it is answered: the process may be stopped before it sees that.
        asked = self._clock.now()

        def leaves() -> None:
            nonlocal asked
            asked = self._clock.now()

        try:
            project = await self._label_studio.project(ticket.project or 0, before=leaves)
        except Rejected as rejected:
            if rejected.status == 404:
                raise StepFailed("somebody has deleted it: run the row again to make it anew") from rejected
            raise
        reading = self._reading(ticket, project, asked)
        if reading.key != ticket.target.key:
            raise StepFailed("somebody has renamed or moved it: look at it")
        return await self._with_line(ticket, reading)

    async def _with_line(self, ticket: Ticket, reading: _Reading) -> _Reading:
        """The project, with what this batch sent in its line again, if another batch's late write has wiped that out."""
        number = reading.project.id
        sent = self._sent.get(number)
        if sent is None or reading.pending is None or reading.project.tasks:
            return reading
        if reading.sent in (sent, sent._replace(number=None)):
            return reading
        with contextlib.suppress(Stale, Throttled, Unsure):
            state = None if sent.number is None else await self._state(reading.project, sent.number)
            if state is not None and state.failed:
                # Another batch that has seen so may have sent others.
                del self._sent[number]
            else:
                return await self._note(ticket, reading, sent)
        return reading

    def _reading(self, ticket: Ticket, project: Project, at: float) -> _Reading:
        pending = pending_of(project.description, ticket.target.key)
        if pending and pending.claim is None and pending.sent == self._unsent.get(project.id):
            pending = pending._replace(sent=None)
        return _Reading(project, pending, at)

    def _check_done(self, ticket: Ticket, project: Project) -> None:
        """Tell a project whose line another batch took off from one whose line a colleague made plain text."""
        final = ticket.target.final_settings["description"]
        unpublished = ticket.target.request.steps.publish and project.settings.get("is_published") is False
        if ticket.outcome in _MADE and (project.description != final or unpublished):
            raise StepFailed("somebody changed its description before they were: look at it, and do them by hand")
        tasks = ticket.target.request.steps.tasks
        if tasks and ticket.outcome in _COMPARED and project.task_count != tasks.count:
            raise StepFailed(
                f"it holds {counted(project.task_count, 'task')}, and the file has {tasks.count}; tasks are imported into an "
                "empty project alone: add them by hand, or leave the cell empty"
            )

    async def _tasks(self, tasks: TaskFile) -> list[JSON]:
        try:
            found = (await asyncio.to_thread(open_tasks, tasks.where, tasks.asker)).tasks
        except (Unusable, BadStep) as error:
            raise StepFailed(f"{str(error).rstrip('.')}; {_GO_ON}") from None
        if len(found) != tasks.count:
            raise StepFailed(f"{file_name(tasks.where)} was changed since it was checked; {_GO_ON}")
        return found

    async def _with_tasks(self, ticket: Ticket, reading: _Reading, tasks: TaskFile) -> tuple[_Reading, str]:
        """The project with its tasks in it, and what was done to that end."""
        sent, digest = reading.sent, tasks.digest[:8]
        state = None
        if sent is not None and sent.number is not None:
            state = await self._carried_out(ticket, reading.project, sent.number)
        if sent is not None and not sent.refused and not (state is not None and state.failed):
            if sent.digest != digest:
                raise StepFailed(
                    f"the tasks of another version of {file_name(tasks.where)} were sent into it: look at it"
                )
            return await self._counted(ticket, reading, tasks), "were there"
        if reading.project.tasks:
            if reading.project.task_count != tasks.count:
                raise StepFailed(_other_count(reading.project.task_count, tasks.count))
            return reading, "were there"
        return await self._imported(ticket, reading, tasks) or reading, "imported"

    async def _imported(self, ticket: Ticket, at: _Reading | Early | None, tasks: TaskFile) -> _Reading | None:
        """The project with its tasks, which this batch sends, once.

        Args:
            ticket: The row.
            at: Its project, or its turn; where there is neither, the project is read ahead, and left where it is not as this
                batch made it.
            tasks: What to send.
        """
        if isinstance(at, Early):
            sending = await self._send_early(ticket, at, tasks)
        else:
            sending = await (self._send_ahead(ticket, tasks) if at is None else self._send(ticket, at, tasks))
        if sending is None:
            return None
        reading, answer, lost = sending
        self._sent[reading.project.id] = Sent(tasks.digest[:8], answer.number if answer else None)
        if answer is None or answer.number is None:
            known = answer is not None and answer.task_count == tasks.count
            return reading if known else await self._counted(ticket, reading, tasks, lost)
        reading = await self._soon_counted(ticket, reading, tasks)
        if reading.project.task_count != tasks.count:
            # Where the answer is lost, this batch knows it all the same.
            with contextlib.suppress(Stale, Throttled, Unsure):
                if self._is_old(reading):
                    reading = await self._still_ours(ticket)
                reading = await self._note(ticket, reading, self._sent[reading.project.id])
        if reading.project.task_count == tasks.count:
            return reading
        state = await self._carried_out(ticket, reading.project, answer.number)
        if state is not None and state.failed:
            self._sent.pop(reading.project.id, None)
            reason = state.error or "it gave no reason"
            raise StepFailed(
                f"import {answer.number} of {file_name(tasks.where)} failed: {reason}; mend the file and {_GO_ON}"
            )
        return await self._counted(ticket, reading, tasks)

    async def _send_early(self, ticket: Ticket, early: Early, tasks: TaskFile) -> _Sending | None:
        """Send the tasks of a row whose line says already that they are sent; nothing where its answer did not say so."""
        try:
            if (echo := early.echo) is None:
                return None
            reading = _Reading(echo, pending_of(echo.description, ticket.target.key), early.at)
            if echo.tasks or reading.sent != Sent(tasks.digest[:8]):
                return None
            sending, wait = await self._attempt(ticket, reading, early.found, tasks)
        finally:
            early.release()
        if sending is not None:
            return sending
        await self._sleep(wait, _TAKING)
        return await self._send(ticket, await self._still_ours(ticket), tasks)

    async def _send_ahead(self, ticket: Ticket, tasks: TaskFile) -> _Sending | None:
        """Send the tasks of a row of which nothing unusual is known; nothing where its project is not as it was made."""
        async with self._turns.turn():
            found = await self._tasks(tasks)
            reading = await self._read_ahead(ticket)
            if not _is_as_made(ticket, reading):
                return None
            sending, wait = await self._attempt(ticket, reading, found, tasks)
        if sending is not None:
            return sending
        await self._sleep(wait, _TAKING)
        return await self._send(ticket, await self._still_ours(ticket), tasks)

    async def _send(self, ticket: Ticket, reading: _Reading, tasks: TaskFile) -> _Sending:
        """Send the tasks until Label Studio has them, or may have them."""
        for left in reversed(range(_MOST_TRIES)):
            async with self._turns.turn():
                # A large file takes longer to read than a reading of the project counts.
                found = await self._tasks(tasks)
                if self._is_old(reading):
                    reading = await self._still_ours(ticket)
                sending, wait = await self._attempt(ticket, reading, found, tasks, last=not left)
            if sending is not None:
                return sending
            await self._sleep(wait, _TAKING)
            reading = await self._still_ours(ticket)
        raise StepFailed(f"requests wait too long for their turn to go on safely; {_GO_ON}")

    async def _attempt(
        self, ticket: Ticket, reading: _Reading, found: list[JSON], tasks: TaskFile, *, last: bool = False
    ) -> tuple[_Sending | None, float]:
        """What came of sending the tasks once; where that was nothing, seconds before it may be tried again."""
        sent, noted = Sent(tasks.digest[:8]), False
        try:
            if reading.sent != sent and not reading.project.tasks:
                reading = await self._note(ticket, reading, sent)
            if reading.project.tasks:
                raise StepFailed(_other_count(reading.project.task_count, tasks.count))
            noted, before = True, self._while_fresh(reading)

            def leaves() -> None:
                before()
                self._unsent.pop(reading.project.id, None)

            return _Sending(
                reading, await self._label_studio.import_tasks(reading.project.id, found, before=leaves)
            ), 0.0
        except Rejected as rejected:
            if not noted:
                raise
            await self._note_refusal(ticket, reading, sent)
            raise StepFailed(_refused(rejected, tasks)) from None
        except Stale:
            wait = 0.0
        except (Throttled, Unsure) as error:
            if noted and _may_be_carried_out(error):
                return _Sending(reading, None, f" ({error})"), 0.0
            if last:
                await self._note_refusal(ticket, reading, sent)
                raise
            wait = self._again_in(error)
        if last:
            await self._note_refusal(ticket, reading, sent)
        return None, wait

    async def _read_ahead(self, ticket: Ticket) -> _Reading:
        """The project of a row, read in one request with those of the next rows."""
        if self._list_lag():
            # It would show an old state.
            return await self._read(ticket)
        number = ticket.project or 0
        async with self._reads:
            reading = self._seen.pop(number, None)
            self._ahead.pop(number, None)
            if reading is None or self._is_old(reading):
                await self._see({number: ticket, **dict(itertools.islice(self._ahead.items(), _AHEAD))})
                reading = self._seen.pop(number, None)
        return reading or await self._read(ticket)

    async def _see(self, rows: Mapping[int, Ticket]) -> None:
        """Read the projects of these rows, and of those whose tasks are not counted yet, in one request."""
        wanted = {**rows, **dict(itertools.islice(self._importing.items(), _IMPORTING_AT_ONCE))}
        at = self._clock.now()
        page = await self._label_studio.list_page(1, ids=wanted, fields=LIGHT_FIELDS)
        for found in page.projects:
            if found.id in wanted and not _DECISIVE & set(found.lacks):
                self._seen[found.id] = self._reading(wanted[found.id], found, at)

    async def _soon_counted(self, ticket: Ticket, reading: _Reading, tasks: TaskFile) -> _Reading:
        """The project as it was read last, before the id of the import that was sent into it is worth a request."""
        number, sent = reading.project.id, reading.pending
        self._importing[number] = ticket
        try:
            for _ in range(_BEFORE_ITS_ID):
                if reading.project.task_count == tasks.count or self._list_lag():
                    break
                await self._clock.sleep(_TOGETHER - self._clock.now() % _TOGETHER)
                due = self._clock.now()
                async with self._reads:
                    seen = self._seen.get(number)
                    if seen is None or (seen.at < due and seen.project.task_count != tasks.count):
                        await self._see({number: ticket})
                        seen = self._seen.get(number)
                if seen is None or (seen.pending, seen.key) != (sent, ticket.target.key):
                    break
                reading = seen
        except (Throttled, Unsure):
            pass
        finally:
            del self._importing[number]
            self._seen.pop(number, None)
        return reading

    async def _still_ours(self, ticket: Ticket) -> _Reading:
        """The project as it is now, which had steps for this batch to do a little while ago."""
        reading = await self._read(ticket)
        if reading.pending is None or self._wait(ticket, reading.project, reading.pending) is not None:
            raise _TakenOver
        return reading

    async def _note(self, ticket: Ticket, reading: _Reading, sent: Sent | None) -> _Reading:
        """The project once its line says what was sent, if anything was."""
        pending = reading.pending
        if pending is None:
            raise Stale
        line = with_pending(pending.description, ticket.target.key, pending.intent, pending.claim, sent)
        echo = await self._write(reading, line)
        noted = self._reading(ticket, echo, self._clock.now())
        # An answer may be an old copy: what is read decides.
        known = noted.sent == sent and "tasks" not in echo.lacks
        return noted if known else await self._still_ours(ticket)

    async def _note_refusal(self, ticket: Ticket, reading: _Reading, sent: Sent) -> None:
        """Say that these tasks were certainly not taken, so that a run after this one need not wait."""
        if reading.sent == sent:
            with contextlib.suppress(LabelStudioError, StepFailed, Stale, _TakenOver):
                if self._is_old(reading):
                    reading = await self._still_ours(ticket)
                await self._note(ticket, reading, sent._replace(refused=True))

    async def _state(self, project: Project, number: int) -> ImportState | None:
        """What Label Studio says of an import; nothing where it knows of none."""
        try:
            return await self._label_studio.import_state(project.id, number)
        except Rejected as rejected:
            if rejected.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _carried_out(self, ticket: Ticket, project: Project, number: int) -> ImportState | None:
        """What Label Studio says of an import once it is done or has failed."""
        waited = 0.0
        for seconds in _waits():
            state = await self._state(project, number)
            if state is None or state.done or state.failed:
                return state
            if waited >= _LONGEST_IMPORT:
                raise StepFailed(
                    f"import {number} is {state.status!r} after {_LONGEST_IMPORT:.0f} s, and Label Studio goes on with it: "
                    "run the sheet again later"
                )
            await self._sleep(seconds, _IMPORTING, waited=waited)
            waited += seconds
            if project.id in self._sent:
                await self._read(ticket)
        raise AssertionError("waits never end")

    async def _counted(self, ticket: Ticket, reading: _Reading, tasks: TaskFile, lost: str = "") -> _Reading:
        """The project as it is when Label Studio's own count is right."""
        waited = 0.0
        for seconds in (0.0, *_COUNTS_AGAIN):
            await self._sleep(seconds, _COUNTING, waited=waited)
            waited += seconds
            reading = await self._still_ours(ticket)
            if reading.project.task_count >= tasks.count:
                break
        counted = reading.project.task_count
        if counted != tasks.count:
            raise StepFailed(
                f"{file_name(tasks.where)} was sent, and after {waited:.0f} s Label Studio counts {counted} of "
                f"{tasks.count} tasks{lost}; it is never sent a second time. Look at project {reading.project.id}: where "
                f"tasks are missing, import them there by hand, or delete the project; then {_GO_ON}"
            )
        return reading

    async def _add_members(self, project: Project, ticket: Ticket) -> str:
        members = ticket.target.request.steps.members
        ids = {self._people[member.email]: member for member in members}
        skipped = await self._label_studio.add_members(
            project.id, list(ids), {number: member.role for number, member in ids.items() if member.role}
        )
        if skipped:
            names = ", ".join(ids[number].email for number in skipped if number in ids)
            raise StepFailed(
                f"Label Studio did not take {names or 'some people'} as members: look at their roles; {_GO_ON}"
            )
        return f"{len(members)} members"

    async def _close(self, ticket: Ticket, reading: _Reading) -> None:
        """Take the line off, publish and pin."""
        if lands_in := self._lands_in(reading.project):
            # Or it would come back.
            await self._sleep(lands_in, _LANDING)
        steps = ticket.target.request.steps
        fields: dict[str, JSON] = {}
        if steps.publish:
            fields["is_published"] = True
        if steps.pin:
            fields["pinned_at"] = datetime.now(UTC).isoformat()
        pending = reading.pending
        for _ in range(_MOST_TRIES):
            if self._is_old(reading):
                reading = await self._read(ticket)
            if reading.pending is None:
                self._check_done(ticket, reading.project)
                await self._check_count(ticket, reading, pending)
                return
            pending = reading.pending
            try:
                echo = await self._label_studio.update_project(
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
                reading = self._reading(ticket, echo, self._clock.now())
                if reading.pending is None:
                    await self._check_count(ticket, reading, pending)
                    return
        raise StepFailed(f"Label Studio did not take the last of them; {_GO_ON}")

    async def _check_count(self, ticket: Ticket, reading: _Reading, pending: Pending | None) -> None:
        """Bring the line back where the tasks are not as many as were sent: a server may carry an import out twice."""
        steps = ticket.target.request.steps
        if steps.tasks is None or pending is None or reading.project.task_count == steps.tasks.count:
            return
        reading = await self._read(ticket)
        counted = reading.project.task_count
        if counted == steps.tasks.count:
            return
        line = with_pending(pending.description, ticket.target.key, pending.intent, pending.claim, pending.sent)
        fields: dict[str, JSON] = {"is_published": False} if steps.publish else {}
        with contextlib.suppress(LabelStudioError):
            await self._label_studio.update_project(reading.project.id, {**fields, "description": line}, turn=Turn.NOW)
        raise StepFailed(_other_count(counted, steps.tasks.count))


def _other_count(there: int, expected: int) -> str:
    return f"it holds {counted(there, 'task')}, and the file has {expected}: look at it"


def _is_plain(ticket: Ticket) -> bool:
    """Whether this batch made the project, nothing odd happened, and it is to have tasks."""
    return ticket.outcome is Outcome.CREATED and not ticket.odd and ticket.target.request.steps.tasks is not None


def _is_as_made(ticket: Ticket, reading: _Reading) -> bool:
    """Whether the project is as this batch made it: empty, nothing sent, and nobody at its steps."""
    pending = reading.pending
    return (
        not reading.project.tasks
        and pending == (pending.description if pending else "", ticket.target.intent, None, None)
        and reading.key == ticket.target.key
    )


def _waits() -> Iterator[float]:
    """Seconds before the state of an import is asked for again, and again."""
    yield from _COUNTS_AGAIN
    while True:
        yield _COUNTS_AGAIN[-1]


def _may_be_carried_out(error: Throttled | Unsure) -> bool:
    """Whether a request that ended so may have taken effect: a 429 says no, a 503 may stand for one that has."""
    return error.sent if isinstance(error, Unsure) else error.status != HTTPStatus.TOO_MANY_REQUESTS


def _refused(rejected: Rejected, tasks: TaskFile) -> str:
    """Why Label Studio refused a file of tasks, without its content."""
    logged = f", in its log: {rejected.reference}" if rejected.reference else ""
    return (
        f"Label Studio refused the tasks of {file_name(tasks.where)} ({rejected.status}{logged}): {rejected.detail}; "
        f"mend the file and {_GO_ON}"
    )
