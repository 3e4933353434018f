"""One run over one sheet, from its rows to its report, without Prefect.

    sheet -> requests -> targets -> plan -> engine -> report

`prepare` does everything that needs no write, so that a plan and a batch are the same code up to the first create.
"""

import asyncio
import contextlib
import math
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import SecretStr

from stencil.labelstudio import Edition, LabelStudio, LabelStudioError, Workspace
from stencil.names import find
from stencil.overrides import ENTERPRISE_ONLY_FIELDS
from stencil.pacing import Clock, Pacer, SystemClock
from stencil.planning import Action, Mode, Target, description_problem, target_of
from stencil.problems import InvalidSheet, Problem, StencilError, shown
from stencil.provisioning import LEAST_GROUPED, MOST_GROUPS, Engine, Patience, Retries, Stopping, Ticket, Unsettled
from stencil.report import Outcome, Report, RowReport
from stencil.settings import StudioSettings, default_max_concurrency, default_requests_per_second
from stencil.sheet import Request, Row, Sheet, find_duplicates, requests_of, self_contained
from stencil.survey import survey
from stencil.templates import Template, community_problem, from_anywhere, resolve_templates


class FailWhen(StrEnum):
    """Which rows that are not well make the batch a failed one."""

    ANY = "any"
    ALL = "all"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Options:
    """How a batch is to be run.

    Attributes:
        template: Template of the rows that name none.
        workspace: Workspace of the rows that name none.
        mode: What happens to projects that exist.
        dry_run: Whether to stop after the plan.
        max_concurrency: Requests under way at once; 0 is the edition's default (4; Community 1).
        requests_per_second: 0 is no limit; below 0 the host's default (10 on the vendor's cloud, none elsewhere).
        max_failures: Rows that may fail before the batch stops, as a number (`10`) or a share (`5%`); empty is no limit.
        skip_invalid: Whether the valid rows of a sheet are carried out beside invalid ones.
        allow_unknown_fields: Whether fields that the model does not know are passed on.
    """

    template: str = ""
    workspace: str = ""
    mode: Mode = Mode.CREATE
    dry_run: bool = False
    max_concurrency: int = 0
    requests_per_second: float = -1.0
    max_failures: str = ""
    skip_invalid: bool = False
    allow_unknown_fields: bool = False


class BadOption(StencilError):
    """An option has a value that it can't have."""


class BatchFailed(StencilError):
    """The batch ended, and too many of its rows are not well; `report` tells of each."""

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(report.sentence)


@dataclass(frozen=True, slots=True)
class Studio:
    """An open studio, and what is known of it.

    Attributes:
        client: The open client.
        edition: What it can do.
        pacer: The limits of this batch.
        name: For people: its address, or that it is the sandbox.
        sandbox: Whether it is the embedded sandbox.
    """

    client: LabelStudio
    edition: Edition
    pacer: Pacer
    name: str
    sandbox: bool = False


@contextlib.asynccontextmanager
async def open_studio(
    settings: StudioSettings, options: Options, *, sandbox: bool = False, clock: Clock | None = None
) -> AsyncIterator[Studio]:
    """A client with the limits that the options and the edition ask for.

    Raises:
        LabelStudioError: The studio did not answer, or refused the token.
    """
    rate = options.requests_per_second
    pacer = Pacer(
        max_concurrency=options.max_concurrency or default_max_concurrency(Edition.ENTERPRISE),
        requests_per_second=default_requests_per_second(settings.url) if rate < 0 else rate,
        clock=clock or SystemClock(),
    )
    async with LabelStudio(settings.url, settings.token, pacer=pacer) as client:
        version = await client.version()
        if not options.max_concurrency:
            pacer.max_concurrency = default_max_concurrency(version.edition)
        name = f"the embedded sandbox ({client.url})" if sandbox else client.url
        yield Studio(client, version.edition, pacer, name, sandbox)


@contextlib.asynccontextmanager
async def open_sandbox(options: Options, *, data: Path | None = None) -> AsyncIterator[Studio]:
    """The embedded sandbox, started for the time of a batch.

    Args:
        options: As for `open_studio`.
        data: File that its projects are kept in; by default `STENCIL_SANDBOX_DATA`, else `.stencil/sandbox.sqlite3`.
    """
    # Only who runs on the sandbox pays for importing a web server.
    from stencil.sandbox import Sandbox

    path = data or Path(os.environ.get("STENCIL_SANDBOX_DATA") or DEFAULT_SANDBOX_DATA)
    path.parent.mkdir(parents=True, exist_ok=True)
    with Sandbox(path) as sandbox:
        settings = StudioSettings(url=sandbox.url, token=SecretStr(sandbox.token))
        async with open_studio(settings, options, sandbox=True) as studio:
            yield studio


#: Where the embedded sandbox keeps its projects between batches, from the current folder.
DEFAULT_SANDBOX_DATA = ".stencil/sandbox.sqlite3"


class Checked:
    """A sheet, read and checked as far as that goes without a studio.

    Neither this nor a batch or a group is a dataclass: Prefect walks through those that are handed to a task, row by row.
    """

    def __init__(self, sheet: Sheet, requests: Iterable[Request], problems: Iterable[Problem]) -> None:
        self.sheet = sheet
        self.requests = tuple(requests)
        self.problems = tuple(problems)

    def __repr__(self) -> str:
        """Short: Prefect shows parameters."""
        return f"Checked({self.sheet.name!r}, {len(self.requests)} rows, {len(self.problems)} problems)"


def check(sheet: Sheet, options: Options) -> Checked:
    """The requests of a sheet, and every problem that it has."""
    requests, problems = requests_of(
        sheet,
        template=options.template,
        workspace=options.workspace,
        allow_unknown_fields=options.allow_unknown_fields,
    )
    return Checked(sheet, requests, problems)


class Group:
    """Rows that one task run carries out."""

    def __init__(self, name: str, tickets: Sequence[Ticket]) -> None:
        self.name = name
        self.tickets = tuple(tickets)

    def __repr__(self) -> str:
        """Short: Prefect shows parameters."""
        return f"Group({self.name!r}, {len(self.tickets)} rows)"


class Batch:
    """One run over one sheet: what its rows are going to do, and what became of them."""

    def __init__(
        self, checked: Checked, options: Options, studio: Studio, engine: Engine, problems: Iterable[Problem]
    ) -> None:
        self.sheet, self.options, self.studio, self.engine = checked.sheet, options, studio, engine
        self.stopping = engine.stopping
        self.started = datetime.now(UTC)
        self._clock = studio.pacer.clock
        self._began = self._clock.now()
        self._most_failures = most_failures(options.max_failures, len(self.sheet.rows))
        self._invalid: dict[int, list[Problem]] = {}
        for problem in problems:
            if problem.line is not None:
                self._invalid.setdefault(problem.line, []).append(problem)
        self._rows = {row.line: row for row in self.sheet.rows}
        self.failures = 0

    def __repr__(self) -> str:
        """Short: Prefect shows parameters."""
        return f"Batch({self.sheet.name!r}, {len(self.engine.tickets)} rows)"

    def groups(self) -> list[Group]:
        """The rows that have something to do, in order: each a group up to `MOST_GROUPS`, then at most as many groups."""
        tickets = [ticket for ticket in self.engine.tickets if not ticket.settled]
        grouped = len(tickets) > MOST_GROUPS
        size = max(LEAST_GROUPED, math.ceil(len(tickets) / MOST_GROUPS)) if grouped else 1
        return [_group(tickets[start : start + size]) for start in range(0, len(tickets), size)]

    def note_settled(self, ticket: Ticket) -> None:
        """Count a row that did not end well, and stop the batch where they are too many."""
        if ticket.outcome in (Outcome.FAILED, Outcome.AMBIGUOUS):
            self.failures += 1
        if self.failures > self._most_failures:
            self.stopping.stop(f"more than {self.options.max_failures} of the rows failed (max_failures)")

    def counts(self) -> Counter[Outcome]:
        """How many rows have which outcome by now; those without one are not in it."""
        found = Counter(ticket.outcome for ticket in self.engine.tickets if ticket.outcome is not None)
        found[Outcome.INVALID] += len(self._invalid)
        return +found

    def report(self) -> Report:
        """What is known of every row by now; a row without an outcome is unprocessed."""
        rows = [self._row_report(ticket) for ticket in self.engine.tickets]
        rows += [self._invalid_report(line, problems) for line, problems in self._invalid.items()]
        return Report(
            rows=tuple(sorted(rows, key=lambda row: row.line)),
            sheet=self.sheet.name,
            columns=tuple(self.sheet.columns),
            studio=self.studio.name,
            edition=self.studio.edition.value,
            sandbox=self.studio.sandbox,
            batch=self.engine.batch,
            started=self.started,
            seconds=self._clock.now() - self._began,
            requests=self.studio.client.requests_sent,
            mode=self.options.mode.value,
            dry_run=self.options.dry_run,
            notes=tuple(self.engine.notes),
            stopped=self.stopping.reason,
        )

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
            project_url=f"{self.studio.client.url}/projects/{project}" if project is not None else "",
            attempts=ticket.attempts,
            seconds=ticket.seconds,
            error_code=ticket.error_code,
            error=ticket.error,
            cells=target.request.cells,
            again=None if outcome.well else self._again(target.request),
        )

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
            error="; ".join(_without_line(problem) for problem in problems),
            cells=row.cells,
        )


_PLANNED = {
    Action.CREATE: Outcome.CREATED,
    Action.FINISH: Outcome.FINISHED,
    Action.UPDATE: Outcome.UPDATED,
    Action.UNCHANGED: Outcome.UNCHANGED,
    Action.EXISTS: Outcome.EXISTS,
    Action.AMBIGUOUS: Outcome.AMBIGUOUS,
}

#: Called with each batch as it is prepared in this context: how a progress bar gets to see it.
batch_listener: ContextVar[Callable[[Batch], None] | None] = ContextVar("batch_listener", default=None)


async def prepare(checked: Checked, options: Options, studio: Studio, *, patience: Patience | None = None) -> Batch:
    """Resolve every name, find every problem that only the studio can show, and plan; nothing is written.

    Raises:
        InvalidSheet: The sheet has problems, and `skip_invalid` was not given or does not help.
        BadOption: An option has a value that it can't have.
        LabelStudioError: The studio did not answer.
    """
    most_failures(options.max_failures, 0)
    targets, problems = await _targets(checked, options, studio)
    stops = [problem for problem in problems if problem.line is None or not options.skip_invalid]
    if stops:
        raise InvalidSheet(checked.sheet.name, problems)
    surveyed = await survey(studio.client, targets, options.mode, at_once=studio.pacer.max_concurrency)
    engine = Engine(
        studio.client,
        surveyed.planned,
        covered=surveyed.covered,
        clock=studio.pacer.clock,
        patience=patience,
        stopping=Stopping(),
    )
    batch = Batch(checked, options, studio, engine, problems)
    engine.when_settled(batch.note_settled)
    listener = batch_listener.get()
    if listener is not None:
        listener(batch)
    return batch


async def provision(
    checked: Checked,
    options: Options,
    studio: Studio,
    *,
    patience: Patience | None = None,
    retries: Retries | None = None,
) -> Report:
    """Carry a sheet out without Prefect: the same engine, and a plain loop where Prefect's task retries would be.

    Raises:
        InvalidSheet: As `prepare`.
        LabelStudioError: The studio did not answer while the batch was planned.
    """
    batch = await prepare(checked, options, studio, patience=patience)
    if options.dry_run:
        return batch.report()
    under_way = asyncio.Semaphore(groups_at_once(batch))

    async def carry_out(group: Group) -> None:
        async with under_way:
            await _until_settled(batch, group, retries or Retries())

    await asyncio.gather(*(carry_out(group) for group in batch.groups()))
    await batch.engine.sweep()
    return batch.report()


async def _until_settled(batch: Batch, group: Group, retries: Retries) -> None:
    for delay in retries.delays:
        try:
            await batch.engine.attempt(group.tickets)
        except Unsettled as unsettled:
            spread = delay * random.uniform(1 - retries.jitter, 1 + retries.jitter)
            await batch.studio.pacer.clock.sleep(max(unsettled.seconds, spread))
        else:
            return
    with contextlib.suppress(Unsettled):
        await batch.engine.attempt(group.tickets)
    batch.engine.give_up(group.tickets)


def groups_at_once(batch: Batch) -> int:
    """How many groups to have under way: enough rows to fill the windows that are staked, looked at and finished."""
    groups = batch.groups()
    size = max((len(group.tickets) for group in groups), default=1)
    return max(1, math.ceil(4 * batch.engine.patience.window / size))


def most_failures(text: str, rows: int) -> float:
    """The number of rows that may fail: `10`, or a share of the rows such as `5%`; empty is no limit.

    Raises:
        BadOption: The text is neither.
    """
    words = text.strip()
    if not words:
        return math.inf
    share = words.endswith("%")
    try:
        number = float(words.removesuffix("%"))
    except ValueError:
        number = -1.0
    if not (0 <= number < math.inf) or (share and number > 100) or (not share and number != int(number)):
        raise BadOption(f"max_failures is {text!r}: give a number of rows (10) or a share of them (5%)")
    return rows * number / 100 if share else number


def failed(report: Report, fail_when: FailWhen) -> bool:
    """Whether a batch with this report counts as failed."""
    if report.well or fail_when is FailWhen.NEVER:
        return False
    return fail_when is FailWhen.ANY or not any(row.outcome.well for row in report.rows)


def _group(tickets: Sequence[Ticket]) -> Group:
    first, last = tickets[0].target.request, tickets[-1].target.request
    return Group(first.title if len(tickets) == 1 else f"lines {first.line}-{last.line}", tickets)


def _without_line(problem: Problem) -> str:
    return str(Problem(problem.code, problem.message, None, problem.column, problem.value))


# Names to ids


async def _targets(checked: Checked, options: Options, studio: Studio) -> tuple[list[Target], list[Problem]]:
    """The targets of all rows that have no problem, and all problems."""
    problems = list(checked.problems)
    requests = checked.requests
    templates = await resolve_templates(
        sorted({request.template for request in requests if request.template}),
        studio.client,
        studio.edition,
        folder=checked.sheet.folder,
    )
    workspaces = await _workspaces({request.workspace for request in requests if request.workspace}, studio)
    targets = []
    for request in requests:
        template = templates.get(request.template) or _no_template()
        workspace = workspaces[request.workspace] if request.workspace else None
        own = [_at(found, request) for found in (template, workspace) if isinstance(found, Problem)]
        own += _edition_problems(request, studio.edition)
        if not own and isinstance(template, Template) and not isinstance(workspace, Problem):
            target = target_of(
                request,
                template,
                workspace.id if workspace else None,
                workspace.title if workspace else "",
                studio.edition,
            )
            mark = description_problem(target)
            own = [mark] if mark else []
            if not own:
                targets.append(target)
        problems += own
    twins = _twins(targets, checked)
    lines = {problem.line for problem in twins}
    return [target for target in targets if target.request.line not in lines], problems + twins


def _twins(targets: Sequence[Target], checked: Checked) -> list[Problem]:
    """Rows of one project that the sheet's own check could not see: one names the workspace by id, the other by name."""
    known = {(problem.code, problem.line) for problem in checked.problems}
    rows = ((target.request.line, target.workspace, target.request.title) for target in targets)
    return [problem for problem in find_duplicates(rows) if (problem.code, problem.line) not in known]


def _no_template() -> Problem:
    message = "the row names no template and the batch has no default: fill the cell, or give --template."
    return Problem("template-missing", message, column="template")


def _at(problem: Problem, request: Request) -> Problem:
    return Problem(problem.code, problem.message, request.line, problem.column, problem.value)


def _edition_problems(request: Request, edition: Edition) -> list[Problem]:
    """What Community would drop without a word."""
    if edition is Edition.ENTERPRISE:
        return []
    return [community_problem(name, line=request.line) for name in request.overrides if name in ENTERPRISE_ONLY_FIELDS]


async def _workspaces(references: set[str], studio: Studio) -> dict[str, Workspace | Problem]:
    if not references:
        return {}
    if studio.edition is Edition.COMMUNITY:
        message = (
            "workspaces exist in Label Studio Enterprise alone, and this studio is Community: leave the column empty."
        )
        return {
            reference: Problem("enterprise-only-workspace", message, column="workspace", value=shown(reference))
            for reference in references
        }
    on_studio = await studio.client.workspaces()
    titles = [workspace.title for workspace in on_studio]
    return {
        reference: _open(find(reference, on_studio, titles, kind="workspace"), reference) for reference in references
    }


def _open(found: Workspace | Problem, reference: str) -> Workspace | Problem:
    if isinstance(found, Workspace) and found.is_archived:
        message = (
            f"workspace {found.title!r} (id {found.id}) is archived: name another, or take it out of the archive first."
        )
        return Problem("workspace-archived", message, column="workspace", value=shown(reference))
    return found


__all__ = [
    "BadOption",
    "Batch",
    "BatchFailed",
    "Checked",
    "FailWhen",
    "Group",
    "LabelStudioError",
    "Options",
    "Studio",
    "batch_listener",
    "check",
    "failed",
    "groups_at_once",
    "most_failures",
    "open_sandbox",
    "open_studio",
    "prepare",
    "provision",
]
