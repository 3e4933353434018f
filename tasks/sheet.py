"""Reading a sheet, as a task."""

import asyncio
from collections.abc import Mapping, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from stencil.checking import Checked, check
from stencil.options import Options
from stencil.problems import StencilError
from stencil.shards import Shard
from stencil.sheet import read_sheet
from tasks.words import failing_in_words

Source = str | bytes | Sequence[Mapping[str, object]]


class SourceUnclear(StencilError):
    """Not exactly one source of rows was given."""


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
@failing_in_words
async def load_sheet(source: Source, name: str, options: Options, shard: Shard | None = None) -> Checked:
    """The requests and problems of a sheet, or of a shard of it.

    Raises:
        SheetUnreadable: The source can't be read as a table.
        SheetChanged: The shard is of another sheet.
    """

    def load() -> Checked:
        checked = check(read_sheet(source, name="" if isinstance(source, str) else name), options)
        return checked.part(shard) if shard else checked

    # A large sheet takes half a minute, in which whoever waits for a shard is to hear that it lives.
    return await asyncio.to_thread(load)
