"""Names of runs: which sheet a run is for, while it waits too, unless whoever started it gave it a name."""

import re
from collections.abc import Mapping
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import WorkQueueFilter, WorkQueueFilterId
from prefect.context import FlowRunContext
from prefect.runtime import flow_run

from label_studio_stencil.prefect.due import due_runs
from label_studio_stencil.prefect.parameters import given_to, source_name
from label_studio_stencil.report.escaping import cut

#: Names that Prefect's server, command line and UI generate: `brave-otter`, `Gorgeous-Goat`, `nu-daled` (3.9.1).
_GENERATED = re.compile(r"[A-Za-z]+\d?(-[A-Za-z]+){1,2}")
#: Parameters that name or hold a sheet.
_SOURCES = ("sheet", "csv_text", "rows", "event")
#: Longest name, in characters: a sheet that was pasted into `sheet` is no name.
_LONGEST = 100


def unless_named(name: str) -> str:
    """Return the name of the present run: the one that a person gave it, or else this one."""
    given = flow_run.name or ""
    return name if not given or _GENERATED.fullmatch(given) else given


def name_of(parameters: Mapping[str, Any]) -> str:
    """Return a name for a run of a sheet, with what is special about it: `projects.csv dry run`."""
    parameters = given_to(parameters)
    extras = [word.replace("_", " ") for word in ("dry_run", "sandbox") if parameters.get(word)]
    lines = str(parameters.get("lines") or "").strip()
    return cut(" ".join([source_name(parameters), *([f"lines {lines}"] if lines else []), *extras]), _LONGEST)


async def name_waiting_runs() -> None:
    """Give the runs that wait in the current run's work queue the names that they get once they begin.

    Prefect names a run when it begins. Until then a run that a trigger or a schedule made has a generated name.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context else None
    if run is None or run.work_queue_id is None:
        return
    queue = WorkQueueFilter(id=WorkQueueFilterId(any_=[run.work_queue_id]))
    async with get_client() as client:
        found = await due_runs(client, work_queue_filter=queue)
        for each in found:
            if _GENERATED.fullmatch(each.name) and any(map(each.parameters.get, _SOURCES)):
                await client.update_flow_run(each.id, name=name_of(each.parameters))
