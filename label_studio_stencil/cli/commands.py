"""The commands, each a few calls of the engine; `create` calls the flow."""

import argparse
import asyncio
import importlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager

from label_studio_stencil.access import Instance, open_label_studio, open_sandbox
from label_studio_stencil.batch import Batch, BatchFailed, batch_listener, prepare
from label_studio_stencil.cli.display import Display
from label_studio_stencil.cli.interrupts import stop_at_interrupt
from label_studio_stencil.cli.prefect_server import embedded_prefect_server, may_be_named
from label_studio_stencil.labelstudio.models import Edition
from label_studio_stencil.options import Options, most_failures
from label_studio_stencil.plans.targets import Checked, check_files
from label_studio_stencil.plans.targets import check as check_sheet
from label_studio_stencil.problems import InvalidSheet, Problem, StencilError, counted
from label_studio_stencil.report.files import check_output, write_results
from label_studio_stencil.report.report import Report
from label_studio_stencil.settings import LabelStudioSettings, has_environment
from label_studio_stencil.sheet.model import Sheet
from label_studio_stencil.sheet.sources import read_sheet

#: Highest `--requests-per-second`.
FASTEST = 1000

#: What keeps Prefect's log off the terminal; the server has it all the same.
_QUIET = {"PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL"}


class PrefectFailed(StencilError):
    """Prefect ended for a reason of its own, not the batch's."""

    def __init__(self, error: Exception) -> None:
        reason = str(error).strip().splitlines() or [""]
        super().__init__(
            f"Prefect failed ({type(error).__name__}: {reason[0]}). PREFECT_API_URL or the profile names its server; "
            "where neither does, an embedded one is started."
        )


def create(chosen: argparse.Namespace, display: Display) -> int:
    """Create the projects of a sheet, by the flow."""
    most_failures(chosen.max_failures, 0)
    if chosen.dry_run:
        return plan(chosen, display)
    if not chosen.sandbox:
        LabelStudioSettings.from_environment()
    if chosen.output:
        check_output(chosen.output)
    # A sheet with problems is refused before Prefect is started for it, and with all that Label Studio knows of it.
    sheet = _sheet(chosen)
    if not chosen.skip_invalid:
        try:
            checked = check_sheet(sheet, _options(chosen, dry_run=True))
            if checked.problems:
                asyncio.run(_plan(chosen, checked))
        except InvalidSheet as invalid:
            _tell_problems(invalid, display)
            return 2
    if not chosen.verbose:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
    with _prefect(chosen, display), display.progress() as batches:
        report, code = _run_flow(chosen, sheet, display, batches)
    if report is not None:
        code = code or int(bool(report.output_error))
        display.code = code
        display.report(report)
        if report.output_error:
            display.error(f"The result files were not written: {report.output_error}")
        elif chosen.output:
            display.note(f"results.csv and failed.csv are in {chosen.output}")
        elif not report.ok:
            display.note("--output DIR writes the rows that need attention to failed.csv, to be mended and run again.")
    return code


@contextmanager
def _prefect(chosen: argparse.Namespace, display: Display) -> Iterator[None]:
    """The Prefect server that the environment or the profile names; else one for the time of the command."""
    # Imported here, since importing Prefect takes a second and the other commands don't need it.
    if may_be_named():
        from prefect.settings import PREFECT_API_URL

        if PREFECT_API_URL.value():
            asyncio.run(reach_prefect())
            yield
            return
    display.note("Starting an embedded Prefect server, about ten seconds; PREFECT_API_URL names one that runs already.")
    with embedded_prefect_server(meanwhile=lambda: _import_all(sandbox=chosen.sandbox)) as url:
        from prefect.events.worker import EventsWorker
        from prefect.logging.handlers import APILogWorker
        from prefect.settings import PREFECT_API_URL, temporary_settings

        with temporary_settings({PREFECT_API_URL: url}):
            try:
                yield
            finally:
                # What Prefect still has to tell its server it tells now; afterwards the server is gone.
                APILogWorker.instance().drain()
                EventsWorker.drain_all()


def _import_all(*, sandbox: bool) -> None:
    importlib.import_module("label_studio_stencil.prefect.flows")
    if sandbox:
        importlib.import_module("label_studio_sandbox")


def _tell_problems(invalid: InvalidSheet, display: Display) -> None:
    display.problems(invalid.sheet, invalid.problems, invalid.notes)
    display.error(f"{counted(len(invalid.problems), 'problem')}; nothing was created.")


def _run_flow(
    chosen: argparse.Namespace, sheet: Sheet, display: Display, batches: list[Batch]
) -> tuple[Report | None, int]:
    """The report, as far as there is one, and the exit code."""
    from prefect.exceptions import TerminationSignal

    from label_studio_stencil.prefect.flows import create_projects
    from label_studio_stencil.prefect.parameters import read_already
    from label_studio_stencil.prefect.states import CANCELLED

    # Read once: the flow would read it again, and standard input can't be.
    read_already.set({str(chosen.sheet).strip(): sheet})
    names = (
        "sheet lines template workspace title long_titles mode output max_concurrency requests_per_second max_failures "
        "longest_outage fail_when skip_invalid allow_unknown_fields allow_lookalikes encoding worksheet sandbox"
    )
    parameters = {name: getattr(chosen, name) for name in names.split()}
    try:
        report = asyncio.run(_interruptible(create_projects, parameters))
    except BatchFailed as failed:
        return failed.report, 130 if failed.report.stopped == CANCELLED else 1
    except InvalidSheet as invalid:
        _tell_problems(invalid, display)
        return None, 2
    except (asyncio.CancelledError, TerminationSignal):
        if not batches:
            display.error("Interrupted; nothing was created.")
        return (batches[0].report() if batches else None), 130
    except StencilError:
        raise
    except Exception as error:
        if not batches:
            raise PrefectFailed(error) from error
        display.error(str(PrefectFailed(error)))
        report = batches[0].report()
        if chosen.output:
            write_results(report, chosen.output)
        return report, 1
    return report, 0 if report.ok else 1


async def reach_prefect() -> None:
    """Raise `PrefectFailed` where the Prefect server that is named does not answer."""
    from prefect.client.orchestration import get_client

    async with get_client() as client:
        problem = await client.api_healthcheck()
    if problem is not None:
        raise PrefectFailed(problem)


async def _interruptible(flow: object, parameters: dict[str, object]) -> Report:
    """The flow, with Ctrl-C and SIGTERM as a cancellation: the first completes placeholders, the second ends the process."""
    from prefect import tags

    listener = batch_listener.get()

    def prepared(batch: Batch) -> None:
        # In place of Prefect's handler, which raises wherever the process is: amid another callback, that stops nothing.
        signal.signal(signal.SIGTERM, interrupted)
        if listener is not None:
            listener(batch)

    batch_listener.set(prepared)
    with tags("stencil", *(["sandbox"] if parameters["sandbox"] else [])):
        running = asyncio.ensure_future(flow(**parameters))  # type: ignore[operator]
    interrupted = stop_at_interrupt(running, prefix="[sandbox] " if parameters["sandbox"] else "")
    # Before the batch is prepared, Prefect ends the flow at SIGTERM, and then sends it again, to end the process.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
    result: Report = await running
    return result


def plan(chosen: argparse.Namespace, display: Display) -> int:
    """Show what each row is going to do."""
    try:
        report = asyncio.run(_plan(chosen, _checked(chosen)))
    except InvalidSheet as invalid:
        _tell_problems(invalid, display)
        return 2
    display.code = 0 if report.ok else 1
    display.report(report)
    return display.code


def _sheet(chosen: argparse.Namespace) -> Sheet:
    return read_sheet(chosen.sheet, encoding=chosen.encoding, worksheet=chosen.worksheet)


def _checked(chosen: argparse.Namespace) -> Checked:
    return check_sheet(_sheet(chosen), _options(chosen, dry_run=True))


async def _plan(chosen: argparse.Namespace, checked: Checked) -> Report:
    options = _options(chosen, dry_run=True)
    async with label_studio_of(chosen, options) as label_studio:
        return (await prepare(checked, options, label_studio)).report()


def check(chosen: argparse.Namespace, display: Display) -> int:
    """Find what is wrong with a sheet: on Label Studio too, where one is named and `--offline` is not given."""
    options = _options(chosen, dry_run=True)
    checked = _checked(chosen)
    online = not chosen.offline and (chosen.sandbox or has_environment())
    problems: Sequence[Problem] = checked.problems
    if online:
        try:
            asyncio.run(_plan(chosen, checked))
        except InvalidSheet as invalid:
            problems = invalid.problems
    else:
        problems = [*problems, *check_files(checked, options)]
    rows = counted(len(checked.sheet.rows), "row")
    if problems:
        display.problems(checked.sheet.name, problems, checked.sheet.notes)
        display.error(f"{counted(len(problems), 'problem')} in {rows}.")
        return 2
    if display.machine:
        display.problems(checked.sheet.name, (), checked.sheet.notes)
    for note in checked.sheet.notes:
        display.say(f"{checked.sheet.name}: {note}")
    end = "" if online else " Templates and workspaces of a Label Studio were not looked up."
    display.say(f"{checked.sheet.name}: {rows}, no problems.{end}")
    return 0


def workspace_list(chosen: argparse.Namespace, display: Display) -> int:
    """List the workspaces of Label Studio."""

    async def rows(label_studio: Instance) -> list[dict[str, object]]:
        if label_studio.edition is Edition.COMMUNITY:
            raise StencilError("Workspaces exist in Label Studio Enterprise alone, and this Label Studio is Community.")
        return [
            {"id": each.id, "title": each.title, "archived": each.is_archived}
            for each in await label_studio.client.workspaces()
        ]

    return listed(chosen, display, rows)


def listed(
    chosen: argparse.Namespace, display: Display, rows: Callable[[Instance], Awaitable[Sequence[dict[str, object]]]]
) -> int:
    """Show what Label Studio has, a line for each."""

    async def found() -> Sequence[dict[str, object]]:
        async with label_studio_of(chosen, Options()) as label_studio:
            return await rows(label_studio)

    items = asyncio.run(found())
    if display.machine:
        display.json(items)
    elif items:
        display.table(tuple(items[0]), [[_said(value) for value in item.values()] for item in items])
    else:
        display.say("There are none.")
    return 0


def serve_sandbox(chosen: argparse.Namespace, display: Display) -> int:
    """Serve the sandbox until Ctrl-C."""
    from label_studio_sandbox import BadFaults, from_argument, serve

    try:
        faults = from_argument(chosen.faults) if chosen.faults is not None else None
    except BadFaults as bad:
        display.error(f"--faults: {bad}.")
        return 2
    return serve(port=chosen.port, data=chosen.data, token=chosen.token, latency_ms=chosen.latency_ms, faults=faults)


def label_studio_of(chosen: argparse.Namespace, options: Options) -> AbstractAsyncContextManager[Instance]:
    """Label Studio that a command is about: the sandbox, or the one that the environment names."""
    return (
        open_sandbox(options) if chosen.sandbox else open_label_studio(LabelStudioSettings.from_environment(), options)
    )


def _options(chosen: argparse.Namespace, *, dry_run: bool) -> Options:
    return Options(
        template=chosen.template,
        workspace=chosen.workspace,
        title=chosen.title,
        long_titles=chosen.long_titles,
        mode=chosen.mode,
        lines=chosen.lines,
        dry_run=dry_run,
        max_concurrency=chosen.max_concurrency,
        requests_per_second=chosen.requests_per_second,
        max_failures=chosen.max_failures,
        skip_invalid=chosen.skip_invalid,
        allow_unknown_fields=chosen.allow_unknown_fields,
        allow_lookalikes=chosen.allow_lookalikes,
        longest_outage=chosen.longest_outage,
        encoding=chosen.encoding,
        worksheet=chosen.worksheet,
    )


def _said(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
