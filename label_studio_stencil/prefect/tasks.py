"""The tasks: each is a policy for Prefect (name, retries, no cache) and one call to the library.

The engine makes one attempt at a row and keeps its outcome. The next attempt at rows without an outcome is a retry by
Prefect, which is visible in the UI.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, cast
from uuid import UUID, uuid4

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed
from prefect.utilities.annotations import quote

from label_studio_stencil.access import Instance
from label_studio_stencil.batch import Batch, Group, prepare
from label_studio_stencil.engine.context import RowsWaiting
from label_studio_stencil.engine.ticket import Ticket
from label_studio_stencil.files import PERSON, Asker
from label_studio_stencil.labelstudio.errors import Throttled, Unsure
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import Checked, check
from label_studio_stencil.policy import Retries
from label_studio_stencil.prefect.artifacts import host_of_report, show_report
from label_studio_stencil.prefect.credentials import LabelStudioCredentials
from label_studio_stencil.prefect.history import about_run
from label_studio_stencil.prefect.instance import open_instance
from label_studio_stencil.prefect.interruption import cancelled_in_order
from label_studio_stencil.prefect.outputs import show_failed_rows
from label_studio_stencil.prefect.parameters import Source, asker_of
from label_studio_stencil.prefect.states import message_of
from label_studio_stencil.problems import StencilError
from label_studio_stencil.report.files import ResultFiles, write_results
from label_studio_stencil.report.outcomes import RowReport
from label_studio_stencil.report.report import Report
from label_studio_stencil.sheet.sources import read_sheet

T = TypeVar("T")

RETRIES = Retries()


class RowsNeedAttention(StencilError):
    """Rows ended in an outcome that needs attention.

    Attributes:
        rows: Their reports; empty if the batch's report has them.
    """

    def __init__(self, reason: str, rows: tuple[RowReport, ...] = ()) -> None:
        super().__init__(reason)
        self.rows = rows


class _WithoutTraceback(logging.Filter):
    """Log the sentence of a `StencilError` that a task raised: a person needs neither its traceback nor its arguments."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], StencilError):
            record.msg, record.args = "Task run failed: %s", (message_of(record.exc_info[1]),)
            record.exc_info = None
        return True


logging.getLogger("prefect.task_runs").addFilter(_WithoutTraceback())


def opaque(argument: T) -> T:
    """Hide a task's argument from Prefect, which otherwise walks through all of its rows in search of futures."""
    return cast("T", quote(argument))


async def may_pass(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failed task run is worth another attempt."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, RowsWaiting | Throttled) or (isinstance(error, Unsure) and error.may_pass)


# No results are cached or stored: the same path may hold another sheet tomorrow, and a batch has a live connection.


@task(task_run_name="read {name}", cache_policy=NO_CACHE, persist_result=False)
@cancelled_in_order
async def load_sheet(source: Source, name: str, options: Options, asker: Asker = PERSON) -> Checked:
    """Read a sheet and check its rows.

    Args:
        source: Where the sheet is, or its content.
        name: What messages call a source that is no file.
        options: How the batch is to be run.
        asker: Who named the source.

    Returns:
        Its valid rows and all of its problems.

    Raises:
        SheetUnreadable: The source can't be read as a table.
        BadOption: The chosen lines can't be read, or the sheet has no row in them.
    """

    def load() -> Checked:
        label = "" if isinstance(source, str) else name
        how = {"encoding": options.encoding, "worksheet": options.worksheet}
        return check(read_sheet(source, name=label, **how, asker=asker), options, template_asker=template_asker)

    template_asker = asker_of("template")
    # A large sheet takes half a minute, in which the run still has to send its heartbeats.
    return await asyncio.to_thread(load)


@task(task_run_name="plan {checked.sheet.name}", cache_policy=NO_CACHE, persist_result=False)
@cancelled_in_order
async def plan_batch(checked: Checked, options: Options, label_studio: Instance) -> Batch:
    """Decide what every row is going to do; nothing is written.

    Raises:
        InvalidSheet: The sheet has problems.
        LabelStudioError: Label Studio did not answer.
    """
    return await prepare(checked, options, label_studio)


#: The policy of the tasks that create projects: tried again as the library tries its rows, and never cached.
_OF_ROWS: dict[str, Any] = {
    "retries": len(RETRIES.delays),
    "retry_delay_seconds": list(RETRIES.delays),
    "retry_jitter_factor": RETRIES.jitter,
    "retry_condition_fn": may_pass,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(task_run_name="{group.name}", **_OF_ROWS)
@cancelled_in_order
async def create_group(group: Group, batch: Batch) -> State[None]:
    """Create the projects of a group of rows; a retry takes up those that have no outcome yet.

    The batch's report has the outcomes. The state and its message are only for the UI.

    Raises:
        RowsNeedAttention: Some of the rows do.
    """
    await _attempt(batch, group.tickets)
    done = [ticket for ticket in group.tickets if ticket.outcome is not None]
    message = ", ".join(f"{number} {outcome}" for outcome, number in Counter(each.outcome for each in done).items())
    bad = [ticket for ticket in done if ticket.outcome is not None and not ticket.outcome.ok]
    if bad:
        raise RowsNeedAttention(f"{message}; line {bad[0].target.request.line}: {bad[0].error}")
    return Completed(message=message)


@task(task_run_name="sweep", cache_policy=NO_CACHE, persist_result=False)
@cancelled_in_order
async def sweep(batch: Batch) -> None:
    """Check once more that every row to which anything unusual happened has one project."""
    await batch.engine.sweep()


@task(task_run_name="steps", cache_policy=NO_CACHE, persist_result=False)
@cancelled_in_order
async def carry_out_steps(batch: Batch) -> None:
    """Do what rows ask for beyond settings: members, tasks, publication, pins."""
    await batch.carry_out_steps()


@task(task_run_name="write results", cache_policy=NO_CACHE, persist_result=False)
@cancelled_in_order
async def save_results(report: Report, output: str, asker: Asker = PERSON) -> ResultFiles:
    """Write `results.csv` and `failed.csv` to a folder or a URL.

    Raises:
        OutputUnwritable: They can't be written there.
    """
    return write_results(report, output, asker)


@task(task_run_name="report", cache_policy=NO_CACHE, persist_result=False)
@cancelled_in_order
async def publish_report(report: Report) -> None:
    """Show the summary and the rows of a batch as artifacts, and those that need attention as a sheet to copy.

    Raises:
        TimeoutError: Prefect's server does not take them.
    """
    about = [await show_failed_rows(report, host_of_report(report)), await about_run(report)]
    await show_report(report, "\n\n".join(filter(None, about)))


@task(task_run_name="{title}", **_OF_ROWS)
async def create_project(
    title: str,
    template: str | int,
    workspace: str | int = "",
    overrides: Mapping[str, Any] | None = None,
    variables: Mapping[str, Any] | None = None,
    *,
    mode: Literal["create", "update"] = "create",
    credentials: LabelStudioCredentials | str = "",
) -> RowReport:
    """Create one project from a template: exactly one, however often the task is retried, mapped or run again.

    A project of this workspace and title that exists is left alone or, with `mode="update"`, brought to the overrides.

    Args:
        title: Title of the project.
        template: Template by id or name, or any other reference that the column `template` of a sheet takes.
        workspace: Workspace by id or name; empty on Community.
        overrides: Settings on top of the template.
        variables: Values for the variables of the template.
        mode: What happens to a project that exists.
        credentials: A block `Label Studio Credentials`, or its name; empty takes the Label Studio that the environment names.

    Returns:
        The outcome, with the project's id and URL.

    Raises:
        InvalidSheet: An argument is wrong; nothing was created.
        RowsNeedAttention: Label Studio refused the project, or it is uncertain which project is the row's.
        LabelStudioError: Label Studio did not answer before anything was created.
    """
    row = {"title": title, "overrides": overrides, "vars": variables}
    # As the default of a batch, so that a template file is opened for whoever wrote the flow, and not for a row.
    options = Options(template=str(template), workspace=str(workspace), mode=mode)
    async with _kept_for_retries() as kept:
        if kept.batch is None:
            label_studio = await kept.stack.enter_async_context(open_instance(credentials, options, warn=False))
            sheet = await asyncio.to_thread(read_sheet, [row], name=title, asker=asker_of("sheet"))
            kept.batch = await prepare(
                check(sheet, options, template_asker=asker_of("template")), options, label_studio
            )
            kept.batch.log = get_run_logger().info
        await _attempt(kept.batch, kept.batch.engine.tickets)
        await kept.batch.engine.sweep()
        (report,) = kept.batch.report().rows
    if not report.outcome.ok:
        raise RowsNeedAttention(f"{report.outcome}: {report.error}", (report,))
    return report


@dataclass
class _Kept:
    """State that `create_project` keeps for its next attempt: an open Label Studio, and a batch that remembers its sends."""

    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    batch: Batch | None = None


_waiting: dict[UUID, _Kept] = {}


@contextlib.asynccontextmanager
async def _kept_for_retries() -> AsyncIterator[_Kept]:
    """Give each attempt of a task run what the one before left; close it unless the row waits for another."""
    context = TaskRunContext.get()
    run = context.task_run.id if context else uuid4()
    kept = _waiting.pop(run, None) or _Kept()
    try:
        yield kept
    except RowsWaiting:
        _waiting[run] = kept
        raise
    finally:
        if run not in _waiting:
            await kept.stack.aclose()


async def _attempt(batch: Batch, tickets: Sequence[Ticket]) -> None:
    """Make one attempt at rows, which have an outcome afterwards or are waiting for the next one.

    Raises:
        RowsWaiting: Some have no outcome yet, and Prefect makes another attempt.
    """
    try:
        await batch.engine.attempt(tickets)
    except RowsWaiting:
        if _has_retries_left():
            raise
        batch.engine.give_up(tickets)


def _has_retries_left() -> bool:
    context = TaskRunContext.get()
    return context is not None and context.task_run.run_count <= context.task.retries
