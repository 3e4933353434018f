"""`stencil remove`: shows which projects of a batch can be proven to be its own, and with `--yes` deletes them."""

import argparse
import asyncio
import signal

from label_studio_stencil.access import open_label_studio, open_sandbox
from label_studio_stencil.cli.display import MOST_ROWS, Display
from label_studio_stencil.options import Options
from label_studio_stencil.removal.removal import Removal
from label_studio_stencil.removal.report import RemovalOutcome, RemovalReport, RemovalRow
from label_studio_stencil.removal.results import Results, read_results
from label_studio_stencil.settings import LabelStudioSettings

#: Why a row can't be compared where a file that it names was not found.
_FILE_CODES = frozenset({"file-reference", "file-not-found", "outside-folder", "template-unknown"})


def remove(chosen: argparse.Namespace, display: Display) -> int:
    """Delete what a batch made, or show it; without `--yes` nothing is deleted and the exit code is 0."""
    results = read_results(chosen.results, folder=chosen.folder)
    report = asyncio.run(_interruptible(chosen, results))
    if report is None:
        display.error("Interrupted; nothing was deleted.")
        return 130
    _show(report, display, files_elsewhere=not chosen.folder)
    if report.stopped == _INTERRUPTED:
        return 130
    return 0 if report.dry_run or report.ok else 1


_INTERRUPTED = "interrupted"


async def _interruptible(chosen: argparse.Namespace, results: Results) -> RemovalReport | None:
    """The report; `None` where Ctrl-C came before the first project. The first Ctrl-C lets rows under way end."""
    options = Options(
        template=chosen.template,
        workspace=chosen.workspace,
        max_concurrency=chosen.max_concurrency,
        requests_per_second=chosen.requests_per_second,
    )
    removals: list[Removal] = []

    async def run() -> RemovalReport:
        opened = (
            open_sandbox(options)
            if chosen.sandbox
            else open_label_studio(LabelStudioSettings.from_environment(), options)
        )
        async with opened as label_studio:
            removals.append(Removal(results, options, label_studio, dry_run=not chosen.yes))
            return await removals[0].run()

    running = asyncio.ensure_future(run())

    def interrupt() -> None:
        if removals and removals[0].under_way and not removals[0].stopped:
            removals[0].stop(_INTERRUPTED)
        else:
            running.cancel()

    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
    try:
        return await running
    except asyncio.CancelledError:
        if not removals or not removals[0].under_way:
            return None
        removals[0].stop(_INTERRUPTED)
        return removals[0].report()


def _show(report: RemovalReport, display: Display, *, files_elsewhere: bool) -> None:
    if display.machine:
        display.json(report.to_json())
        return
    order = list(RemovalOutcome)
    rows = sorted(report.rows, key=lambda row: (order.index(row.outcome), row.line))
    if rows:
        display.table(("line", "outcome", "title", "project", "why"), [_cells(row) for row in rows[:MOST_ROWS]])
    if len(rows) > MOST_ROWS:
        display.say(f"... and {len(rows) - MOST_ROWS} more rows; --json shows all")
    if files_elsewhere and any(row.code in _FILE_CODES for row in report.rows):
        display.say("Files that rows name are looked for beside the results: --folder names the folder of the sheet.")
    display.say(f"{report.sentence} ({report.seconds:.1f} s, {report.requests} requests, {report.label_studio})")
    if report.dry_run and report.counts[RemovalOutcome.WOULD_BE_REMOVED]:
        display.say("Nothing was deleted: --yes deletes what would be removed.")


def _cells(row: RemovalRow) -> tuple[str, ...]:
    project = "" if row.project_id is None else str(row.project_id)
    why = f"{row.why} [{row.code}]" if row.why else ""
    return (str(row.line), row.outcome.value, row.title, project, why)
