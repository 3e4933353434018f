"""Runs each new sheet in an inbox once, and moves it away with its results; meant for a schedule.

Requires, for each sheet, what `create_projects` requires.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import BaseModel, Field, create_model

from label_studio_stencil.inbox.errors import InboxTaken, InboxUnusable
from label_studio_stencil.inbox.folder import Inbox, WaitingSheet
from label_studio_stencil.inbox.outcomes import Handled, Poll, SheetOutcome, SheetsLeft
from label_studio_stencil.options import RunOptions
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.lifecycle import kept_alive
from label_studio_stencil.prefect.limits import alone_at
from label_studio_stencil.prefect.logs import set_up_logs
from label_studio_stencil.prefect.names import unless_named
from label_studio_stencil.prefect.parameters import checked_parameters, flat, named_by
from label_studio_stencil.prefect.polls import drop_due_polls
from label_studio_stencil.prefect.states import completed, failed_state
from label_studio_stencil.problems import StencilError


def _run_name() -> str:
    """Name a run by the last part of the inbox's path."""
    try:
        name = Inbox(str(flow_run.parameters.get("inbox") or "")).name.rpartition("/")[2]
    except InboxUnusable:
        name = ""
    return unless_named(f"{name or 'inbox'}{' sandbox' if flow_run.parameters.get('sandbox') else ''}")


#: Options of create-projects that apply to every sheet of the inbox.
_FOR_SHEETS = (
    "template",
    "workspace",
    "credentials",
    "mode",
    "max_concurrency",
    "requests_per_second",
    "skip_invalid",
    "allow_unknown_fields",
    "allow_lookalikes",
    "encoding",
    "worksheet",
    "project_events",
    "sandbox",
)


class _Own(BaseModel):
    """The parameters that only this flow has."""

    inbox: Annotated[
        str, Field(description="Folder or bucket in which to look for sheets: a path, or the URL of a store.")
    ]
    quiet_seconds: Annotated[
        int,
        Field(
            ge=0,
            le=86_400,
            description="Leave a sheet to the next run if it changed less than this many seconds ago, because it may still "
            "be written.",
        ),
    ] = 10


Parameters = create_model(
    "Parameters",
    __base__=_Own,
    **{name: (RunOptions.model_fields[name].annotation, RunOptions.model_fields[name]) for name in _FOR_SHEETS},  # type: ignore[call-overload]
)


@flow(name="watch-inbox", flow_run_name=_run_name, validate_parameters=False, persist_result=False)
@checked_parameters()
@flat(Parameters, ("inbox", "template", "workspace", "mode", "credentials"))
async def watch_inbox(given: _Own) -> Poll:
    """Create the projects of the new sheets in an inbox, and move each sheet with its results to `done/` or `failed/`."""
    set_up_logs()
    try:
        handled = await _run_sheets(Inbox(given.inbox), given.quiet_seconds, given.model_dump(include=set(_FOR_SHEETS)))
        await drop_due_polls()
    except InboxTaken as taken:
        return Completed(message=str(taken), data=Poll())  # type: ignore[return-value]
    return _final_state(Poll(tuple(handled)))  # type: ignore[return-value]


async def _run_sheets(inbox: Inbox, quiet_seconds: float, options: Mapping[str, Any]) -> list[Handled]:
    """Run the sheets in the inbox, one after the other.

    Raises:
        InboxTaken: Another run is processing this inbox.
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
