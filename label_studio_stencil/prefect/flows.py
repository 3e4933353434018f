"""Creates one Label Studio project per row of a sheet, and reports on every row.

Requires `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY` in the environment, or a credentials block, or `sandbox`.
"""

import asyncio
import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import BeforeValidator, Field

from label_studio_stencil.batch import Batch, Group, groups_at_once
from label_studio_stencil.concurrency import together
from label_studio_stencil.options import LONGEST_OUTAGE, MOST_AT_ONCE, FailWhen, Options
from label_studio_stencil.prefect.artifacts import progress_shown, show_problems, show_what_is_known
from label_studio_stencil.prefect.events import announce, announce_projects, announce_refusal
from label_studio_stencil.prefect.instance import open_instance
from label_studio_stencil.prefect.lifecycle import (
    comes_again,
    earlier_attempt,
    keep_for_next_attempt,
    show_names_as_they_are,
    until_done,
    without_tags,
)
from label_studio_stencil.prefect.parameters import (
    asker_of,
    checked_parameters,
    from_json,
    one_source,
    source_name,
)
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
from label_studio_stencil.report.files import OutputUnwritable, check_output
from label_studio_stencil.report.report import Report


def _run_name() -> str:
    """Name a run by its source, and by what is special about it: `projects.csv dry run`."""
    parameters = flow_run.parameters
    extras = [word.replace("_", " ") for word in ("dry_run", "sandbox") if parameters.get(word)]
    lines = str(parameters.get("lines") or "").strip()
    return " ".join([source_name(parameters), *([f"lines {lines}"] if lines else []), *extras])


async def _refused(error: StencilError, parameters: Mapping[str, Any]) -> None:
    """Report a run that ended before any row was taken up, after its last attempt."""
    if await comes_again():
        return
    if earlier := earlier_attempt():
        await publish_report(earlier)
    if isinstance(error, InvalidSheet):
        await show_problems(error)
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
    """Create one project per row of a sheet, exactly one, and report on every row.

    Args:
        sheet: Path or URL of the sheet (CSV, TSV, JSON lines, Excel, Parquet). Give this, or `csv_text`, or `rows`.
        csv_text: The sheet itself, pasted: a header line and a line for each project.
        rows: The rows themselves, each an object with `title`, `workspace`, `template` and overrides.
        template: Template for rows that name none, by id or name.
        workspace: Workspace for rows that name none, by id or name.
        dry_run: Show what would happen to each row, and write nothing.
        title: Pattern for the titles of rows that have none, over the sheet's columns: `{customer} {year}-{batch:02d}`.
        long_titles: What to do with a title that is too long: `error` rejects it, `cut` shortens it and adds a hash.
        mode: What to do with a project that exists: `create` leaves it alone, `update` applies the row's overrides to it.
        output: Folder or URL to write `results.csv` and `failed.csv` to; empty writes no files.
        lines: Lines of the sheet to process, such as `2-500`; empty is all.
        max_concurrency: Requests at the same time, at most 64; 0 uses the edition's default (4; Community 1).
        requests_per_second: Highest rate; 0 is no limit, -1 the default (10 on the vendor's cloud hosts, no limit elsewhere).
        max_failures: Stop once more rows than this have failed: a number (`10`) or a share (`5%`); empty never stops.
        longest_outage: Seconds to wait for a Label Studio that does not answer, before the batch stops; 0 does not wait.
        fail_when: When the run counts as failed: `any` row needs attention, `all` rows do, or `never`.
        skip_invalid: Create the valid rows of a sheet that also has invalid ones, instead of nothing.
        allow_unknown_fields: Pass on settings that Stencil does not know yet.
        allow_lookalikes: Create a project even if an existing title differs only in case, blanks or invisible characters.
        encoding: Encoding of a text file, such as `windows-1251`; empty detects it.
        worksheet: Worksheet of a workbook, by name; empty takes the first visible one.
        credentials: Name of a `Label Studio Credentials` block; empty uses the Label Studio of the worker's environment.
        project_events: Send an event for each project that is created (none above 5,000).
        sandbox: Try it on the embedded sandbox, without a Label Studio.
    """
    show_names_as_they_are()
    source = one_source(sheet, csv_text, rows)
    name = source_name({"sheet": sheet, "rows": rows})
    if output:
        check_output(output, asker_of("output"))
    options = Options(
        template=template,
        workspace=workspace,
        title=title,
        long_titles=long_titles,
        mode=mode,
        dry_run=dry_run,
        lines=lines,
        max_concurrency=max_concurrency,
        requests_per_second=requests_per_second,
        max_failures=max_failures,
        skip_invalid=skip_invalid,
        allow_unknown_fields=allow_unknown_fields,
        allow_lookalikes=allow_lookalikes,
        longest_outage=longest_outage,
        encoding=encoding,
        worksheet=worksheet,
    )
    checked = await load_sheet(opaque(source), name, options, asker_of("sheet"))
    async with open_instance(credentials, options, sandbox=sandbox) as label_studio:
        batch = await plan_batch(opaque(checked), options, opaque(label_studio))
        interruption = await _carry_out(batch)
        report = await _report(batch, output, fail_when, project_events=project_events)
    return final_state(report, fail_when, interruption)  # type: ignore[return-value]


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
    except BaseException as interruption:  # noqa: BLE001 - `final_state` raises it again
        return interruption
    finally:
        gc.unfreeze()
    return None


async def _create(batch: Batch) -> None:
    under_way = asyncio.Semaphore(groups_at_once(batch))

    async def create(group: Group) -> None:
        async with under_way:
            await create_group(opaque(group), opaque(batch), return_state=True)  # type: ignore[misc]

    async with progress_shown(batch):
        await together(create(group) for group in batch.groups())
        await sweep(opaque(batch))
        if batch.has_steps:
            await carry_out_steps(opaque(batch))


async def _report(batch: Batch, output: str, fail_when: FailWhen, *, project_events: bool) -> Report:
    """Report on every row: in the log and in files, which need no server of Prefect, and then in artifacts and events."""
    report = batch.report()
    if project_events:
        announce_projects(batch, report)
    report = await _written(report.after(earlier_attempt()), output)
    if fails(report, fail_when) and await comes_again():
        keep_for_next_attempt(report)
    else:
        await publish_report(opaque(report))
        announce(batch, report)
    return report


async def _written(report: Report, output: str) -> Report:
    """Log the report and write its files; where that fails, the report says so."""
    logger = get_run_logger()
    (logger.info if report.ok else logger.error)("%s", report.sentence)
    if not output:
        return report
    try:
        files = await save_results(opaque(report), output, asker_of("output"))
    except OutputUnwritable as unwritable:
        logger.error("%s The summary artifact has the outcome of every row.", unwritable)  # noqa: TRY400
        return replace(report, output_error=str(unwritable), notes=(*report.notes, str(unwritable)))
    logger.info("Results: %s and %s", files.results, files.failed)
    return report
