"""`stencil remove`: shows which projects of a batch can be proven to be its own, and with `--yes` deletes them."""

import argparse
import asyncio

from label_studio_stencil.api import PlanOptions, label_studio_of
from label_studio_stencil.cli.commands import chosen_options
from label_studio_stencil.cli.display import MOST_ROWS, Display, as_typed
from label_studio_stencil.cli.interrupts import INTERRUPTED, Interrupts
from label_studio_stencil.problems import counted
from label_studio_stencil.removal.removal import STOPPED, Removal
from label_studio_stencil.removal.report import RemovalOutcome, RemovalReport, RemovalRow
from label_studio_stencil.removal.results import Results, read_results

#: Codes of rows that can't be compared because a file that they name was not found.
_FILE_CODES = frozenset({"bad-step", "file-reference", "file-not-found", "outside-folder", "template-unknown"})


def remove(chosen: argparse.Namespace, display: Display) -> int:
    """Delete the projects of a batch. Without `--yes` only show them, and exit with 0."""
    results = read_results(chosen.results, folder=chosen.folder)
    options = chosen_options(PlanOptions, chosen, display)
    removals: list[Removal] = []
    with Interrupts(prefix=display.prefix, first=_ENDING) as interrupts:
        try:
            report = interrupts.run(_remove(results, options, removals, dry_run=not chosen.yes))
        except asyncio.CancelledError:
            if not removals or not removals[0].under_way:
                display.error("Interrupted; nothing was deleted.")
                return INTERRUPTED
            report = removals[0].report()
    _show(report, display, files_elsewhere=not chosen.folder)
    if report.stopped == STOPPED:
        return INTERRUPTED
    return 0 if report.dry_run or report.ok else 1


#: Message after the first Ctrl-C.
_ENDING = "Interrupted: finishing the deletions under way; press Ctrl-C again to end at once."


async def _remove(results: Results, options: PlanOptions, removals: list[Removal], *, dry_run: bool) -> RemovalReport:
    async with label_studio_of(options) as label_studio:
        removals.append(Removal(results, options, label_studio, dry_run=dry_run))
        return await removals[0].run()


def _show(report: RemovalReport, display: Display, *, files_elsewhere: bool) -> None:
    if display.machine:
        display.json(report.to_json())
        return
    order = list(RemovalOutcome)
    rows = sorted(report.rows, key=lambda row: (order.index(row.outcome), row.line))
    if rows:
        display.table(("line", "outcome", "title", "project", "why"), [_cells(row) for row in rows], most=MOST_ROWS)
    if files_elsewhere and any(row.code in _FILE_CODES for row in report.rows):
        display.say(
            "Files that rows name were searched in the folder of the results. Give the folder of the sheet with --folder."
        )
    display.say(f"{report.sentence} ({report.seconds:.1f} s, {report.requests} requests, {report.label_studio})")
    if report.dry_run and report.counts[RemovalOutcome.WOULD_BE_REMOVED]:
        tasks = " and their imported tasks" if any(row.tasks for row in report.rows) else ""
        display.say(f"Nothing was deleted: --yes deletes the projects that would be removed{tasks}.")


def _cells(row: RemovalRow) -> tuple[str, ...]:
    project = "" if row.project_id is None else str(row.project_id)
    why = f"with {counted(row.tasks, 'imported task')}" if row.tasks else ""
    if row.why:
        why = as_typed(f"{row.why} [{row.code}]")
    return (str(row.line), row.outcome.value, row.title, project, why)
