"""Creates the projects of a sheet by several runs at once, each over a range of its lines, and adds up their reports.

Hardly anybody needs it: docs/sizing.md says when one process is not enough. Requires a Prefect server with the deployment
`create-projects/on-demand`, and workers that can open the sheet.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from typing import Annotated, Any

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import BeforeValidator, Field

from label_studio_stencil.concurrency import together
from label_studio_stencil.files import file_name
from label_studio_stencil.options import FailWhen, Options, failed
from label_studio_stencil.prefect.errors import failed_state, value_of
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.lifecycle import kept_alive
from label_studio_stencil.prefect.parameters import BadParameters, checked_parameters, from_json, values_of
from label_studio_stencil.prefect.parts import PartResult, carry_out_part, parts_of
from label_studio_stencil.prefect.report import SUMMARY_KEY, publish_problems
from label_studio_stencil.prefect.sheet import asker_of, load_sheet
from label_studio_stencil.problems import InvalidSheet, StencilError
from label_studio_stencil.report.escaping import escape
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.report.summary import counts_text

#: Parameters of create-projects that are not for a part.
_NOT_FOR_PARTS = frozenset({"sheet", "lines", "csv_text", "rows", "sandbox"})


def _run_name() -> str:
    return f"{file_name(str(flow_run.parameters['sheet']))} in {flow_run.parameters['parts']} parts"


@flow(name="create-in-parts", flow_run_name=_run_name, validate_parameters=False, persist_result=False)
@checked_parameters
async def create_in_parts(
    sheet: str,
    parts: Annotated[int, Field(ge=1, le=64)] = 4,
    options: Annotated[dict[str, Any], BeforeValidator(from_json)] = {},  # noqa: B006 - the form needs it as it is
) -> dict[str, int]:
    """One project per row of a sheet, made by several runs of create-projects at once.

    Args:
        sheet: Path or URL of the sheet; all workers have to be able to open it.
        parts: Runs, each of which carries out a range of the sheet's lines.
        options: Other parameters of create-projects, for each part: `{"template": "Sentiment", "max_concurrency": 16}`.
    """
    name = file_name(sheet)
    try:
        known = create_projects.parameters.properties.keys() - _NOT_FOR_PARTS
        if unknown := sorted(options.keys() - known):
            raise BadParameters(f"options: {', '.join(unknown)}: a part takes {', '.join(sorted(known))}.")
        values = await values_of(create_projects.fn, {"sheet": sheet, **options})
        own = {each.name: values[each.name] for each in fields(Options) if each.name in values}
        asker = asker_of("sheet")
        checked = await value_of(load_sheet(sheet, name, Options(**own, asker=asker), asker))
        if checked.problems and not values.get("skip_invalid"):
            raise InvalidSheet(name, checked.problems)
        cut = parts_of([row.line for row in checked.sheet.rows], parts)
        async with kept_alive():
            results = await together(carry_out_part(part, _of_part(sheet, options, part.lines)) for part in cut)
    except StencilError as error:
        if isinstance(error, InvalidSheet):
            await publish_problems(error)
        return failed_state(error)  # type: ignore[return-value]
    counts = counts_of(results)
    sentence = f"{len(results)} parts, {counts_text(counts, dry_run=bool(values.get('dry_run')))}"
    await acreate_markdown_artifact(_summary(name, sentence, results), key=SUMMARY_KEY, description=sentence)
    return final_state(sentence, results, FailWhen(values.get("fail_when", "any")))  # type: ignore[return-value]


def _of_part(sheet: str, options: dict[str, Any], lines: str) -> dict[str, Any]:
    """The parameters of a part; its result files have a folder of their own."""
    output = str(options.get("output") or "").rstrip("/")
    return {"sheet": sheet, **options, **({"output": f"{output}/lines-{lines}"} if output else {})}


def counts_of(results: Sequence[PartResult]) -> Counter[Outcome]:
    """Rows of all parts by outcome; those that no run has reported on count as unprocessed."""
    counts = sum((result.counts for result in results), Counter[Outcome]())
    counts[Outcome.UNPROCESSED] += sum(max(0, result.part.rows - result.counts.total()) for result in results)
    return +counts


def _summary(name: str, sentence: str, results: Sequence[PartResult]) -> str:
    lines = [f"| {r.part.lines} | {r.part.rows} | {escape(r.run.name)} | {escape(r.sentence)} |" for r in results]
    head = [f"# {escape(name)}: {escape(sentence)}", "", "| lines | rows | run | what became of them |"]
    return "\n".join([*head, "| :-- | --: | :-- | :-- |", *lines, ""])


def final_state(sentence: str, results: Sequence[PartResult], fail_when: FailWhen) -> State[Any]:
    """Computed from the reports of the parts; a part that has not reported on its rows always fails the run."""
    if lacking := [f"lines {each.part.lines}: {each.sentence}" for each in results if not each.complete]:
        again = "Not all parts have reported on their rows; run the same sheet again, and nothing is made twice"
        return failed_state(StencilError(f"{sentence}. {again}. {'; '.join(lacking)}"))
    counts = counts_of(results)
    if failed(counts, fail_when):
        return failed_state(StencilError(sentence))
    name = None if all(outcome.ok for outcome in counts) else "CompletedWithFailures"
    return Completed(name=name, message=sentence, data={str(outcome): count for outcome, count in counts.items()})
