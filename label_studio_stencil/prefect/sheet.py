"""Reading a sheet, as a task."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from types import MappingProxyType

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext

from label_studio_stencil.files import DEPLOYMENT, PERSON, Asker
from label_studio_stencil.options import Options
from label_studio_stencil.plans.targets import Checked, check
from label_studio_stencil.prefect.errors import user_errors
from label_studio_stencil.problems import StencilError
from label_studio_stencil.sheet.model import Sheet
from label_studio_stencil.sheet.sources import read_sheet

#: Who named the sheet, the template or the output of a run, where it was not whoever gave its other parameters.
named_by: ContextVar[Mapping[str, Asker]] = ContextVar("named_by", default=MappingProxyType({}))

#: Sheets that were read before the flow runs, by their path, URL or name: by the command line, or from a DataFrame.
read_already: ContextVar[Mapping[str, Sheet]] = ContextVar("read_already", default=MappingProxyType({}))

Source = str | bytes | Sequence[Mapping[str, object]]


class SourceUnclear(StencilError):
    """Not exactly one source of rows was given."""


def asker_of(parameter: str) -> Asker:
    """Who gave a parameter of this run: a person at this machine or a deployment, unless `named_by` has somebody else."""
    run = FlowRunContext.get()
    # A worker names the run in the environment, of which runs within that one know.
    deployed = os.environ.get("PREFECT__FLOW_RUN_ID") or (run and run.flow_run and run.flow_run.deployment_id)
    return named_by.get().get(parameter, DEPLOYMENT if deployed else PERSON)


def one_source(sheet: str, csv_text: str, rows: Sequence[Mapping[str, object]]) -> Source:
    """The one source that was given.

    Raises:
        SourceUnclear: None was given, or more than one.
    """
    given = {
        name: source
        for name, source in (("sheet", sheet.strip()), ("csv_text", csv_text.strip()), ("rows", rows))
        if source
    }
    if len(given) != 1:
        found = f"these are: {', '.join(given)}" if given else "none is"
        raise SourceUnclear(f"exactly one of sheet, csv_text and rows must be given; {found}.")
    if "csv_text" in given:
        return csv_text.encode()
    return str(given["sheet"]) if "sheet" in given else rows


# Not cached: the same path may hold another sheet tomorrow.
@task(task_run_name="read {name}", cache_policy=NO_CACHE, persist_result=False)
@user_errors
async def load_sheet(source: Source, name: str, options: Options, asker: Asker = PERSON) -> Checked:
    """The requests and problems of a sheet.

    Args:
        source: Where the sheet is, or its content.
        name: What messages call a source that is no file.
        options: How the batch is to be run.
        asker: Who named the source.

    Raises:
        SheetUnreadable: The source can't be read as a table.
        BadOption: The chosen lines can't be read, or the sheet has no row in them.
    """

    def load() -> Checked:
        label = "" if isinstance(source, str) else name
        how = {"encoding": options.encoding, "worksheet": options.worksheet}
        return check(known or read_sheet(source, name=label, **how, asker=asker), options)

    known = read_already.get().get(source) if isinstance(source, str) else None
    # A large sheet takes half a minute, in which the run is to tell that it lives.
    return await asyncio.to_thread(load)
