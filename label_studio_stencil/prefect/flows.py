"""Creates one Label Studio project per row of a sheet, and reports on every row.

Requires `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY` in the environment, or `sandbox`.
"""

import asyncio
import contextlib
import gc
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from prefect import Flow, flow, tags
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import TagsContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed
from pydantic import BeforeValidator, Field

from label_studio_stencil.access import Instance, open_label_studio, open_sandbox
from label_studio_stencil.batch import Batch, BatchFailed, Group, groups_at_once
from label_studio_stencil.concurrency import together
from label_studio_stencil.files import file_name
from label_studio_stencil.options import LONGEST_OUTAGE, MOST_AT_ONCE, FailWhen, Mode, Options, failed
from label_studio_stencil.prefect.attempts import comes_again, earlier_attempt, keep_for_next_attempt
from label_studio_stencil.prefect.credentials import label_studio_settings
from label_studio_stencil.prefect.errors import failed_state, value_of
from label_studio_stencil.prefect.events import announce, announce_projects, announce_refusal
from label_studio_stencil.prefect.lifecycle import CANCELLED, until_done
from label_studio_stencil.prefect.limits import Share, shared_rate
from label_studio_stencil.prefect.logs import show_names_as_they_are
from label_studio_stencil.prefect.parameters import checked_parameters, from_json
from label_studio_stencil.prefect.report import (
    LONGEST_TELLING,
    PROGRESS_KEY,
    SUMMARY_KEY,
    progress_told,
    publish_problems,
    publish_report,
    save_results,
)
from label_studio_stencil.prefect.sheet import SourceUnclear, asker_of, load_sheet, one_source, read_already
from label_studio_stencil.prefect.tasks import carry_out_steps, plan_batch, provision_group, sweep
from label_studio_stencil.problems import InvalidSheet, StencilError
from label_studio_stencil.report.escaping import escape
from label_studio_stencil.report.files import OutputUnwritable, check_output
from label_studio_stencil.report.report import Report
from label_studio_stencil.sheet.sources import ArrowTable, read_sheet

if TYPE_CHECKING:
    import pandas as pd


R = TypeVar("R")


def _run_name() -> str:
    """`projects.csv`, with what is special about the run."""
    parameters = flow_run.parameters
    extras = [word.replace("_", " ") for word in ("dry_run", "sandbox") if parameters.get(word)]
    lines = str(parameters.get("lines") or "").strip()
    return " ".join([source_name(parameters), *([f"lines {lines}"] if lines else []), *extras])


def source_name(parameters: Mapping[str, Any]) -> str:
    """What people call the source of a run: the name of the file, without its folder and without a URL's secrets.

    Args:
        parameters: Those of the run, or an event's, as they were given.
    """
    event = parameters.get("event")
    if isinstance(event, dict):
        parameters = event
    sheet, rows = parameters.get("sheet"), parameters.get("rows")
    if isinstance(sheet, str) and sheet.strip():
        return file_name(sheet.strip())
    return "typed rows" if isinstance(rows, list | str) and rows else "pasted rows"


async def tell_what_is_known(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The summary of a run that ended before it could tell what became of its rows; nothing where it did.

    Where a process was killed, a worker calls this in another one, with these parameters by name.

    Raises:
        TimeoutError: Prefect's server does not take it.
    """
    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
    async with get_client() as client, asyncio.timeout(LONGEST_TELLING):
        known = {artifact.key: artifact for artifact in await client.read_artifacts(artifact_filter=of_run)}
        if SUMMARY_KEY in known:
            return
        ended = "crashed" if state.is_crashed() else "was cancelled"
        progress = known.get(PROGRESS_KEY)
        told = progress.description if progress else None
        summary = _what_is_known(flow_run, ended, state.message or "", told or "")
        # Outside the run's own process only this way ties an artifact to the run.
        await client.create_artifact(
            ArtifactCreate(
                key=SUMMARY_KEY,
                type="markdown",
                description=f"The run {ended} before its report",
                data=summary,
                flow_run_id=flow_run.id,
            )
        )


def _what_is_known(run: FlowRun, ended: str, message: str, progress: str) -> str:
    name = source_name(run.parameters)
    why = f": {escape(message)}" if message else ""
    last = f"Last it had told: {progress}." if progress else "It had not told of any row yet."
    return (
        f"# {escape(name)}: the run {ended} before its report\n\n"
        f"Run `{run.id}` {ended}{why}\n\n"
        f"- {last} More may be done than it told.\n"
        "- What was being made bears a mark as its description, and says there what it is. Please leave it alone.\n"
        "- **Run it again, with the same parameters:** finished projects are left as they are, placeholders are "
        "finished, and missing ones are made. Nothing is made twice.\n"
    )


@flow(
    name="create-projects",
    flow_run_name=_run_name,
    validate_parameters=False,
    persist_result=False,
    on_crashed=[tell_what_is_known],
    on_cancellation=[tell_what_is_known],
)
@checked_parameters
async def create_projects(
    sheet: str = "",
    csv_text: str = "",
    rows: Annotated[list[dict[str, Any]], BeforeValidator(from_json)] = [],  # noqa: B006 - the form needs it as it is
    template: str = "",
    workspace: str = "",
    dry_run: bool = False,
    title: str = "",
    long_titles: Literal["error", "cut"] = "error",
    mode: Literal["create", "update"] = "create",
    output: str = "",
    lines: str = "",
    max_concurrency: Annotated[int, Field(ge=0, le=MOST_AT_ONCE)] = 0,
    requests_per_second: Annotated[float, Field(ge=-1, le=1000)] = -1,
    max_failures: str = "",
    longest_outage: Annotated[float, Field(ge=0, le=LONGEST_OUTAGE)] = 600,
    fail_when: Literal["any", "all", "never"] = "any",
    skip_invalid: bool = False,
    allow_unknown_fields: bool = False,
    allow_lookalikes: bool = False,
    encoding: str = "",
    worksheet: str = "",
    credentials: str = "",
    project_events: bool = True,
    sandbox: bool = False,
) -> Report:
    """One project per row of a sheet, exactly one, and a report on every row.

    Args:
        sheet: Path or URL of the sheet (CSV, TSV, JSON lines, Excel, Parquet). Give this, or `csv_text`, or `rows`.
        csv_text: The sheet itself, pasted: a header line and a line for each project.
        rows: The rows themselves, each an object with `title`, `workspace`, `template` and overrides.
        template: Template of the rows that name none, by id or name.
        workspace: Workspace of the rows that name none, by id or name.
        dry_run: Show what each row is going to do, and write nothing.
        title: Pattern for the titles of rows that have none, over the sheet's columns: `{customer} {year}-{batch:02d}`.
        long_titles: What happens to a title that is too long: `error`, or `cut` to its beginning and a hash.
        mode: What happens to a project that exists: `create` leaves it alone, `update` brings it to the row's overrides.
        output: Folder or URL that `results.csv` and `failed.csv` are written to; empty writes none.
        lines: First and last line of the sheet to carry out, such as `2-500`; empty is all.
        max_concurrency: Requests under way at once, at most 64; 0 takes the edition's default (4; Community 1).
        requests_per_second: Highest rate; 0 is no limit, -1 the default (10 on the vendor's cloud hosts, no limit elsewhere).
        max_failures: Rows that may fail before the batch stops: a number (`10`), a share (`5%`), or empty for no limit.
        longest_outage: Seconds for which Label Studio may be away before the batch stops; 0 does not wait for it.
        fail_when: Which rows that need attention fail the run: `any` of them, only `all` of them, or `never`.
        skip_invalid: Create the valid rows of a sheet that has invalid ones, instead of nothing.
        allow_unknown_fields: Pass on settings that Stencil does not know yet.
        allow_lookalikes: Make a project though one exists whose title differs in case, blanks or invisible characters alone.
        encoding: Encoding of a sheet of text, such as `windows-1251`; empty goes by its content.
        worksheet: Worksheet of a workbook, by name; empty takes the first that is visible.
        credentials: Name of a block `Label Studio Credentials`; empty takes Label Studio that the worker's environment names.
        project_events: Send an event for each project that is created (none above 5,000).
        sandbox: Run on the embedded sandbox instead of a Label Studio.
    """
    show_names_as_they_are()
    name = source_name({"sheet": sheet, "rows": rows})
    try:
        # The run has its tags. Its task runs have none, since Prefect asks its server for a slot of each tag before a task
        # run begins: a request for each, and a wait without end where the server is gone.
        with TagsContext(current_tags=set()):
            source = one_source(sheet, csv_text, rows)
            if output:
                check_output(output, asker_of("output"))
            options = Options(
                template=template,
                workspace=workspace,
                title=title,
                long_titles=long_titles,
                mode=Mode(mode),
                dry_run=dry_run,
                lines=lines,
                max_concurrency=max_concurrency,
                requests_per_second=requests_per_second,
                max_failures=max_failures,
                skip_invalid=skip_invalid,
                allow_unknown_fields=allow_unknown_fields,
                allow_lookalikes=allow_lookalikes,
                longest_outage=longest_outage,
                asker=asker_of("template"),
                encoding=encoding,
                worksheet=worksheet,
            )
            checked = await value_of(load_sheet(source, name, options, asker_of("sheet")))
            async with (
                shared_rate() as share,
                await _label_studio(credentials, options, share, sandbox=sandbox) as label_studio,
            ):
                batch = await value_of(plan_batch(checked, options, label_studio))
                try:
                    if not dry_run:
                        await until_done(batch, partial(_carry_out, batch), complete=batch.complete_placeholders)
                finally:
                    report = batch.report()
                    if project_events:
                        announce_projects(batch, report)
                    report = await _saved(report.after(earlier_attempt()), output)
                    if _fails(report, fail_when) and await comes_again():
                        keep_for_next_attempt(report)
                    else:
                        await publish_report(report)
                        announce(batch, report)
    except StencilError as error:
        if not await comes_again():
            if earlier := earlier_attempt():
                await publish_report(earlier)
            if isinstance(error, InvalidSheet):
                await publish_problems(error)
            announce_refusal(name, error)
        return failed_state(error)  # type: ignore[return-value]
    return _final_state(report, fail_when)  # type: ignore[return-value]


async def _label_studio(
    credentials: str, options: Options, share: Share | None, *, sandbox: bool
) -> contextlib.AbstractAsyncContextManager[Instance]:
    toll = share.take if share else None
    if sandbox:
        return open_sandbox(options, toll=toll)
    return open_label_studio(await label_studio_settings(credentials), options, toll=toll)


async def _carry_out(batch: Batch) -> None:
    batch.log = get_run_logger().info
    groups = batch.groups()
    under_way = asyncio.Semaphore(groups_at_once(batch))

    async def carry_out(group: Group) -> None:
        async with under_way:
            # What became of the rows stands in the group; the state is for the people who watch.
            await provision_group(group, batch, return_state=True)  # type: ignore[misc]

    # What Prefect and the plan have built up stays for the whole batch; walking through it again and again, the garbage
    # collector took a tenth of the time.
    gc.freeze()
    try:
        async with progress_told(batch):
            await together(carry_out(group) for group in groups)
            await value_of(sweep(batch))
            if batch.has_steps:
                await value_of(carry_out_steps(batch))
    finally:
        gc.unfreeze()


async def _saved(report: Report, output: str) -> Report:
    """The report, in the log and in its files: these need nobody's server, and so come first."""
    logger = get_run_logger()
    (logger.info if report.ok else logger.error)("%s", report.sentence)
    if output:
        try:
            files = await value_of(save_results(report, output, asker_of("output")))
        except OutputUnwritable as unwritable:
            logger.error("%s The summary artifact tells what became of the rows.", unwritable)  # noqa: TRY400
            report = replace(report, output_error=str(unwritable), notes=(*report.notes, str(unwritable)))
        else:
            logger.info("Results: %s and %s", files.results, files.failed)
    return report


def _fails(report: Report, fail_when: str) -> bool:
    return report.stopped != CANCELLED and failed(report.counts, FailWhen(fail_when))


def _final_state(report: Report, fail_when: str) -> State[Any]:
    """Computed from the rows, and from nothing else."""
    if report.stopped == CANCELLED:
        return Cancelled(message=report.sentence, data=BatchFailed(report))
    if _fails(report, fail_when):
        return failed_state(BatchFailed(report))
    name = None if report.ok else "CompletedWithFailures"
    return Completed(name=name, message=report.sentence, data=report)


def from_dataframe(df: "pd.DataFrame | ArrowTable", **options: Any) -> Report:
    """Create one project per row of a DataFrame: the flow, called from a script or a notebook.

    Lines in messages count as if the frame stood under a header: the first row is line 2.

    Args:
        df: Columns as in a sheet; `overrides` may hold dicts. Of pandas or polars, or a table of pyarrow.
        options: The flow's parameters, but for `sheet`, `csv_text` and `rows`.

    Returns:
        The report.

    Raises:
        BatchFailed: Rows need attention, and `fail_when` makes that a failure; `report` tells of each.
        InvalidSheet: The frame has problems; nothing was created.
        StencilError: Nothing was done for another reason, which it says.
    """
    if not hasattr(type(df), "columns"):
        raise SourceUnclear(f"from_dataframe takes a DataFrame, and this is a {type(df).__name__}.")
    unknown = sorted(options.keys() - create_projects.parameters.properties.keys())
    if unknown:
        raise SourceUnclear(f"create_projects has no parameter {', '.join(unknown)}.")
    taken = sorted({"sheet", "csv_text", "rows"} & options.keys())
    if taken:
        raise SourceUnclear(f"from_dataframe takes its rows from the frame; leave out {', '.join(taken)}.")
    sheet = read_sheet(df, name="DataFrame", asker=asker_of("sheet"))
    # A run's parameters are limited in size (Prefect's server refuses more than 512 KiB), so the flow gets a name.
    token = read_already.set({sheet.name: sheet})
    try:
        with tags("stencil"):
            report: Report = _run(create_projects(sheet=sheet.name, **options))
    finally:
        read_already.reset(token)
    return report


def _run(call: Coroutine[Any, Any, R]) -> R:
    """Run to the end, in a thread of its own where a loop runs already, as in a notebook."""
    if not _loop_runs():
        return asyncio.run(call)
    with ThreadPoolExecutor(1) as pool:
        # The context goes along: Prefect keeps its settings and tags there.
        return pool.submit(copy_context().run, asyncio.run, call).result()


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
