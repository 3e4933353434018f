"""The command `emit`: asks a Prefect server for the batch of a sheet, by an event."""

import argparse
import asyncio
from pathlib import Path

from label_studio_stencil.cli.commands import PrefectFailed, reach_prefect
from label_studio_stencil.cli.display import Display
from label_studio_stencil.files import file_name
from label_studio_stencil.problems import StencilError
from label_studio_stencil.sheet.sources import split_worksheet

DEPLOYMENT = "on-event/on-event"


class SheetElsewhere(StencilError):
    """The sheet can't be opened by whoever gets the event."""


def emit(chosen: argparse.Namespace, display: Display) -> int:
    """Send `stencil.sheet.ready` for a sheet."""
    from prefect.settings import PREFECT_API_URL

    if not PREFECT_API_URL.value():
        raise StencilError(
            "PREFECT_API_URL names no Prefect server, and an event needs one that stays: start one (`make ui`)."
        )
    sheet = _as_a_worker_sees_it(chosen.sheet, display)
    parameters = {"sheet": sheet, **_given(chosen)}
    if chosen.output and "://" not in chosen.output:
        # The worker has a folder of its own.
        parameters["output"] = str(Path(chosen.output).absolute())
    event, listens = asyncio.run(_send(file_name(sheet), parameters))
    if display.machine:
        display.json({"event": event, "parameters": parameters, "deployed": listens})
    display.say(f"Sent stencil.sheet.ready ({event}) with {', '.join(parameters)}.")
    if not listens:
        display.note(
            f"Nothing may listen: this server has no deployment {DEPLOYMENT}; `prefect deploy --all` makes it."
        )
    return 0


def _as_a_worker_sees_it(sheet: str, display: Display) -> str:
    """The sheet by a name that means the same everywhere on this machine, or anywhere."""
    if "://" in sheet:
        return sheet
    if sheet == "-":
        raise SheetElsewhere(
            "emit sends the sheet's name, not its rows: give a path or a URL that the worker can open."
        )
    file, worksheet = split_worksheet(sheet)
    path = Path(file)
    if not path.exists():
        if not path.is_absolute():
            raise SheetElsewhere(f"{sheet}: there is no such file (looked in {Path.cwd()}).")
        display.note(f"{sheet} is not on this machine; the worker has to find it.")
    if path.is_dir():
        raise SheetElsewhere(f"{sheet} is a folder, not a sheet.")
    return f"{path.absolute()}#{worksheet}" if worksheet else str(path.absolute())


def _given(chosen: argparse.Namespace) -> dict[str, object]:
    """The other fields of the event that were given."""
    from label_studio_stencil.prefect.sheet_ready import Payload

    given = {name: getattr(chosen, name, None) for name in Payload.model_fields if name != "sheet"}
    return {name: value for name, value in given.items() if value and (name, value) != ("mode", "create")}


async def _send(name: str, parameters: dict[str, object]) -> tuple[str, bool]:
    """The event's id, and whether the deployment that it is for exists."""
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

    from label_studio_stencil.prefect.events import announce_sheet

    await reach_prefect()
    try:
        event = await announce_sheet(name, parameters)
    except PrefectHTTPStatusError as error:
        raise PrefectFailed(error) from error
    async with get_client() as client:
        try:
            await client.read_deployment_by_name(DEPLOYMENT)
        except ObjectNotFound:
            return str(event), False
    return str(event), True
