"""Results that must not get lost: a folder that outlives the run, and `failed.csv` as an artifact to copy from."""

import os
from pathlib import Path
from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from label_studio_stencil.files import Asker
from label_studio_stencil.prefect.artifacts import FAILED_KEY, described, key_of
from label_studio_stencil.problems import counted
from label_studio_stencil.report.escaping import fenced
from label_studio_stencil.report.files import OutputUnwritable, check_output, shareable_failed_csv
from label_studio_stencil.report.report import Report

#: Most bytes of `failed.csv` for which it becomes an artifact.
MOST_BYTES = 100_000
#: In place of a character that can't be shown.
_LOST = "\ufffd"


async def check_lasting_output(output: str, asker: Asker) -> None:
    """Return if results can be written to a folder or URL that outlives the run; for a call before the batch starts.

    Raises:
        OutputUnwritable: The folder can't be created or written, or a worker deletes it with the run.
    """
    if _is_relative(output) and await _is_of_a_worker():
        reason = (
            "a worker deletes the working folder of a run at its end. Give an absolute path on the worker, or a URL such as "
            "s3://bucket/results; the artifacts have the results without any output."
        )
        raise OutputUnwritable(output, reason)
    check_output(output, asker)


def _is_relative(output: str) -> bool:
    return "://" not in output and not Path(output).expanduser().is_absolute()


async def _is_of_a_worker() -> bool:
    """Return whether a worker runs this process: then it does so in a folder, or a container, of the run's own."""
    # The run that a worker or `serve` started; this flow may be a subflow of it.
    started = os.environ.get("PREFECT__FLOW_RUN_ID")
    if not started:
        return False
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.id != UUID(started):
        async with get_client() as client:
            run = await client.read_flow_run(UUID(started))
    return run.work_pool_name is not None


async def show_failed_rows(report: Report, host: str) -> str:
    """Show the rows that need attention as a sheet to copy from, and return Markdown for the summary that says where.

    Args:
        report: The report.
        host: Host of the Label Studio, or `sandbox`.
    """
    if report.ok or report.dry_run:
        return ""
    rows = counted(len(report.needs_attention), "row")
    text = shareable_failed_csv(report)
    if text is None:
        return f"The {rows} hold passwords or signed URLs, and are only in `failed.csv`: set `output` to get it."
    if len(text.encode(errors="replace")) > MOST_BYTES:
        return f"The {rows} are too many to copy from an artifact: set `output` to get them as `failed.csv`."
    key = key_of(FAILED_KEY, host)
    sheet = fenced(text)
    how = "Correct these rows, and paste them into `csv_text` of another run."
    if sheet.count(_LOST) > text.count(_LOST):
        how = f"{how} A {_LOST} stands for a character that a page can't show: write it again, or set `output`."
    title = described(f"{report.sheet}, {report.started:%Y-%m-%d %H:%M} UTC: failed.csv, {rows}")
    await acreate_markdown_artifact(f"{how}\n\n{sheet}\n", key=key, description=title)
    return f"The artifact `{key}` has the {rows} as a sheet: correct it, and paste it into `csv_text`."
