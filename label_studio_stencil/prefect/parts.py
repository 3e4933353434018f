"""Creates the projects of a sheet by several runs at once, each over a range of its lines, and adds up their reports.

One process is enough for nearly everybody: docs/sizing.md says when it is not. Requires a Prefect server with the deployment
`create-projects/on-demand`, and workers that can open the sheet.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from prefect import flow, task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import arun_deployment
from prefect.runtime import flow_run
from pydantic import BeforeValidator, Field

from label_studio_stencil.concurrency import together
from label_studio_stencil.files import file_name
from label_studio_stencil.options import FailWhen, Options, failed
from label_studio_stencil.prefect.artifacts import (
    SUMMARY_KEY,
    artifacts_of,
    counts_in,
    key_of,
    sentence_in,
    show_problems,
)
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.instance import host_of_run
from label_studio_stencil.prefect.lifecycle import kept_alive
from label_studio_stencil.prefect.names import unless_named
from label_studio_stencil.prefect.parameters import BadParameters, asker_of, checked_parameters, from_json, values_of
from label_studio_stencil.prefect.states import completed, failed_state
from label_studio_stencil.prefect.tasks import load_sheet
from label_studio_stencil.problems import InvalidSheet, StencilError
from label_studio_stencil.report.escaping import escape
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.summary import counts_text

#: The deployment that creates a part, and the work queue of its runs; the run that waits for them holds the slot of `batches`.
DEPLOYMENT, QUEUE = "create-projects/on-demand", "parts"
#: Most runs of a part: another one follows a run that crashed.
RUNS = 3
#: Parameters of create-projects that are not for a part.
_NOT_FOR_PARTS = frozenset({"sheet", "lines", "csv_text", "rows", "sandbox"})


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of a sheet, as the parameter `lines` of create-projects takes them (`2-500`), and how many rows are on them."""

    lines: str
    rows: int


@dataclass(frozen=True, slots=True)
class PartResult:
    """The result of a part.

    Attributes:
        part: The part.
        run: Its last flow run.
        counts: Rows by outcome, from the report of this run; empty if there is none.
        sentence: The report in one line, or the state in which the run ended.
    """

    part: Part
    run: FlowRun
    counts: Counter[Outcome]
    sentence: str

    @property
    def complete(self) -> bool:
        """Whether the run has reported on as many rows as the part has."""
        return self.counts.total() == self.part.rows


def _run_name() -> str:
    return unless_named(f"{file_name(str(flow_run.parameters['sheet']))} in {flow_run.parameters['parts']} parts")


async def _refused(error: StencilError, parameters: Mapping[str, Any]) -> None:
    if isinstance(error, InvalidSheet):
        await show_problems(error, await host_of_run(str(parameters["options"].get("credentials") or "")))


@flow(name="create-in-parts", flow_run_name=_run_name, validate_parameters=False, persist_result=False)
@checked_parameters(refused=_refused)
async def create_in_parts(
    sheet: str,
    parts: Annotated[int, Field(ge=1, le=64)] = 4,
    options: Annotated[dict[str, Any], BeforeValidator(from_json)] = {},  # noqa: B006 - the form needs it as it is
) -> dict[str, int]:
    """Create one project per row of a sheet, by several runs of create-projects at once.

    Args:
        sheet: Path or URL of the sheet; all workers have to be able to open it.
        parts: Number of runs, each of which processes a range of the sheet's lines.
        options: Other parameters of create-projects, for every part: `{"template": "Sentiment", "max_concurrency": 16}`.
    """
    values = await _values(sheet, options)
    lines = await _lines(sheet, values)
    # All parts write below one folder, also if it is named after the time.
    shared = {**options, "output": values["output"]}
    async with kept_alive():
        results = await together(
            create_part(part, _parameters(sheet, shared, part.lines)) for part in parts_of(lines, parts)
        )
    counts = counts_of(results)
    sentence = f"{len(results)} parts, {counts_text(counts, dry_run=values['dry_run'])}"
    key = key_of(SUMMARY_KEY, await host_of_run(values["credentials"]))
    await acreate_markdown_artifact(_summary(sheet, sentence, results), key=key, description=sentence)
    return final_state(sentence, results, values["fail_when"])  # type: ignore[return-value]


async def _values(sheet: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of create-projects for all parts, checked before the first one starts.

    Raises:
        BadParameters: A part would refuse them.
    """
    known = create_projects.parameters.properties.keys() - _NOT_FOR_PARTS
    if unknown := sorted(options.keys() - known):
        raise BadParameters(f"options: {', '.join(unknown)}: a part takes {', '.join(sorted(known))}.")
    return await values_of(create_projects.fn, {"sheet": sheet, **options})


async def _lines(sheet: str, values: Mapping[str, Any]) -> list[int]:
    """Return the lines of the sheet's rows.

    Raises:
        InvalidSheet: The sheet has problems.
    """
    asker = asker_of("sheet")
    options = Options(**{name: values[name] for name in Options.model_fields if name in values})
    checked = await load_sheet(sheet, file_name(sheet), options, asker)
    if checked.problems and not values["skip_invalid"]:
        raise InvalidSheet(file_name(sheet), checked.problems)
    return [row.line for row in checked.sheet.rows]


def parts_of(lines: Sequence[int], number: int) -> list[Part]:
    """Cut the lines of a sheet into parts that differ by one row at most; none is empty."""
    cuts = [len(lines) * index // number for index in range(number + 1)]
    return [
        Part(f"{lines[start]}-{lines[end - 1]}", end - start) for start, end in itertools.pairwise(cuts) if start < end
    ]


def _parameters(sheet: str, options: Mapping[str, Any], lines: str) -> dict[str, Any]:
    """Return the parameters of a part, whose result files have a folder of their own."""
    output = str(options.get("output") or "").rstrip("/")
    return {"sheet": sheet, **options, "lines": lines, **({"output": f"{output}/lines-{lines}"} if output else {})}


# The retries bridge times when Prefect's server does not answer; the idempotency key leads them to the same run.
@task(
    task_run_name="lines {part.lines}", retries=10, retry_delay_seconds=30, cache_policy=NO_CACHE, persist_result=False
)
async def create_part(part: Part, parameters: Mapping[str, Any]) -> PartResult:
    """Run the deployment over the lines of a part, again where its run crashes, and wait for its end."""
    for number in range(RUNS):
        run = await arun_deployment(
            DEPLOYMENT,
            parameters=dict(parameters),
            work_queue_name=QUEUE,
            idempotency_key=f"{flow_run.id} {flow_run.run_count} {part.lines} {number}",
        )
        if run.state is None or not run.state.is_crashed():
            break
    async with get_client() as client:
        summary = (await artifacts_of(client, run.id)).get(SUMMARY_KEY)
    counts = counts_in(summary) if summary else Counter[Outcome]()
    state = f"{run.state.name}: {run.state.message}" if run.state else ""
    return PartResult(part, run, counts, sentence_in(summary) if summary and counts else state)


def counts_of(results: Sequence[PartResult]) -> Counter[Outcome]:
    """Count the rows of all parts by outcome; those that no run has reported on count as unprocessed."""
    counts = sum((result.counts for result in results), Counter[Outcome]())
    counts[Outcome.UNPROCESSED] += sum(max(0, result.part.rows - result.counts.total()) for result in results)
    return +counts


def _summary(sheet: str, sentence: str, results: Sequence[PartResult]) -> str:
    lines = [f"| {r.part.lines} | {r.part.rows} | {escape(r.run.name)} | {escape(r.sentence)} |" for r in results]
    head = [f"# {escape(file_name(sheet))}: {escape(sentence)}", "", "| lines | rows | run | result |"]
    return "\n".join([*head, "| :-- | --: | :-- | :-- |", *lines, ""])


def final_state(sentence: str, results: Sequence[PartResult], fail_when: FailWhen) -> State[Any]:
    """Return the final state from the reports of the parts; a part that has not reported on its rows always fails the run."""
    if lacking := [f"lines {each.part.lines}: {each.sentence}" for each in results if not each.complete]:
        again = "Not all parts have reported on their rows; run the same sheet again, and nothing is created twice"
        return failed_state(StencilError(f"{sentence}. {again}. {'; '.join(lacking)}"))
    counts = counts_of(results)
    if failed(counts, fail_when):
        return failed_state(StencilError(sentence))
    data = {str(outcome): count for outcome, count in counts.items()}
    return completed(sentence, data, ok=all(outcome.ok for outcome in counts))
