"""Carries out the steps of rows once their projects are made: members, tasks, publication and pins.

While a project's steps are not done, its description ends in a line that says so. The line is removed last, by the request
that also publishes and pins. Tasks are imported only into an empty project, and their number must be right afterwards. Before
they are sent, the line says that they are. A batch that finds only this note waits a while for Label Studio to count the tasks,
and never sends any.

If nothing unusual happened to a row, its steps follow right after its settings: the PATCH of the settings already writes that
the tasks are sent, and then they are. The steps of other rows follow after the sweep.

Enterprise answers an import with an id and carries it out later. The id is written into the line only if Label Studio doesn't
count the tasks shortly after the answer. With the id, any batch can ask about the import, and tasks are sent again only if
Label Studio says that it failed. A batch that dies before it wrote the id leaves a line without one: at worst a person has to
check the row, but tasks are never imported twice.

A batch does the steps of its own projects at once. Steps that another batch left are claimed once the lease is over; until
then the other batch may still be working on them. A claim is a batch's name in the line, and is valid if it is still there a
minute later: by then a rival's claim would have been written, and an import that began before it would be counted. A batch that
finds another's claim on its own project waits as other batches do.
"""

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NamedTuple

from label_studio_stencil.concurrency import together
from label_studio_stencil.engine.look import Stale
from label_studio_stencil.engine.stop import CANCELLED, Stopping
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
from label_studio_stencil.rows.canonical import canonical
from label_studio_stencil.rows.steps import BadStep, Steps, TaskFile, content_digest
from label_studio_stencil.rows.task_files import open_tasks

#: Seconds before tasks are counted, or the state of an import is read, again; the last value is repeated.
_COUNTS_AGAIN = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: Seconds between two counts of the tasks of all imports under way, which are counted together.
_TOGETHER = 2.0
#: The lines of rows that wait for an import are read once every so many seconds. Another batch's claim holds after a minute.
_LINES_READ = 30.0
#: Number of counts before the id of an import is written.
_BEFORE_ITS_ID = 2
#: Most seconds to wait for an import that Label Studio says is under way.
_LONGEST_IMPORT = 600.0
#: Fields that a project must have to be read ahead.
_DECISIVE = {"title", "description", "tasks"}
#: Further projects that are read together with one that is needed, because their rows come next.
_AHEAD = 19
#: Most projects that are read together with those because their tasks are being imported; a page has 100.
_IMPORTING_AT_ONCE = 80
#: Seconds after which a row that waits for another batch notices that its own is to stop.
_A_WHILE = 2.0
#: How often a row waits for a turn to have its tasks imported right after its settings.
_MOST_WAITS = 4
#: How often a write is sent if it was not carried out, or is safe to repeat.
_MOST_TRIES = 8

#: Reasons for waiting.
_TAKING = "Label Studio did not accept tasks, which will be sent again"
_OTHERS = "another batch may be working on the steps of a row"
_IMPORTING = "an import is under way in Label Studio"
_LANDING = "a change to a project was not answered and may still be carried out"
_COUNTING = "Label Studio does not yet count all tasks that were sent to it"

#: Outcomes of rows whose project this batch completed.
_MADE = frozenset({Outcome.CREATED, Outcome.RESUMED})

#: Outcomes of rows whose project was compared with the whole row.
_COMPARED = frozenset({Outcome.UPDATED, Outcome.UNCHANGED})

#: What Label Studio counts of the labels in a project.
_LABELS = ("total_annotations_number", "total_predictions_number", "skipped_annotations_number")

_GO_ON = "run the sheet again to continue"


def _listed_as_done(ticket: Ticket) -> bool:
    """Whether the list that the plan read shows that all steps are done, which saves a request."""
    listed = [project for project in ticket.planned.projects if project.id == ticket.project]
    if ticket.target.request.steps.tasks and ticket.outcome in _COMPARED:
        return False
    return bool(listed) and all(
        pending_of(project.description, ticket.target.key) is None and read_mark(project.description) is None
        for project in listed
    )


class StepFailed(StencilError):
    """A step of a row failed."""


class _TakenOver(Exception):
    """Another batch has claimed or done the steps of a row while this one was working on them."""


class _Stopped(Exception):
    """The batch is to stop, and the steps of the row have not begun."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A project as it was read.

    Attributes:
        project: The project.
        line: Its line, if it has one.
        at: Monotonic seconds at which it was read.
        unsent: Whether the line says that tasks are sent and this batch has not sent them yet.
    """

    project: Project
    line: Pending | None
    at: float
    unsent: bool = False

    @property
    def pending(self) -> Pending | None:
        """Its line, without tasks that are not sent yet."""
        return self.line._replace(sent=None) if self.line and self.unsent else self.line

    @property
    def key(self) -> str:
        """The key of its workspace and title."""
        return key_of(self.project.workspace, self.project.title)

    @property
    def sent(self) -> Sent | None:
        """The tasks that were sent, according to its line."""
        return self.pending.sent if self.pending else None


@dataclass(slots=True)
class Early:
    """A row's turn to have its tasks imported right after its settings.

    Attributes:
        found: The tasks.
        description: The description that the PATCH of its settings writes; it already says that the tasks are sent.
        echo: The project in the answer to that PATCH, if it is as expected.
        at: Monotonic seconds at which that PATCH was sent.
    """

    found: list[JSON]
    description: str
    _turns: Turns | None
    echo: Project | None = None
    at: float = 0.0

    def release(self) -> None:
        """Give the turn to the next row."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.give_back()


class _Sending(NamedTuple):
    """Tasks that were sent: the project before, Label Studio's answer, and how it was lost if it was."""

    reading: _Reading
    answer: Imported | None
    lost: str = ""


class StepRunner:
    """Carries out the steps of a batch's rows.

    Args:
        label_studio: An open client.
        people: User ids by e-mail address in lower case, for all people that rows name.
        clock: The clock of the batch.
        patience: Waits and counts.
        waits: Announces waits.
        batch: Name of this batch, 8 hex digits.
        turns: Limits how many rows have their tasks imported at the same time.
        stopping: Whether the batch is to stop.
        decide: Gives a ticket its outcome.
        list_lag: Returns the longest time, in seconds, by which lists were behind the writes.
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
        stopping: Stopping,
        decide: Callable[[Ticket, Outcome, int | None, str, str], None],
        list_lag: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._list_lag, self._decide = list_lag, decide
        self._label_studio, self._people, self._clock, self._patience = label_studio, people, clock, patience
        self._batch, self._waits = batch, waits
        # A reading must not wait long for the write that follows from it, and files of tasks are large.
        self._turns, self._stopping = turns, stopping
        # Rows to which nothing unusual happened, in their order, and the projects of these that were read ahead.
        self._ahead: dict[int, Ticket] = {}
        self._seen: dict[int, _Reading] = {}
        # Rows whose tasks were sent and are not counted yet; their projects are read together with those.
        self._importing: dict[int, Ticket] = {}
        # How often rows have waited for a turn to have their tasks imported right after their settings, by line.
        self._waited: Counter[int] = Counter()
        # Rows that wait until an import is over, by project.
        self._awaited: dict[int, Ticket] = {}
        # Projects whose steps are done.
        self._finished: set[int] = set()
        # Steps under way while other rows are created.
        self._beside: dict[asyncio.Task[None], Ticket] = {}
        # Projects whose line says that tasks are sent before they are.
        self._unsent: dict[int, Sent] = {}
        # Tasks that this batch sent, by project, unless they certainly failed.
        self._sent: dict[int, Sent] = {}
        # Until when a line whose answer was lost may still be written, by project.
        self._lands_until: dict[int, float] = {}
        self._reads = asyncio.Lock()

    async def carry_out(self, tickets: Iterable[Ticket]) -> None:
        """Carry out the steps of all rows that are ok and have any; a row whose steps are not done needs attention."""
        await self.settled()
        due = [ticket for ticket in tickets if self.are_due(ticket)]
        self._ahead = {ticket.project or 0: ticket for ticket in due if _is_plain(ticket)}
        await together(self._row(ticket) for ticket in due)

    def are_due(self, ticket: Ticket) -> bool:
        """Whether the row is ok and has steps that are not known to be done."""
        ok = ticket.outcome is not None and ticket.outcome.ok
        known = ticket.project in self._finished or _listed_as_done(ticket)
        return bool(ticket.target.request.steps) and ok and not known

    def leave(self, tickets: Iterable[Ticket], reason: str) -> None:
        """Fail rows of a stopped batch whose steps are not done, or not known to be done."""
        for ticket in tickets:
            if self.are_due(ticket):
                known = "" if ticket.outcome in _MADE else " known to be"
                self._failed(ticket, f"the batch stopped before them ({reason}); {_GO_ON}", known)

    async def early(self, ticket: Ticket, project: Project, seconds: float) -> Early | None:
        """Wait for the row's turn to have its tasks imported right after its settings. Returns None if it gets none.

        Args:
            ticket: The row, whose settings are about to be written.
            project: Its placeholder.
            seconds: Longest wait for a turn.

        Raises:
            Stale: The wait was too long. After a few of these the row gets no turn.
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
            # The row reports this once its project is made.
            early.release()
            return None
        except BaseException:
            early.release()
            raise
        self._unsent[project.id] = sent
        return early

    def go_on(self, ticket: Ticket, early: Early) -> None:
        """Start the steps of a row whose settings were just written, while other rows are created; `settled` waits for them."""
        if early.echo is None or not _is_plain(ticket):
            early.release()
            return
        task = asyncio.create_task(self._row(ticket, early))
        task.add_done_callback(self._ended)
        self._beside[task] = ticket

    def _ended(self, task: "asyncio.Task[None]") -> None:
        # Prefect raises its signal to terminate at any point of the process, so perhaps here; `settled` raises it again.
        if not task.cancelled() and task.exception() and not isinstance(task.exception(), Exception):
            self._stopping.stop(CANCELLED)

    async def settled(self) -> None:
        """Wait for the steps that `go_on` started."""
        while self._beside:
            done, _ = await asyncio.wait(self._beside)
            for task in done:
                del self._beside[task]
                # A process that is about to end may cancel every task.
                if not task.cancelled():
                    task.result()

    def cut(self) -> list["asyncio.Task[None]"]:
        """Cancel the steps that `go_on` started, because the batch ends, and fail their rows. Returns the steps."""
        for task, ticket in self._beside.items():
            if not task.done():
                task.cancel()
                self._cut_off(ticket)
        return list(self._beside)

    async def take_back(self, tickets: Iterable[Ticket]) -> None:
        """Remove the note that tasks are sent from projects to which none were sent, so that a rerun needn't wait for them."""
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
        except _Stopped:
            self.leave([ticket], self._stopping.reason)
        except (StepFailed, LabelStudioError) as error:
            said = str(error)
            self._failed(ticket, said if isinstance(error, StepFailed) else f"{said}; {_GO_ON}")
        except asyncio.CancelledError:
            self._cut_off(ticket)
            raise

    def _cut_off(self, ticket: Ticket) -> None:
        self._failed(ticket, f"the batch was stopped while they were under way; {_GO_ON}")

    def _failed(self, ticket: Ticket, reason: str, known: str = "") -> None:
        ticket.steps = reason
        text = f"project {ticket.project} was made, but its steps are not{known} done: {reason}"
        self._decide(ticket, Outcome.FAILED, ticket.project, "step-failed", text)

    async def _done(self, ticket: Ticket, early: Early | None) -> str:
        """Carry out the steps. Returns what was done, as a sentence; empty if nothing was left to do."""
        for _ in range(_MOST_TRIES):
            # The other batch does them, or leaves them to this one again.
            with contextlib.suppress(_TakenOver):
                return await self._carried_on(ticket, early)
            early = None
        raise StepFailed(f"other batches keep taking them over; {_GO_ON}")

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
        """Wait until no other batch can be working on the steps. Returns the project; None if the steps are done."""
        tries = 0
        while True:
            reading = await self._read(ticket, self._check_going)
            if reading.pending is None:
                self._check_done(ticket, reading.project)
                await self._check_tasks(ticket, reading.project)
                return None
            wait, what = self._wait(ticket, reading.project, reading.pending), _OTHERS
            if wait is None:
                return reading
            over = await self._is_over(reading)
            try:
                if over or not wait:
                    # After a failed import, any claim is that of a batch that has given up.
                    await self._claim(ticket, reading, reading.pending, None if over else reading.sent)
                    # Its batch writes nothing more, and the claim of another batch that saw it fail is written by then.
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
                wait, what = self._again_in(error), "Label Studio did not accept a change, which will be sent again"
            await self._sleep(wait, what, unless_stopped=True)

    async def _is_over(self, reading: _Reading) -> bool:
        """Whether the tasks that another batch sent were refused, or their import has failed."""
        sent = reading.sent
        if sent is None or sent.number is None:
            return sent is not None and sent.refused
        state = await self._state(reading.project, sent.number)
        return state is not None and state.failed

    def _check_going(self) -> None:
        if self._stopping.for_good:
            raise _Stopped

    async def _sleep(self, seconds: float, what: str, *, waited: float = 0.0, unless_stopped: bool = False) -> None:
        """Sleep, and announce the reason if the wait is long.

        Args:
            seconds: How long to sleep.
            what: The reason.
            waited: Seconds that were already spent waiting for it.
            unless_stopped: Whether to sleep no longer if the batch is to stop.
        """
        if waited + seconds > self._waits.shortest:
            self._waits.say(what)
        until = self._clock.now() + seconds
        while (left := until - self._clock.now()) > 0 and not (unless_stopped and self._stopping.for_good):
            await self._clock.sleep(min(left, _A_WHILE) if unless_stopped else left)

    def _again_in(self, error: Throttled | Unsure) -> float:
        """Seconds before a write is sent again."""
        return error.retry_after if isinstance(error, Throttled) else self._patience.unanswered[0]

    def _wait(self, ticket: Ticket, project: Project, pending: Pending) -> float | None:
        """Seconds after which this batch may claim the steps or look again; None if they are its own."""
        updated = ticket.outcome in _COMPARED
        if pending.intent != ticket.target.intent and not updated:
            raise StepFailed(
                "the project waits for the steps of another sheet, or of an earlier version of this one: run that one again, "
                'or this one with `mode="update"`'
            )
        if pending.claim:
            if pending.claim.batch == self._batch:
                return None
            left_at = float(pending.claim.since)
        elif ticket.outcome in _MADE:
            # If anything was odd, another batch may have made it too, or a lost write may restore the line.
            return None if ticket.outcome is Outcome.CREATED and not ticket.odd else 0.0
        else:
            left_at = project.created_at.timestamp()
        return min(self._patience.rivals, max(0.0, left_at + self._patience.lease - self._server_time()))

    async def _claim(self, ticket: Ticket, reading: _Reading, pending: Pending, sent: Sent | None) -> None:
        claim = Claim(self._batch, int(self._server_time()))
        line = with_pending(pending.description, ticket.target.key, pending.intent, claim, sent)
        # If the answer is lost, the next reading shows whether it was written.
        with contextlib.suppress(Unsure):
            await self._write(reading, line)

    async def _write(self, reading: _Reading, line: str) -> Project:
        """Write a line. Returns the project in the answer."""
        try:
            return await self._label_studio.update_project(
                reading.project.id, {"description": line}, before=self._while_fresh(reading), turn=Turn.NOW
            )
        except (Throttled, Unsure) as error:
            if _may_be_carried_out(error):
                self._lands_until[reading.project.id] = self._clock.now() + self._patience.late
            raise

    def _lands_in(self, project: Project) -> float:
        """Seconds during which a line whose answer was lost may still be written."""
        return max(0.0, self._lands_until.get(project.id, 0.0) - self._clock.now())

    def _server_time(self) -> float:
        return (self._label_studio.server_time() or datetime.now(UTC)).timestamp()

    def _while_fresh(self, reading: _Reading) -> Callable[[], None]:
        """A check that stops a write if the reading behind it is too old."""

        def before() -> None:
            if self._is_old(reading):
                raise Stale

        return before

    def _is_old(self, reading: _Reading) -> bool:
        return self._clock.now() - reading.at > self._patience.read

    async def _read(self, ticket: Ticket, before: Callable[[], None] = lambda: None) -> _Reading:
        # The time of the request and not of the answer: the process may be stopped in between.
        asked = self._clock.now()

        def leaves() -> None:
            nonlocal asked
            before()
            asked = self._clock.now()

        try:
            project = await self._label_studio.project(ticket.project or 0, before=leaves)
        except Rejected as rejected:
            if rejected.status == 404:
                raise StepFailed("somebody has deleted it: run the row again to make a new one") from rejected
            raise
        reading = self._reading(ticket, project, asked)
        if reading.key != ticket.target.key:
            raise StepFailed("somebody has renamed or moved it: check it")
        return await self._with_line(ticket, reading)

    async def _with_line(self, ticket: Ticket, reading: _Reading) -> _Reading:
        """Restore the note that tasks were sent, if another batch's late write has removed it. Returns the project."""
        number = reading.project.id
        sent = self._sent.get(number)
        if sent is None or reading.pending is None or reading.project.tasks:
            return reading
        if reading.sent in (sent, sent._replace(number=None)):
            return reading
        with contextlib.suppress(Stale, Throttled, Unsure):
            state = None if sent.number is None else await self._state(reading.project, sent.number)
            if state is not None and state.failed:
                # Another batch that has seen it fail may have sent the tasks again.
                del self._sent[number]
            else:
                return await self._note(ticket, reading, sent)
        return reading

    def _reading(self, ticket: Ticket, project: Project, at: float) -> _Reading:
        line = pending_of(project.description, ticket.target.key)
        # Other batches claim a row before they send its tasks.
        unsent = line is not None and line.claim is None and line.sent == self._unsent.get(project.id)
        return _Reading(project, line, at, unsent)

    def _check_done(self, ticket: Ticket, project: Project) -> None:
        """Check that another batch removed the project's line, and not a colleague.

        Raises:
            StepFailed: The project is not as that batch would have left it.
        """
        final = ticket.target.final_settings["description"]
        unpublished = ticket.target.request.steps.publish and project.settings.get("is_published") is False
        if ticket.outcome in _MADE and (project.description != final or unpublished):
            raise StepFailed("somebody changed its description meanwhile: check it, and do the steps by hand")
        tasks = ticket.target.request.steps.tasks
        if tasks and ticket.outcome in _MADE and project.task_count != tasks.count:
            raise StepFailed(_other_count(project.task_count, tasks.count))
        if tasks and ticket.outcome in _COMPARED and project.task_count != tasks.count:
            raise StepFailed(
                f"it holds {counted(project.task_count, 'task')}, and the file has {tasks.count}; tasks are imported only into "
                "an empty project: add them by hand, or leave the cell empty"
            )

    async def _check_tasks(self, ticket: Ticket, project: Project) -> None:
        """Check that the tasks of a project that existed show what those of the row's file show.

        Raises:
            StepFailed: Some show something else.
        """
        tasks = ticket.target.request.steps.tasks
        if tasks is None or ticket.outcome not in _COMPARED:
            return
        async with self._turns.turn():
            wanted = Counter(_shown(_data_of(task)) for task in await self._tasks(tasks))
        ids, page = set[int](), 0
        while len(ids) < tasks.count:
            self._check_going()
            page += 1
            found = (await self._label_studio.task_data_page(project.id, page)).tasks
            if not found:
                break
            wanted.subtract(_shown(task.data) for task in found if task.id not in ids)
            ids.update(task.id for task in found)
        if others := (+wanted).total():
            raise StepFailed(
                f"{others} of the {counted(tasks.count, 'task')} of {file_name(tasks.where)} are not in it; tasks are imported "
                "only into an empty project: correct them by hand, or leave the cell empty"
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
        """Make sure that the project has its tasks. Returns the project and what was done."""
        sent, digest = reading.sent, tasks.digest[:8]
        state = None
        if sent is not None and sent.number is not None:
            state = await self._carried_out(ticket, reading.project, sent.number)
        if sent is not None and not sent.refused and not (state is not None and state.failed):
            if sent.digest != digest:
                raise StepFailed(f"the tasks of another version of {file_name(tasks.where)} were sent to it: check it")
            return await self._counted(ticket, reading, tasks), "were there"
        if reading.project.tasks:
            if reading.project.task_count != tasks.count:
                raise StepFailed(_other_count(reading.project.task_count, tasks.count))
            if _lacks_labels(reading.project, tasks):
                raise StepFailed(_without_labels(reading.project, tasks))
            return reading, "were there"
        return await self._imported(ticket, reading, tasks) or reading, "imported"

    async def _imported(self, ticket: Ticket, at: _Reading | Early | None, tasks: TaskFile) -> _Reading | None:
        """Send the tasks, once, and wait until Label Studio counts them. Returns the project.

        Args:
            ticket: The row.
            at: Its project or its turn. With None the project is read ahead; if it is not as this batch made it, nothing is
                sent and the result is None.
            tasks: The file of tasks.
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
            if answer is not None and _labels_lost(tasks, answer.annotation_count, answer.prediction_count):
                raise StepFailed(_without_labels(reading.project, tasks))
            known = answer is not None and answer.task_count == tasks.count
            return reading if known else await self._counted(ticket, reading, tasks, lost)
        reading = await self._soon_counted(ticket, reading, tasks)
        if reading.project.task_count != tasks.count:
            # If the answer is lost, this batch still knows the id.
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
                f"import {answer.number} of {file_name(tasks.where)} failed: {reason}; correct the file and {_GO_ON}"
            )
        return await self._counted(ticket, reading, tasks)

    async def _send_early(self, ticket: Ticket, early: Early, tasks: TaskFile) -> _Sending | None:
        """Send the tasks of a row whose line already says so. Returns None if the answer to its PATCH doesn't show the line."""
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
        """Send the tasks of a row to which nothing unusual happened. Returns None if its project is not as it was made."""
        async with self._turns.turn():
            self._check_going()
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
                if reading.sent is None:
                    self._check_going()
                # Opening a large file may take longer than the reading of the project is fresh.
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
        """Send the tasks once. Returns what was sent, or None and the seconds before another try."""
        sent, noted = Sent(tasks.digest[:8]), False
        try:
            if (reading.line is None or reading.line.sent != sent) and not reading.project.tasks:
                reading = await self._note(ticket, reading, sent)
            if reading.project.tasks:
                raise StepFailed(_other_count(reading.project.task_count, tasks.count))
            noted, before = True, self._while_fresh(reading)
            reading = replace(reading, unsent=False)

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
        """Read the project of a row, in one request with those of the next rows."""
        if self._list_lag():
            # A list would show an old state.
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
        """Count the tasks a few times before a request is spent on writing the import's id. Returns the last reading."""
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
        """Read the project again.

        Raises:
            _TakenOver: Its steps are not this batch's any more.
        """
        reading = await self._read(ticket)
        if reading.pending is None or self._wait(ticket, reading.project, reading.pending) is not None:
            raise _TakenOver
        return reading

    async def _note(self, ticket: Ticket, reading: _Reading, sent: Sent | None) -> _Reading:
        """Write into the line which tasks were sent, or that none were. Returns the project."""
        pending = reading.pending
        if pending is None:
            raise Stale
        line = with_pending(pending.description, ticket.target.key, pending.intent, pending.claim, sent)
        echo = await self._write(reading, line)
        noted = self._reading(ticket, echo, self._clock.now())
        # The answer may be an old copy; then read the project.
        known = noted.line is not None and noted.line.sent == sent and "tasks" not in echo.lacks
        return noted if known else await self._still_ours(ticket)

    async def _note_refusal(self, ticket: Ticket, reading: _Reading, sent: Sent) -> None:
        """Write into the line that these tasks were refused, so that a rerun needn't wait for them."""
        if reading.line and reading.line.sent == sent:
            with contextlib.suppress(LabelStudioError, StepFailed, Stale, _TakenOver):
                if self._is_old(reading):
                    reading = await self._still_ours(ticket)
                await self._note(ticket, reading, sent._replace(refused=True))

    async def _state(self, project: Project, number: int) -> ImportState | None:
        """The state of an import; None if Label Studio doesn't know it."""
        try:
            return await self._label_studio.import_state(project.id, number)
        except Rejected as rejected:
            if rejected.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _carried_out(self, ticket: Ticket, project: Project, number: int) -> ImportState | None:
        """Wait until an import is done or has failed. Returns its state; None if Label Studio doesn't know it."""
        began = asks_at = self._clock.now()
        waits = _waits()
        self._awaited[project.id] = ticket
        try:
            while True:
                if self._clock.now() >= asks_at:
                    state = await self._state(project, number)
                    if state is None or state.done or state.failed:
                        return state
                    if self._clock.now() - began >= _LONGEST_IMPORT:
                        raise StepFailed(
                            f"import {number} is still {state.status!r} after {_LONGEST_IMPORT:.0f} s, and Label Studio is "
                            "still working on it: run the sheet again later"
                        )
                    # The questions of all rows take a quarter of the rate at most, since reads go before writes.
                    rate = self._label_studio.pacer.rate
                    asks_at = self._clock.now() + max(next(waits), 4 * len(self._awaited) / rate)
                if self._stopping.for_good:
                    raise StepFailed(f"the batch was stopped while import {number} was under way; {_GO_ON}")
                now = self._clock.now()
                reads_at = now + _LINES_READ - now % _LINES_READ
                seconds = min(asks_at, reads_at) - now
                await self._sleep(seconds, _IMPORTING, waited=now - began, unless_stopped=True)
                if self._clock.now() >= reads_at and project.id in self._sent:
                    await self._check_line(ticket, reads_at)
        finally:
            del self._awaited[project.id]
            self._seen.pop(project.id, None)

    async def _check_line(self, ticket: Ticket, since: float) -> None:
        """Restore the note that tasks were sent if it was removed. The projects of many rows are read in one request."""

        def is_due(number: int) -> bool:
            seen = self._seen.get(number)
            return seen is None or seen.at < since

        number = ticket.project or 0
        if not self._list_lag():
            async with self._reads:
                if is_due(number):
                    others = {each: other for each, other in self._awaited.items() if is_due(each)}
                    await self._see({number: ticket, **dict(itertools.islice(others.items(), _AHEAD))})
            if not is_due(number) and self._seen[number].sent is not None:
                return
        await self._read(ticket)

    async def _counted(self, ticket: Ticket, reading: _Reading, tasks: TaskFile, lost: str = "") -> _Reading:
        """Wait until Label Studio counts all tasks. Returns the project.

        Raises:
            StepFailed: It counts others after a minute.
        """
        waited = 0.0
        for seconds in (0.0, *_COUNTS_AGAIN):
            await self._sleep(seconds, _COUNTING, waited=waited)
            waited += seconds
            reading = await self._still_ours(ticket)
            if reading.project.task_count >= tasks.count and not _lacks_labels(reading.project, tasks):
                break
        counted = reading.project.task_count
        if counted != tasks.count:
            raise StepFailed(
                f"{file_name(tasks.where)} was sent, and after {waited:.0f} s Label Studio counts {counted} of "
                f"{tasks.count} tasks{lost}; it is never sent a second time. Check project {reading.project.id}: if tasks are "
                f"missing, import them by hand or delete the project; then {_GO_ON}"
            )
        if _lacks_labels(reading.project, tasks):
            raise StepFailed(_without_labels(reading.project, tasks))
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
                f"Label Studio did not accept {names or 'some people'} as members: check their roles; {_GO_ON}"
            )
        return f"{len(members)} members"

    async def _close(self, ticket: Ticket, reading: _Reading) -> None:
        """Remove the line, publish and pin."""
        if lands_in := self._lands_in(reading.project):
            # Else that write would restore the line.
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
                    await self._check_kept(ticket, reading.project)
                    return
        raise StepFailed(f"Label Studio did not accept the last of them; {_GO_ON}")

    async def _check_kept(self, ticket: Ticket, project: Project) -> None:
        """Check that Label Studio has published and pinned the project, as far as it says."""
        steps = ticket.target.request.steps
        if _not_kept(steps, project):
            # The answer may be an old copy.
            lacking = _not_kept(steps, (await self._read(ticket)).project)
            if lacking:
                raise StepFailed(f"Label Studio did not {' and '.join(lacking)} it: do that by hand")

    async def _check_count(self, ticket: Ticket, reading: _Reading, pending: Pending | None) -> None:
        """Restore the line if the project has more or fewer tasks than were sent: a server may carry an import out twice."""
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


def _shown(data: JSON) -> str:
    """A digest of what a task shows."""
    return content_digest(canonical(data).encode("utf-8", "surrogatepass"))


def _data_of(task: JSON) -> JSON:
    """What a task of a file shows."""
    return task["data"] if isinstance(task, Mapping) and "data" in task else task


def _not_kept(steps: Steps, project: Project) -> list[str]:
    """What Label Studio says that it did not do: publish, pin."""
    asked = (("publish", steps.publish, "is_published"), ("pin", steps.pin, "pinned_at"))
    return [word for word, is_asked, name in asked if is_asked and not project.settings.get(name, True)]


def _other_count(there: int, expected: int) -> str:
    return f"it holds {counted(there, 'task')}, and the file has {expected}: check it"


def _lacks_labels(project: Project, tasks: TaskFile) -> bool:
    """Whether the project has none of the annotations and predictions of its tasks, as far as Label Studio says."""
    return _labels_lost(tasks, *(project.settings.get(name) for name in _LABELS))


def _labels_lost(tasks: TaskFile, *counts: JSON) -> bool:
    """Whether none of a file's annotations and predictions were imported.

    Community on SQLite tries an import again when its database is locked, and has taken them off the tasks by then (1.23.2).
    """
    return bool(tasks.labelled.annotations or tasks.labelled.predictions) and all(count == 0 for count in counts)


def _without_labels(project: Project, tasks: TaskFile) -> str:
    return (
        f"Label Studio imported the tasks of {file_name(tasks.where)} without their annotations and predictions, as it does on "
        f"SQLite while others write: delete project {project.id}; then {_GO_ON}"
    )


def _is_plain(ticket: Ticket) -> bool:
    """Whether the row has tasks, and this batch made its project without anything odd."""
    return ticket.outcome is Outcome.CREATED and not ticket.odd and ticket.target.request.steps.tasks is not None


def _is_as_made(ticket: Ticket, reading: _Reading) -> bool:
    """Whether the project is as this batch made it: empty, with nothing sent and no claim."""
    pending = reading.pending
    return (
        not reading.project.tasks
        and pending == (pending.description if pending else "", ticket.target.intent, None, None)
        and reading.key == ticket.target.key
    )


def _waits() -> Iterator[float]:
    """Seconds between the readings of an import's state."""
    yield from _COUNTS_AGAIN
    while True:
        yield _COUNTS_AGAIN[-1]


def _may_be_carried_out(error: Throttled | Unsure) -> bool:
    """Whether a request that ended so may have taken effect: not after a 429, but perhaps after a 503."""
    return error.sent if isinstance(error, Unsure) else error.status != HTTPStatus.TOO_MANY_REQUESTS


def _refused(rejected: Rejected, tasks: TaskFile) -> str:
    """Why Label Studio refused a file of tasks, without its content."""
    logged = f", in its log: {rejected.reference}" if rejected.reference else ""
    return (
        f"Label Studio refused the tasks of {file_name(tasks.where)} ({rejected.status}{logged}): {rejected.detail}; "
        f"correct the file and {_GO_ON}"
    )
