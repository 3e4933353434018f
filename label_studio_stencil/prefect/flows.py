"""Creates one Label Studio project per row of a sheet, and reports on every row.

Requires `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY` in the environment, or a credentials block, or `sandbox`.
"""

import asyncio
import contextlib
import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from prefect import flow
from prefect.exceptions import Pause
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import BaseModel, BeforeValidator, Field

from label_studio_stencil.batch import Batch, Group, groups_at_once
from label_studio_stencil.concurrency import together
from label_studio_stencil.engine.context import RowsWaiting
from label_studio_stencil.engine.stop import PAUSED
from label_studio_stencil.options import Options, RunOptions
from label_studio_stencil.prefect.artifacts import show_problems, show_what_is_known
from label_studio_stencil.prefect.events import announce, announce_projects, announce_refusal
from label_studio_stencil.prefect.instance import host_of_run, open_instance
from label_studio_stencil.prefect.interruption import passes_interruptions, uninterrupted
from label_studio_stencil.prefect.lifecycle import (
    comes_again,
    earlier_attempt,
    keep_for_next_attempt,
    until_done,
    without_tags,
)
from label_studio_stencil.prefect.logs import log_plan, log_report, set_up_logs, with_quiet_tasks
from label_studio_stencil.prefect.names import name_of, unless_named
from label_studio_stencil.prefect.outputs import check_lasting_output
from label_studio_stencil.prefect.parameters import (
    asker_of,
    checked_parameters,
    flat,
    from_json,
    one_source,
    source_name,
)
from label_studio_stencil.prefect.pause import wait_out
from label_studio_stencil.prefect.progress import progress_shown
from label_studio_stencil.prefect.states import fails, final_state
from label_studio_stencil.prefect.tasks import (
    carry_out_steps,
    create_group,
    load_sheet,
    opaque,
    plan_batch,
    publish_report,
    save_results,
    sweep,
)
from label_studio_stencil.problems import InvalidSheet, StencilError
from label_studio_stencil.report.files import OutputUnwritable
from label_studio_stencil.report.report import Report


class _Source(BaseModel):
    """The sheet of a run, as a person gives it."""

    sheet: Annotated[
        str,
        Field(
            description="Path or URL of the sheet, such as `s3://sheets/january.csv` (CSV, TSV, JSON, Excel, OpenDocument, "
            "Parquet). Give this, or `csv_text`."
        ),
    ] = ""
    csv_text: Annotated[
        str, Field(description="The sheet itself, pasted: a header line and a line for each project.")
    ] = ""


class Parameters(RunOptions, _Source):
    """What a person or a program gives a run."""

    rows: Annotated[
        list[dict[str, Any]],
        BeforeValidator(from_json),
        Field(
            description="The rows, if a program starts the run, instead of `sheet` or `csv_text`: an object for each row, with "
            "`title`, `workspace`, `template` and overrides."
        ),
    ] = []


#: The first fields of the form: those that most people need.
FIRST = ("sheet", "csv_text", "template", "workspace", "dry_run", "mode", "output", "credentials", "fail_when")


def _run_name() -> str:
    """Name a run by its source, and by what is special about it: `projects.csv dry run`."""
    return unless_named(name_of(flow_run.parameters))


async def _refused(error: StencilError, parameters: Mapping[str, Any]) -> None:
    """Report a run that ended before any row was taken up, after its last attempt."""
    if await comes_again():
        return
    if earlier := earlier_attempt():
        await publish_report(earlier)
    if isinstance(error, InvalidSheet):
        host = await host_of_run(parameters["credentials"], sandbox=parameters["sandbox"])
        await show_problems(error, host)
    announce_refusal(source_name(parameters), error)


@flow(
    name="create-projects",
    flow_run_name=_run_name,
    validate_parameters=False,
    persist_result=False,
    on_crashed=[show_what_is_known],
    on_cancellation=[show_what_is_known],
)
@checked_parameters(refused=_refused)
@without_tags
@passes_interruptions
@with_quiet_tasks
@flat(Parameters, FIRST)
async def create_projects(given: Parameters) -> Report:
    """Create exactly one project per row of a sheet, and report on every row."""
    set_up_logs()
    source = one_source(given.sheet, given.csv_text, given.rows)
    name = source_name({"sheet": given.sheet, "rows": given.rows})
    if given.output:
        await check_lasting_output(given.output, asker_of("output"))
    # Without the rows, through which Prefect would walk.
    options = Options(**given.model_dump(include=set(Options.model_fields)))
    checked = await uninterrupted(load_sheet(opaque(source), name, options, asker_of("sheet")))
    async with open_instance(given.credentials, options, sandbox=given.sandbox) as label_studio:
        batch = await uninterrupted(plan_batch(opaque(checked), options, opaque(label_studio)))
        log_plan(batch)
        interruption = await _carry_out(batch)
        if isinstance(interruption, Pause):
            _hand_over(batch, given)
            raise interruption
        report = await _report(batch, given)
    return final_state(report, given.fail_when, interruption)  # type: ignore[return-value]


async def _carry_out(batch: Batch) -> BaseException | None:
    """Carry out the plan, and return what cut it short, so that the report comes first."""
    if batch.options.dry_run:
        return None
    batch.log = get_run_logger().info
    # What Prefect and the plan have built up stays for the whole batch; walking through it again and again, the garbage
    # collector took a tenth of the time.
    gc.freeze()
    try:
        await until_done(batch, lambda: _create(batch))
    except Pause as pause:
        # Another process goes on with its rows.
        batch.engine.cut()
        return pause
    except BaseException as interruption:  # noqa: BLE001 - `final_state` raises it again
        await batch.end()
        return interruption
    finally:
        gc.unfreeze()
    return None


async def _create(batch: Batch) -> None:
    under_way = asyncio.Semaphore(groups_at_once(batch))

    async def create(group: Group) -> None:
        async with under_way:
            try:
                if not batch.stopping:
                    call: Any = create_group(opaque(group), opaque(batch), return_state=True)
                    await uninterrupted(call)
                    return
            except Pause:
                batch.stopping.stop(PAUSED)
            # No task run for rows that are not taken up any more.
            with contextlib.suppress(RowsWaiting):
                await batch.engine.attempt(group.tickets)

    async with progress_shown(batch):
        while True:
            await together(create(group) for group in batch.groups())
            if batch.stopping.reason != PAUSED:
                await uninterrupted(sweep(opaque(batch)))
            if batch.stopping.reason != PAUSED:
                break
            await wait_out(batch)
        if batch.has_steps:
            await uninterrupted(carry_out_steps(opaque(batch)))
        if batch.stopping.reason == PAUSED:
            await wait_out(batch)


def _hand_over(batch: Batch, given: Parameters) -> None:
    """Leave a paused batch to the process that goes on after Resume."""
    if given.project_events:
        announce_projects(batch, batch.report())


async def _report(batch: Batch, given: Parameters) -> Report:
    """Report on every row: in the log and in files, which need no server of Prefect, and then in artifacts and events."""
    report = batch.report()
    if given.project_events:
        announce_projects(batch, report)
    report = await _written(report.after(earlier_attempt()), given.output)
    if fails(report, given.fail_when) and await comes_again():
        keep_for_next_attempt(report)
    else:
        await uninterrupted(publish_report(opaque(report)))
        announce(batch, report)
    return report


async def _written(report: Report, output: str) -> Report:
    """Log the report and write its files; where that fails, the report says so."""
    logger = get_run_logger()
    log_report(report)
    if not output:
        return report
    try:
        files = await uninterrupted(save_results(opaque(report), output, asker_of("output")))
    except OutputUnwritable as unwritable:
        logger.error("%s The summary artifact has the outcome of every row.", unwritable)  # noqa: TRY400
        return replace(report, output_error=str(unwritable), notes=(*report.notes, str(unwritable)))
    logger.info("Results: %s and %s", files.results, files.failed)
    return report
