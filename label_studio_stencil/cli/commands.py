"""The commands `create`, `plan`, `check`, `workspace list` and `sandbox`."""

import argparse
import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from label_studio_sandbox.command import run as serve
from label_studio_stencil import api
from label_studio_stencil.access import Instance
from label_studio_stencil.api import CheckOptions, CreateOptions, PlanOptions, label_studio_of, with_files
from label_studio_stencil.batch import Batch, prepare
from label_studio_stencil.cli.display import Display, Progress, as_typed
from label_studio_stencil.cli.dotenv import label_studio_of_file
from label_studio_stencil.cli.interrupts import INTERRUPTED, Interrupts
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.options import Options, most_failures, options_of
from label_studio_stencil.plans.targets import Checked
from label_studio_stencil.plans.targets import check as check_sheet
from label_studio_stencil.problems import InvalidSheet, StencilError, counted
from label_studio_stencil.report.files import check_output
from label_studio_stencil.report.report import Report
from label_studio_stencil.report.summary import progress_text
from label_studio_stencil.sheet.sources import read_sheet

O = TypeVar("O", bound=Options)  # noqa: E741 - the customary letter

#: Exit code of `plan --detailed-exitcode` if there is something to do.
TO_DO = 2
#: Message after the first Ctrl-C.
_COMPLETING = "Interrupted: what was begun is completed first; Ctrl-C once more ends at once."


def create(chosen: argparse.Namespace, display: Display) -> int:
    """Create the projects of a sheet."""
    if chosen.verbose:
        logging.basicConfig(level=logging.DEBUG)
    if chosen.dry_run:
        return plan(chosen, display)
    options = chosen_options(CreateOptions, chosen, display)
    batches: list[Batch] = []
    with Interrupts(prefix=display.prefix, first=_COMPLETING) as interrupts:
        try:
            # Nothing starts unless all of these are available.
            label_studio_of(options)
            most_failures(options.max_failures, 0)
            if options.output:
                check_output(options.output)
            checked = _checked(chosen, options)
            with display.progress(lambda: _progress_of(batches)):
                report, code = interrupts.run(_create(checked, options, display, batches)), 0
        except InvalidSheet as invalid:
            return _show_problems(invalid, display)
        except asyncio.CancelledError:
            if not batches:
                display.error("Interrupted; nothing was created.")
                return INTERRUPTED
            report, code = batches[0].report(), INTERRUPTED
        except Exception as error:
            if not batches:
                raise
            # The outcomes of the rows are reported all the same.
            display.failure(error)
            report, code = batches[0].report(), 1
        report = with_files(report, options.output)
        display.code = code or int(not report.ok or bool(report.output_error))
        display.report(report)
        if report.output_error:
            display.error(f"error: {report.output_error}")
        elif options.output:
            display.note(f"results.csv and failed.csv are in {options.output}")
        elif not report.ok:
            display.note("--output DIR writes the rows that need attention to failed.csv, to correct and run again.")
    return display.code


async def _create(checked: Checked, options: CreateOptions, display: Display, batches: list[Batch]) -> Report:
    async with label_studio_of(options) as label_studio:
        batch = await prepare(checked, options, label_studio, began=display.began)
        batch.tell = display.note
        batches.append(batch)
        # The plan's objects stay for the whole batch, so the garbage collector needn't walk through them.
        gc.freeze()
        try:
            await batch.carry_out()
        finally:
            gc.unfreeze()
        return batch.report()


def _progress_of(batches: Sequence[Batch]) -> Progress | None:
    if not batches:
        return None
    counts = batches[0].counts()
    done, total = sum(counts.values()), len(batches[0].sheet.rows)
    return Progress(done, total, progress_text(done, total, counts))


def plan(chosen: argparse.Namespace, display: Display) -> int:
    """Show what would happen to each row."""
    options = chosen_options(PlanOptions, chosen, display).model_copy(update={"dry_run": True})
    try:
        report = asyncio.run(_plan(_checked(chosen, options), options, display))
    except InvalidSheet as invalid:
        return _show_problems(invalid, display)
    to_do = any(row.outcome.written for row in report.rows)
    display.code = int(not report.ok) or (TO_DO if getattr(chosen, "detailed_exitcode", False) and to_do else 0)
    display.report(report)
    return display.code


async def _plan(checked: Checked, options: PlanOptions, display: Display) -> Report:
    async with label_studio_of(options) as label_studio:
        return (await prepare(checked, options, label_studio, began=display.began)).report()


def chosen_options(model: type[O], chosen: argparse.Namespace, display: Display) -> O:
    """The options that were given on the command line, with the Label Studio that `.env` names if the environment names none.

    Raises:
        BadOption: An option is invalid.
        StencilError: `.env` can't be used.
    """
    given = {name: value for name, value in vars(chosen).items() if name in model.model_fields}
    if issubclass(model, PlanOptions) and not chosen.sandbox and not given.get("offline"):
        given |= label_studio_of_file(display)
    return options_of(model, given)


def _checked(chosen: argparse.Namespace, options: Options) -> Checked:
    # Read before the event loop starts, so that Ctrl-C ends the reading.
    return check_sheet(read_sheet(chosen.sheet, encoding=options.encoding, worksheet=options.worksheet), options)


def _show_problems(invalid: InvalidSheet, display: Display) -> int:
    display.problems(invalid.sheet, invalid.problems, invalid.notes)
    hint = f"`stencil explain {invalid.problems[0].code}` says more about a code." if invalid.problems else ""
    display.error(f"{counted(len(invalid.problems), 'problem')}; nothing was created.", hint)
    return display.nothing_done


def check(chosen: argparse.Namespace, display: Display) -> int:
    """Find the problems of a sheet, also against Label Studio if one is named and `--offline` is not given."""
    options = chosen_options(CheckOptions, chosen, display).model_copy(update={"dry_run": True})
    found = asyncio.run(api.checked_report(_checked(chosen, options), options))
    rows = counted(found.rows, "row")
    if found.problems:
        display.problems(found.sheet, found.problems, found.notes)
        hint = f"`stencil explain {found.problems[0].code}` says more about a code."
        display.error(f"{counted(len(found.problems), 'problem')} in {rows}.", hint)
        return 2
    if display.machine:
        display.problems(found.sheet, (), found.notes)
    for note in found.notes:
        display.say(f"{found.sheet}: {as_typed(note)}")
    end = "" if found.online else " Templates and workspaces of a Label Studio were not looked up."
    display.say(f"{found.sheet}: {rows}, no problems.{end}")
    return 0


def workspace_list(chosen: argparse.Namespace, display: Display) -> int:
    """List the workspaces of Label Studio."""

    async def rows(label_studio: Instance) -> list[dict[str, object]]:
        if label_studio.edition is Edition.COMMUNITY:
            raise StencilError(
                f"{label_studio.name} is Label Studio Community, and only Enterprise has workspaces.",
                hint="Leave out the column `workspace` of your sheets.",
            )
        return [
            {"id": each.id, "title": each.title, "archived": each.is_archived}
            for each in await label_studio.client.workspaces()
        ]

    return listed("workspaces", chosen, display, rows)


def listed(
    name: str,
    chosen: argparse.Namespace,
    display: Display,
    rows: Callable[[Instance], Awaitable[Sequence[dict[str, object]]]],
) -> int:
    """Print a table, or with `--json` a list of this name."""

    async def found() -> Sequence[dict[str, object]]:
        async with label_studio_of(options) as label_studio:
            return await rows(label_studio)

    options = chosen_options(PlanOptions, chosen, display)
    items = asyncio.run(found())
    if display.machine:
        display.json({name: items})
    elif items:
        display.table(tuple(items[0]), [[_said(value) for value in item.values()] for item in items])
    else:
        display.say("There are none.")
    return 0


def serve_sandbox(chosen: argparse.Namespace, display: Display) -> int:
    """Serve the sandbox until Ctrl-C."""
    return serve(chosen)


def _said(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
