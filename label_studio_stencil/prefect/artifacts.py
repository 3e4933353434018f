"""What a person sees of a batch in Prefect's UI: the artifacts for its summary, its rows, its problems and its progress."""

import asyncio
import re
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.artifacts import acreate_table_artifact
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import Artifact, FlowRun, State
from prefect.runtime import flow_run, task_run

from label_studio_stencil.labelstudio.address import host_of
from label_studio_stencil.prefect.parameters import source_name
from label_studio_stencil.problems import InvalidSheet, Problem, counted, grouped
from label_studio_stencil.report.escaping import defused, escape
from label_studio_stencil.report.markdown import markdown_summary, problem_table
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.report import Report

#: Kinds of artifacts; `key_of` makes their keys.
SUMMARY_KEY = "stencil-summary"
ROWS_KEY = "stencil-rows"
PROGRESS_KEY = "stencil-progress"
PROBLEMS_KEY = "stencil-problems"
FAILED_KEY = "stencil-failed"
_KINDS = (SUMMARY_KEY, ROWS_KEY, PROGRESS_KEY, PROBLEMS_KEY, FAILED_KEY)

#: Most rows of a table artifact; the result files have all.
MOST_ROWS = 1000
#: Most notes above the problems of a rejected sheet.
MOST_NOTES = 20
#: Longest text above an artifact, in characters.
LONGEST_DESCRIPTION = 500
#: Most seconds for a call to Prefect, whose client retries for minutes if its server is gone.
LONGEST_CALL = 20.0


def key_of(kind: str, host: str) -> str:
    """Return an artifact's key, the same in every run on a Label Studio, so that Prefect shows their history.

    Args:
        kind: Such as `stencil-summary`.
        host: Host of the Label Studio; empty if it is not known.
    """
    return "-".join([kind, *re.findall("[a-z0-9]+", host.lower())])


def kind_of(key: str) -> str:
    """Return the kind of an artifact; the key itself where it is none of Stencil's."""
    return next((kind for kind in _KINDS if key == kind or key.startswith(f"{kind}-")), key)


def counts_in(summary: Artifact) -> Counter[Outcome]:
    """Return the rows of a batch by outcome, which the summary has for programs."""
    known = {outcome.value for outcome in Outcome}
    return Counter({Outcome(name): int(count) for name, count in (summary.metadata_ or {}).items() if name in known})


def sentence_in(summary: Artifact) -> str:
    """Return the report of a batch in one line, which the summary has for programs."""
    return (summary.metadata_ or {}).get("sentence", "")


async def artifacts_of(client: PrefectClient, run: UUID) -> dict[str, Artifact]:
    """Return the artifacts of a run by their kinds, of several the newest: a run that went on after a pause has two of some."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]))
    found = await client.read_artifacts(artifact_filter=mine)
    return {kind_of(each.key or ""): each for each in sorted(found, key=lambda each: str(each.created))}


async def show_report(report: Report, about_run: str = "") -> None:
    """Show the summary, whose metadata has the counts for programs, and the rows as a table.

    Args:
        report: The report.
        about_run: What the summary says of the run itself, as Markdown.

    Raises:
        TimeoutError: Prefect's server does not take them.
    """
    async with asyncio.timeout(LONGEST_CALL):
        await _show_summary(report, about_run)
        key = key_of(ROWS_KEY, host_of_report(report))
        await acreate_table_artifact(report.table(MOST_ROWS), key=key, description=_title(report))


async def _show_summary(report: Report, about_run: str) -> None:
    """Do what Prefect's `acreate_markdown_artifact` does, which takes no metadata."""
    async with get_client() as client:
        await client.create_artifact(
            ArtifactCreate(
                key=key_of(SUMMARY_KEY, host_of_report(report)),
                type="markdown",
                description=_title(report),
                data=markdown_summary(report, run=about_run),
                metadata_={
                    "sentence": report.sentence,
                    **{outcome.value: str(count) for outcome, count in report.counts.items() if count},
                },
                flow_run_id=UUID(flow_run.id),
                task_run_id=UUID(task_run.id),
            )
        )


def host_of_report(report: Report) -> str:
    """Return the host in the keys of a report's artifacts."""
    return "sandbox" if report.sandbox else host_of(report.label_studio)


def _title(report: Report) -> str:
    return _titled(report.sheet, report.started, report.sentence)


def _titled(sheet: str, at: datetime, text: str) -> str:
    """Return what stands above an artifact, in the history of its key too: sheet, time and one line."""
    return described(f"{sheet}, {at:%Y-%m-%d %H:%M} UTC: {text}")


async def show_problems(invalid: InvalidSheet, host: str) -> None:
    """Show how a sheet was read and its problems, limited in length and with all of the sheet's text escaped.

    Args:
        invalid: The sheet's problems.
        host: Host of the Label Studio that the sheet was for.
    """
    text = f"{counted(len(invalid.problems), 'problem')}; nothing was created"
    title = _titled(invalid.sheet, datetime.now(UTC), text)
    notes = [Problem("note", note) for note in invalid.notes[:MOST_NOTES]]
    table = problem_table([*grouped(notes), *grouped(invalid.problems)[:MOST_ROWS]])
    await acreate_table_artifact(table, key=key_of(PROBLEMS_KEY, host), description=title)


def described(text: str) -> str:
    """Make a text fit to stand above an artifact: one line without links and images, as some pages show it as Markdown."""
    return defused(text, LONGEST_DESCRIPTION)


# Runs that end before their report


async def show_what_is_known(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Show a summary of a run that was killed or cancelled before it could publish its report; a hook of the flow.

    If the process was killed, a worker calls this in another one, with these parameters by name.

    Raises:
        TimeoutError: Prefect's server does not take it.
    """
    async with get_client() as client, asyncio.timeout(LONGEST_CALL):
        known = await artifacts_of(client, flow_run.id)
        if SUMMARY_KEY in known:
            return
        ended = "crashed" if state.is_crashed() else "was cancelled"
        progress = known.get(PROGRESS_KEY)
        last = (progress.description if progress else None) or ""
        # The key of the progress has the host.
        host = ((progress.key if progress else None) or "").removeprefix(PROGRESS_KEY)
        # Outside the run's own process this is the only way to attach an artifact to the run.
        await client.create_artifact(
            ArtifactCreate(
                key=key_of(SUMMARY_KEY, host),
                type="markdown",
                description=f"The run {ended} before its report",
                data=_what_is_known(flow_run, ended, state.message or "", last),
                flow_run_id=flow_run.id,
            )
        )


def _what_is_known(run: FlowRun, ended: str, message: str, progress: str) -> str:
    name = source_name(run.parameters)
    why = f": {escape(message)}" if message else ""
    last = f"Its last progress was: {progress}." if progress else "It had not reported on any row yet."
    return (
        f"# {escape(name)}: the run {ended} before its report\n\n"
        f"Run `{run.id}` {ended}{why}\n\n"
        f"- {last} More rows may be done by now.\n"
        "- Projects that are not set up yet have a marker in their description. Please leave them alone.\n"
        "- **Run it again with the same parameters:** finished projects are left as they are, projects that are not set up "
        "yet are completed, and missing projects are created. Nothing is created twice.\n"
    )
