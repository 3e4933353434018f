"""The command `submit`: runs a deployment on a Prefect server for a sheet, and follows the run to its report."""

import argparse
import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from label_studio_stencil.cli.commands import chosen_options
from label_studio_stencil.cli.display import MOST_ROWS, Display, Progress, as_typed
from label_studio_stencil.cli.interrupts import INTERRUPTED
from label_studio_stencil.files import PERSON, STANDARD_INPUT, read
from label_studio_stencil.options import RunOptions
from label_studio_stencil.problems import StencilError
from label_studio_stencil.report.outcomes import Outcome
from label_studio_stencil.sheet.encodings import decoded
from label_studio_stencil.sheet.sources import MOST_BYTES, Source, read_sheet

#: The default deployment.
DEPLOYMENT = "create-projects/on-demand"
#: Extensions of files that are sent as text, and the first bytes of files that are not text whatever their extension.
_TEXTS = (".csv", ".tsv", ".tab", ".txt")
_PACKED = (b"PK", b"PAR1", b"\x1f\x8b")

#: What to do with a sheet that can't be a parameter.
_BY_URL = (
    "Put it where the workers can open it and submit its URL (`stencil submit "
    "s3://bucket/sheet.csv`), or use `stencil create`."
)

#: The setting that is a secret, in the spellings that a column may have, or in a cell of `overrides`.
_SECRET = re.compile(r"task[ _-]*data[ _-]*password", re.IGNORECASE)


class SecretInSheet(StencilError):
    """The sheet holds a password, and Prefect's server stores a run's parameters as plain text."""


class SheetTooLarge(StencilError):
    """The sheet does not fit into a run's parameters."""


def submit(chosen: argparse.Namespace, display: Display) -> int:
    """Run a deployment for a sheet."""
    options = chosen_options(RunOptions, chosen, display)
    given = {name: getattr(options, name) for name in RunOptions.model_fields if name in vars(chosen)}
    parameters = {"sheet": chosen.sheet, **given} if "://" in chosen.sheet else _uploaded(chosen.sheet, options, given)
    run: dict[str, str] = {}
    try:
        return asyncio.run(_submit(chosen, parameters, display, run))
    except KeyboardInterrupt:
        if not run:
            raise
        display.error(f"The run continues: {run['url']}. To cancel it: prefect flow-run cancel {run['run']}")
        return INTERRUPTED


def _uploaded(path: str, options: RunOptions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a run with the rows of a local sheet in place of its name.

    Raises:
        SheetUnreadable: The file is not a sheet.
        SecretInSheet: The sheet sets a password.
        SheetTooLarge: The sheet does not fit.
    """
    text = path == STANDARD_INPUT or path.lower().endswith(_TEXTS)
    content = read(path, PERSON, most=MOST_BYTES) if text else b""
    source: Source = content if path == STANDARD_INPUT else path
    sheet = read_sheet(source, encoding=options.encoding, worksheet=options.worksheet)
    rows: dict[str, Any] = (
        # The text as it is keeps its line numbers.
        {"csv_text": decoded(content, options.encoding).text}
        if text and not content.startswith(_PACKED)
        else {"rows": json.loads(json.dumps([row.cells for row in sheet.rows], default=str))}
    )
    if any(cell and _SECRET.search(f"{name} {cell}") for row in sheet.rows for name, cell in row.cells.items()):
        raise SecretInSheet(
            f"{sheet.name} sets task_data_password, and Prefect's server would store the sheet as plain text.",
            hint=_BY_URL,
        )
    # The sheet was read here, so the run needs neither encoding nor worksheet.
    parameters = {**rows, **{name: each for name, each in given.items() if name not in ("encoding", "worksheet")}}
    _check_size(sheet.name, len(json.dumps(parameters).encode()))
    return parameters


def _check_size(name: str, size: int) -> None:
    from label_studio_stencil.prefect.submission import MOST_PARAMETERS

    if size > MOST_PARAMETERS:
        raise SheetTooLarge(
            f"{name} takes {size // 1024:,} KiB as a parameter, and Prefect's server takes {MOST_PARAMETERS // 1024}.",
            hint=_BY_URL,
        )


async def _submit(
    chosen: argparse.Namespace, parameters: Mapping[str, Any], display: Display, run: dict[str, str]
) -> int:
    from label_studio_stencil.prefect.submission import follow_run, start_run

    started, url = await start_run(chosen.deployment, parameters, chosen.sheet.removeprefix(STANDARD_INPUT))
    run.update(run=str(started.id), url=url)
    display.note(f"Run {started.name}: {url}")
    if chosen.no_wait:
        display.json(run) if display.machine else display.say(run["run"])
        return 0
    now: list[Progress] = []
    with display.progress(lambda: now[-1] if now else None):
        report = await follow_run(started, lambda done, text: now.append(Progress(int(done), 100, text)))
    if display.machine:
        told = {name: getattr(report, name) for name in ("state", "message", "counts", "rows", "problems")}
        display.json({**run, **told})
    else:
        bad = {outcome.value for outcome in Outcome if not outcome.ok}
        rows = report.problems or [row for row in report.rows if row.get("outcome") in bad]
        if rows:
            display.table(tuple(rows[0]), [_cells(row) for row in rows], most=MOST_ROWS)
        display.say(f"{report.state}: {as_typed(report.message)}")
    if report.counts:
        completed = report.state in ("Completed", "CompletedWithFailures")
        return int(not (completed and all(outcome.ok for outcome in report.counts)))
    # Without a report, a failed run has written nothing; a crashed or cancelled one may have.
    return 2 if report.state == "Failed" else 1


def _cells(row: Mapping[str, Any]) -> list[str]:
    return [as_typed(str(value)) if name in _MESSAGES else str(value) for name, value in row.items()]


#: Columns of a run's tables that hold messages of Stencil, not cells of the sheet.
_MESSAGES = frozenset({"error", "what to do"})
