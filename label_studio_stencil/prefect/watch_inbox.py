"""Runs the new sheets of an inbox, once each, and puts them away with their results; to be run on a schedule.

Requires, for each sheet, what `create_projects` requires.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.client.schemas.objects import State
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound, PrefectHTTPStatusError
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from label_studio_stencil.inbox.errors import InboxTaken, InboxUnusable
from label_studio_stencil.inbox.folder import Inbox, WaitingSheet
from label_studio_stencil.inbox.outcomes import Handled, Poll, SheetOutcome, SheetsLeft
from label_studio_stencil.prefect.errors import failed_state
from label_studio_stencil.prefect.flows import create_projects
from label_studio_stencil.prefect.lifecycle import kept_alive
from label_studio_stencil.prefect.logs import show_names_as_they_are
from label_studio_stencil.prefect.parameters import checked_parameters
from label_studio_stencil.prefect.sheet import named_by
from label_studio_stencil.problems import StencilError

#: Seconds after which the lock of a run that was killed may be taken from it.
LEASE = 120.0
#: Seconds after which a lock lets go whoever holds it. Prefect's server forgets leases when it is started anew, but not the
#: locks that they stood for (measured on Prefect 3.8.8), and an inbox would be locked for ever.
LONGEST_LOCK = 3 * 3600.0

_LOCKED = 423


def _run_name() -> str:
    """`inbox`, the last part of its path."""
    try:
        name = Inbox(str(flow_run.parameters.get("inbox") or "")).name.rpartition("/")[2]
    except InboxUnusable:
        name = ""
    return f"{name or 'inbox'}{' sandbox' if flow_run.parameters.get('sandbox') else ''}"


@flow(name="watch-inbox", flow_run_name=_run_name, validate_parameters=False, persist_result=False)
@checked_parameters
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
    """The new sheets of an inbox, run once each and put away with their results in `done/` or `failed/` below it.

    Args:
        inbox: Folder or bucket that sheets are put into: a path, or a URL of a store.
        template: Template of the rows that name none, by id or name.
        workspace: Workspace of the rows that name none, by id or name.
        credentials: Name of a block `Label Studio Credentials`; empty takes Label Studio that the worker's environment names.
        quiet_seconds: A sheet that changed less than these seconds ago is still being written, and waits for the next run.
        mode: What happens to a project that exists: `create` leaves it alone, `update` brings it to the row's overrides.
        max_concurrency: Requests under way at once; 0 takes the edition's default (4; Community 1).
        requests_per_second: Highest rate; 0 is no limit, -1 the default (10 on the vendor's cloud hosts, no limit elsewhere).
        skip_invalid: Create the valid rows of a sheet that has invalid ones, instead of nothing.
        allow_unknown_fields: Pass on settings that Stencil does not know yet.
        allow_lookalikes: Make a project though one exists whose title differs in case, blanks or invisible characters alone.
        encoding: Encoding of sheets of text, such as `windows-1251`; empty goes by their content.
        worksheet: Worksheet of workbooks, by name; empty takes the first that is visible.
        sandbox: Run on the embedded sandbox instead of a Label Studio.
    """
    show_names_as_they_are()
    options = {
        "template": template,
        "workspace": workspace,
        **({"credentials": credentials} if credentials else {}),
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
    try:
        opened = Inbox(inbox)
        handled: list[Handled] = []
        if opened.waiting():
            async with alone_at(opened), kept_alive():
                now = opened.now()
                handled = [await _handle(opened, sheet, now, quiet_seconds, options) for sheet in opened.waiting()]
    except InboxTaken as taken:
        return Completed(message=str(taken), data=Poll())  # type: ignore[return-value]
    except StencilError as error:
        return failed_state(error)  # type: ignore[return-value]
    return _final_state(Poll(tuple(handled)))  # type: ignore[return-value]


async def _handle(
    inbox: Inbox, sheet: WaitingSheet, now: float, quiet_seconds: float, options: dict[str, Any]
) -> Handled:
    """One sheet, run in place and put away, unless it is still being written."""
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


async def _result(inbox: Inbox, sheet: WaitingSheet, options: dict[str, Any]) -> object:
    """The report of a run of its own for a sheet, or the error that this ended with."""
    token = named_by.set({"sheet": inbox.asker})
    try:
        state: State[Any] = await create_projects(sheet=sheet.url, **options, return_state=True)
        return await state.aresult(raise_on_failure=False)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other sheets are not to wait for it
        get_run_logger().exception("%s: its run could not be made.", sheet.name)
        return error
    finally:
        named_by.reset(token)


@contextlib.asynccontextmanager
async def alone_at(inbox: Inbox) -> AsyncIterator[None]:
    """Keeps other runs away from an inbox, by a global concurrency limit of Prefect's that is made where it is missing.

    A run that is killed lets go when its lease is over. One that only loses touch with Prefect's server goes on: two runs of a
    sheet at once make each project once all the same.

    Raises:
        InboxTaken: Another run is there.
    """
    name = f"stencil-inbox-{inbox.key}"
    taken = f"another run is at this inbox; if there is none: `prefect gcl update {name} --active-slots 0`"
    # Asked before it is tried, since Prefect logs a try that is refused as an error.
    if await _is_held(name):
        raise InboxTaken(taken)
    try:
        async with concurrency(
            name, occupy=1, max_retries=0, lease_duration=LEASE, strict=True, raise_on_lease_renewal_failure=False
        ):
            yield
    except ConcurrencySlotAcquisitionError as error:
        refused = error.__cause__
        if not isinstance(refused, PrefectHTTPStatusError) or refused.response.status_code != _LOCKED:
            raise
        raise InboxTaken(taken) from None


async def _is_held(name: str) -> bool:
    """Whether somebody holds this lock, which exists afterwards."""
    async with get_client() as client:
        try:
            return (await client.read_global_concurrency_limit_by_name(name)).active_slots > 0
        except ObjectNotFound:
            lock = GlobalConcurrencyLimitCreate(name=name, limit=1, slot_decay_per_second=1 / LONGEST_LOCK)
            with contextlib.suppress(ObjectAlreadyExists):
                await client.create_global_concurrency_limit(lock)
            return False


def _final_state(poll: Poll) -> State[Any]:
    if poll.of(SheetOutcome.LEFT):
        return failed_state(SheetsLeft(poll))
    name = "CompletedWithFailures" if poll.of(SheetOutcome.FAILED) else None
    return Completed(name=name, message=poll.sentence, data=poll)
