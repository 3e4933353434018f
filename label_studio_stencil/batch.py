"""One run over one sheet, from its rows to its report, without Prefect.

    sheet -> requests -> targets -> plan -> engine -> report

`prepare` does everything before the first write, so that a plan and a batch share that code.
"""

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from label_studio_stencil.access import Instance
from label_studio_stencil.concurrency import together, until_stopped
from label_studio_stencil.engine.context import RowsWaiting
from label_studio_stencil.engine.engine import Engine
from label_studio_stencil.engine.stop import CANCELLED, Stopping
from label_studio_stencil.engine.ticket import Ticket
from label_studio_stencil.labelstudio.pacing import spread
from label_studio_stencil.options import Options, most_failures
from label_studio_stencil.plans.changes import changes_of
from label_studio_stencil.plans.plan import Action
from label_studio_stencil.plans.survey import listed_fields, newest_page, survey
from label_studio_stencil.plans.targets import Checked, refused_interfaces, resolve_targets
from label_studio_stencil.policy import LEAST_GROUPED, MOST_GROUPS, Patience, Retries
from label_studio_stencil.problems import InvalidSheet, Problem, StencilError, shown
from label_studio_stencil.redaction import visible
from label_studio_stencil.report.outcomes import Outcome, RowReport
from label_studio_stencil.report.report import Report
from label_studio_stencil.report.summary import counts_text, progress_text
from label_studio_stencil.rows.feedback import self_contained
from label_studio_stencil.rows.request import Request
from label_studio_stencil.sheet.model import Row
from label_studio_stencil.templates.files import from_anywhere

logger = logging.getLogger(__name__)


class BatchFailed(StencilError):
    """The batch ended with more rows that need attention than `fail_when` allows.

    Attributes:
        report: The report on every row.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(report.sentence)


class Group:
    """Rows of one task run."""

    def __init__(self, name: str, tickets: Sequence[Ticket]) -> None:
        self.name = name
        self.tickets = tuple(tickets)


class Batch:
    """One run over one sheet: its plan, and the outcomes so far."""

    def __init__(
        self,
        checked: Checked,
        options: Options,
        label_studio: Instance,
        engine: Engine,
        problems: Sequence[Problem],
        began: float,
    ) -> None:
        self.sheet, self.options, self.label_studio, self.engine = checked.sheet, options, label_studio, engine
        self.stopping = engine.stopping
        self._clock = label_studio.pacer.clock
        self._began, self._planned = began, self._clock.now()
        self.started = datetime.now(UTC) - timedelta(seconds=self._clock.now() - began)
        self.most_failures = most_failures(options.max_failures, len(self.sheet.rows))
        self._invalid: dict[int, list[Problem]] = {}
        for problem in problems:
            if problem.line is not None:
                self._invalid.setdefault(problem.line, []).append(problem)
        self._rows = {row.line: row for row in self.sheet.rows if row.line in self._invalid}
        self._title_column = next((name for name in self.sheet.columns if name.strip().casefold() == "title"), "")
        self._failed: set[int] = set()
        # Messages for a person at the terminal, and the run's log.
        self.tell: Callable[[str], None] = lambda text: None
        self.log: Callable[[str], None] = logger.info
        engine.waits.tell = self._say
        engine.waits.note = lambda text: self.log(text)

    def _say(self, text: str) -> None:
        self.tell(text)
        self.log(text)

    def groups(self) -> list[Group]:
        """The rows with something to do, in order, in at most `MOST_GROUPS` groups; each row is a group if there are few."""
        tickets = [ticket for ticket in self.engine.tickets if not ticket.done]
        grouped = len(tickets) > MOST_GROUPS
        size = max(LEAST_GROUPED, math.ceil(len(tickets) / MOST_GROUPS)) if grouped else 1
        return [_group(tickets[start : start + size]) for start in range(0, len(tickets), size)]

    @property
    def intention(self) -> str:
        """The plan in one line: `27 rows: 24 would be created, 3 exists`."""
        counts = Counter(_PLANNED[ticket.planned.action] for ticket in self.engine.tickets)
        counts[Outcome.INVALID] += len(self._invalid)
        return counts_text(+counts, dry_run=True)

    def go_on(self) -> None:
        """Continue with the rows that a pause has left."""
        self.stopping.go_on()
        for ticket in self.engine.tickets:
            if ticket.outcome is Outcome.UNPROCESSED:
                ticket.reopen()

    async def complete_placeholders(self) -> None:
        """Complete the placeholders after a cancellation."""
        await self.engine.complete_placeholders()
        await self.engine.steps.take_back(self.engine.tickets)

    @property
    def has_steps(self) -> bool:
        """Whether any row has steps."""
        return any(ticket.target.request.steps for ticket in self.engine.tickets)

    async def carry_out_steps(self) -> None:
        """Carry out the steps of all rows, after the sweep; a pause does not stop them."""
        if self.stopping.for_good:
            self.engine.steps.leave(self.engine.tickets, self.stopping.reason)
        else:
            await self.engine.steps.carry_out(self.engine.tickets)
        await self.engine.steps.take_back(self.engine.tickets)

    @property
    def failures(self) -> int:
        """Number of rows that failed."""
        return len(self._failed)

    def note_done(self, ticket: Ticket) -> None:
        """Count a row that failed, and stop the batch if there are too many."""
        # The sweep may decide a row more than once.
        (self._failed.add if ticket.outcome in _BAD else self._failed.discard)(ticket.target.request.line)
        if self.failures > self.most_failures:
            self.stopping.stop(f"more than {self.options.max_failures} of the rows failed (max_failures)")

    @property
    def progress(self) -> tuple[str, float]:
        """The progress (`12 of 27 rows (44%): 11 created, 1 failed`), and the share of rows that are done, in percent."""
        counts, rows = self.counts(), len(self.sheet.rows)
        del counts[Outcome.UNPROCESSED]
        return progress_text(self.done, rows, counts), min(100.0, 100.0 * self.done / max(1, rows))

    @property
    def done(self) -> int:
        """Number of rows that have an outcome and are not left to a rerun."""
        counts = self.counts()
        return counts.total() - counts[Outcome.UNPROCESSED]

    def counts(self) -> Counter[Outcome]:
        """Number of rows by outcome so far, without rows that have none."""
        found = Counter(ticket.outcome for ticket in self.engine.tickets if ticket.outcome is not None)
        found[Outcome.INVALID] += len(self._invalid)
        return +found

    def report(self) -> Report:
        """The report so far; rows without an outcome are `unprocessed`."""
        rows = [self._row_report(ticket) for ticket in self.engine.tickets]
        rows += [self._invalid_report(line, problems) for line, problems in self._invalid.items()]
        return Report(
            rows=tuple(sorted(rows, key=lambda row: row.line)),
            sheet=self.sheet.name,
            columns=tuple(self.sheet.columns) if self._title_column else ("title", *self.sheet.columns),
            label_studio=self.label_studio.name,
            edition=self.label_studio.edition.value,
            sandbox=self.label_studio.sandbox,
            batch=self.engine.batch,
            started=self.started,
            seconds=self._clock.now() - self._began,
            requests=self.label_studio.client.requests_sent,
            mode=self.options.mode,
            dry_run=self.options.dry_run,
            notes=(*self._token_notes(), *self.sheet.notes, *_lookalikes(self.engine.tickets), *self.engine.notes),
            stopped=self.stopping.reason,
            separator=self.sheet.separator,
            folder=str(self.sheet.folder or ""),
            planning=self._planned - self._began,
            pauses=self.label_studio.pacer.pauses,
            paused=self.label_studio.pacer.paused_for,
        )

    def _token_notes(self) -> list[str]:
        note = self.label_studio.client.token_note()
        return [note] if note else []

    def _row_report(self, ticket: Ticket) -> RowReport:
        target = ticket.target
        outcome = ticket.outcome or (_PLANNED[ticket.planned.action] if self.options.dry_run else Outcome.UNPROCESSED)
        project = ticket.project
        if project is None and self.options.dry_run and ticket.planned.projects:
            project = ticket.planned.projects[0].id
        return RowReport(
            line=target.request.line,
            title=target.request.title,
            workspace=target.workspace_name or target.request.workspace,
            outcome=outcome,
            project_id=project,
            project_url=f"{self.label_studio.client.url}/projects/{project}" if project is not None else "",
            attempts=ticket.attempts,
            seconds=ticket.seconds,
            error_code=ticket.error_code,
            error=ticket.error,
            steps=ticket.steps,
            changes=changes_of(ticket.planned) if self.options.dry_run or outcome is Outcome.UPDATED else (),
            cells=self._cells(target.request),
            again=None if outcome.ok else self._again(target.request),
        )

    def _cells(self, request: Request) -> Mapping[str, object]:
        """The row's cells, with the title even if it comes from a pattern or the template."""
        column = self._title_column or "title"
        same = request.cells.get(column) == request.title
        return request.cells if same else {**request.cells, column: request.title}

    def _again(self, request: Request) -> dict[str, object]:
        template = from_anywhere(request.template, self.sheet.folder)
        return self_contained(request, self.sheet.columns, template=template)

    def _invalid_report(self, line: int, problems: Sequence[Problem]) -> RowReport:
        row = self._rows.get(line, Row(line, {}))
        named = {str(column).strip().lower(): value for column, value in row.cells.items()}
        return RowReport(
            line=line,
            title=shown(named.get("title") or ""),
            workspace=shown(named.get("workspace") or ""),
            outcome=Outcome.INVALID,
            error_code=problems[0].code,
            error="; ".join(_told(problem) for problem in problems),
            cells=row.cells,
        )

    async def carry_out(self) -> None:
        """Carry out the plan in this process.

        A first cancellation starts nothing new and completes the placeholders; a second one leaves them to a rerun.

        Raises:
            asyncio.CancelledError: It was cancelled.
        """
        await until_stopped(self.run(), lambda: self.stopping.stop(CANCELLED))

    async def run(self, retries: Retries | None = None) -> None:
        """Carry out the plan in a plain loop instead of Prefect's task retries; a cancellation ends it."""
        retries = retries or Retries()
        under_way = asyncio.Semaphore(groups_at_once(self))

        async def carry_out(group: Group) -> None:
            async with under_way:
                await self._until_done(group, retries)

        try:
            await together(carry_out(group) for group in self.groups())
            await self.engine.sweep()
            await self.carry_out_steps()
        finally:
            await self.end()

    async def end(self) -> None:
        """End what is under way, and note for each row what is not done; after all of the work this changes nothing."""
        under_way = self.engine.cut()
        self.engine.stop_rows()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _until_done(self, group: Group, retries: Retries) -> None:
        for delay in retries.delays:
            try:
                await self.engine.attempt(group.tickets)
            except RowsWaiting as waiting:
                await self._clock.sleep(max(waiting.seconds, spread(delay, retries.jitter)))
            else:
                return
        with contextlib.suppress(RowsWaiting):
            await self.engine.attempt(group.tickets)
        self.engine.give_up(group.tickets)


_PLANNED = {
    Action.CREATE: Outcome.CREATED,
    Action.RESUME: Outcome.RESUMED,
    Action.UPDATE: Outcome.UPDATED,
    Action.UNCHANGED: Outcome.UNCHANGED,
    Action.EXISTS: Outcome.EXISTS,
    Action.AMBIGUOUS: Outcome.AMBIGUOUS,
}

#: Outcomes that count as failures.
_BAD = frozenset({Outcome.FAILED, Outcome.AMBIGUOUS})

#: Actions that write settings, so that Label Studio has to validate them.
_WRITING = frozenset({Action.CREATE, Action.RESUME, Action.UPDATE})


async def prepare(
    checked: Checked,
    options: Options,
    label_studio: Instance,
    *,
    patience: Patience | None = None,
    began: float | None = None,
) -> Batch:
    """Resolve all names, find the problems that need Label Studio, and plan, without writing anything.

    Args:
        checked: The sheet.
        options: The options of the batch.
        label_studio: The Label Studio.
        patience: How long to wait for projects that Label Studio does not show yet.
        began: Start of the batch by its clock; by default now.

    Raises:
        InvalidSheet: The sheet has problems, and `skip_invalid` was not given or does not help.
        BadOption: The value of an option is invalid.
        LabelStudioError: Label Studio did not answer.
    """
    most_failures(options.max_failures, 0)
    began = label_studio.pacer.clock.now() if began is None else began
    fields = listed_fields(checked.requests, options.mode)
    (targets, problems, people), newest = await together(
        (resolve_targets(checked, options, label_studio), newest_page(label_studio.client, fields))
    )
    stops = [problem for problem in problems if problem.line is None or not options.skip_invalid]
    if stops:
        raise InvalidSheet(checked.sheet.name, problems, checked.sheet.notes)
    surveyed = await survey(
        label_studio.client,
        targets,
        options.mode,
        newest,
        at_once=label_studio.pacer.max_reads,
        allow_lookalikes=options.allow_lookalikes,
    )
    written = (each.target for each in surveyed.planned if each.action in _WRITING)
    refused = await refused_interfaces(written, label_studio)
    if refused and not options.skip_invalid:
        every = sorted([*problems, *refused], key=lambda problem: problem.line or 0)
        raise InvalidSheet(checked.sheet.name, every, checked.sheet.notes)
    bad = {problem.line for problem in refused}
    engine = Engine(
        label_studio.client,
        [each for each in surveyed.planned if each.target.request.line not in bad],
        covered=surveyed.covered,
        ordered=surveyed.ordered,
        clock=label_studio.pacer.clock,
        patience=patience,
        stopping=Stopping(),
        longest_outage=options.longest_outage,
        people=people,
    )
    batch = Batch(checked, options, label_studio, engine, [*problems, *refused], began)
    engine.when_done(batch.note_done)
    return batch


async def provision(
    checked: Checked,
    options: Options,
    label_studio: Instance,
    *,
    patience: Patience | None = None,
    retries: Retries | None = None,
) -> Report:
    """Plan a batch and carry it out, without Prefect; a cancellation ends it.

    Raises:
        InvalidSheet: As `prepare`.
        LabelStudioError: Label Studio did not answer while the batch was planned.
    """
    batch = await prepare(checked, options, label_studio, patience=patience)
    if not options.dry_run:
        await batch.run(retries)
    return batch.report()


def groups_at_once(batch: Batch) -> int:
    """Number of groups at the same time: enough rows to fill the windows that are created, looked at and completed."""
    groups = batch.groups()
    size = max((len(group.tickets) for group in groups), default=1)
    # At least two; otherwise nothing would be created while the last window of a large one is completed.
    return max(2, math.ceil(4 * batch.engine.patience.window / size))


def _lookalikes(tickets: Iterable[Ticket]) -> list[str]:
    """A note about rows that have a project of exactly their title, and another whose title looks the same."""
    beside = [each for each in tickets if each.planned.alike and each.planned.action is not Action.AMBIGUOUS]
    if not beside:
        return []
    first = "; ".join(f"line {each.target.request.line}: project {each.planned.alike[0].id}" for each in beside[:5])
    more = f"; and {len(beside) - 5} more" if len(beside) > 5 else ""
    return [f"Beside the project of a row there is one whose title looks the same ({first}{more})."]


def _group(tickets: Sequence[Ticket]) -> Group:
    first, last = tickets[0].target.request, tickets[-1].target.request
    return Group(visible(first.title) if len(tickets) == 1 else f"lines {first.line}-{last.line}", tickets)


def _told(problem: Problem) -> str:
    """A problem without its line and code, which its row shows already."""
    place = f"{problem.column}: " if problem.column else ""
    return f"{place}{problem.text}"
