"""Runs the new sheets of an inbox, once each, and puts them away with their results; to be run on a schedule.

Requires, for each sheet, what `create_projects` requires.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from label_studio_stencil.inbox.errors import InboxTaken, InboxUnusable
from label_studio_stencil.inbox.folder import Inbox, WaitingSheet
from label_studio_stencil.inbox.outcomes import Handled, Poll, SheetOutcome, SheetsLeft
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.lifecycle import kept_alive, show_names_as_they_are
from label_studio_stencil.prefect.limits import alone_at
from label_studio_stencil.prefect.parameters import checked_parameters, named_by
from label_studio_stencil.prefect.states import completed, failed_state
from label_studio_stencil.problems import StencilError


def _run_name() -> str:
    """Name a run by the last part of the inbox's path."""
    try:
        name = Inbox(str(flow_run.parameters.get("inbox") or "")).name.rpartition("/")[2]
    except InboxUnusable:
        name = ""
    return f"{name or 'inbox'}{' sandbox' if flow_run.parameters.get('sandbox') else ''}"


@flow(name="watch-inbox", flow_run_name=_run_name, validate_parameters=False, persist_result=False)
@checked_parameters()
async def watch_inbox(
    inbox: str,
    template: str = "",
    workspace: str = "",
    credentials: str = "",
    quiet_seconds: Annotated[int, Field(ge=0, le=86_400)] = 10,
    mode: Literal["create", "update"] = "create",
    max_concurrency: Annotated[int, Field(ge=0, le=64)] = 0,
    requests_per_second: Annotated[float, Field(ge=-1, le=1000)] = -1,
    skip_invalid: bool = False,
    allow_unknown_fields: bool = False,
    allow_lookalikes: bool = False,
    encoding: str = "",
    worksheet: str = "",
    sandbox: bool = False,
) -> Poll:
    """Create the projects of the new sheets in an inbox, and move each sheet with its results to `done/` or `failed/` below it.

    Args:
        inbox: Folder or bucket that sheets are put into: a path, or a URL of a store.
        template: Template for rows that name none, by id or name.
        workspace: Workspace for rows that name none, by id or name.
        credentials: Name of a `Label Studio Credentials` block; empty uses the Label Studio of the worker's environment.
        quiet_seconds: Leave a sheet to the next run if it changed less than so many seconds ago, as it may still be written.
        mode: What to do with a project that exists: `create` leaves it alone, `update` applies the row's overrides to it.
        max_concurrency: Requests at the same time; 0 uses the edition's default (4; Community 1).
        requests_per_second: Highest rate; 0 is no limit, -1 the default (10 on the vendor's cloud hosts, no limit elsewhere).
        skip_invalid: Create the valid rows of a sheet that also has invalid ones, instead of nothing.
        allow_unknown_fields: Pass on settings that Stencil does not know yet.
        allow_lookalikes: Create a project even if an existing title differs only in case, blanks or invisible characters.
        encoding: Encoding of text files, such as `windows-1251`; empty detects it.
        worksheet: Worksheet of workbooks, by name; empty takes the first visible one.
        sandbox: Try it on the embedded sandbox, without a Label Studio.
    """
    show_names_as_they_are()
    options = {
        "template": template,
        "workspace": workspace,
        "credentials": credentials,
        "mode": mode,
        "max_concurrency": max_concurrency,
        "requests_per_second": requests_per_second,
        "skip_invalid": skip_invalid,
        "allow_unknown_fields": allow_unknown_fields,
        "allow_lookalikes": allow_lookalikes,
        "encoding": encoding,
        "worksheet": worksheet,
        "sandbox": sandbox,
    }
    opened = Inbox(inbox)
    try:
        handled = await _run_sheets(opened, quiet_seconds, options)
    except InboxTaken as taken:
        return Completed(message=str(taken), data=Poll())  # type: ignore[return-value]
    return _final_state(Poll(tuple(handled)))  # type: ignore[return-value]


async def _run_sheets(inbox: Inbox, quiet_seconds: float, options: Mapping[str, Any]) -> list[Handled]:
    """Run the sheets that wait in the inbox, one after the other.

    Raises:
        InboxTaken: Another run is at this inbox.
        InboxUnusable: The inbox can't be listed.
    """
    if not inbox.waiting():
        return []
    async with alone_at(inbox), kept_alive():
        now = inbox.now()
        return [await _run_sheet(inbox, sheet, now, quiet_seconds, options) for sheet in inbox.waiting()]


async def _run_sheet(
    inbox: Inbox, sheet: WaitingSheet, now: float, quiet_seconds: float, options: Mapping[str, Any]
) -> Handled:
    """Run one sheet in place and put it away, unless it is still being written."""
    try:
        change = inbox.change(sheet) if sheet.is_quiet(now, quiet_seconds) else SheetOutcome.WRITING
        if change is not None:
            return Handled(sheet.name, change)
        handled = inbox.put_away(sheet, await _result(inbox, sheet, options))
    except StencilError as error:
        handled = Handled(sheet.name, SheetOutcome.LEFT, str(error))
    logger = get_run_logger()
    (logger.info if handled.outcome is SheetOutcome.DONE else logger.warning)("%s", handled)
    return handled


async def _result(inbox: Inbox, sheet: WaitingSheet, options: Mapping[str, Any]) -> object:
    """Return the report of a run of its own for a sheet, or the error that this ended with."""
    try:
        with named_by({"sheet": inbox.asker}):
            state: State[Any] = await create_projects(sheet=sheet.url, **options, return_state=True)
            return await state.aresult(raise_on_failure=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other sheets do not wait for it
        get_run_logger().exception("%s: its run could not be started.", sheet.name)
        return error


def _final_state(poll: Poll) -> State[Any]:
    if poll.of(SheetOutcome.LEFT):
        return failed_state(SheetsLeft(poll))
    return completed(poll.sentence, poll, ok=not poll.of(SheetOutcome.FAILED))
